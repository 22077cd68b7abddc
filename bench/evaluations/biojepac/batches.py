"""Evaluation 5, batches: what a latent gives away of the batch (it should not) and of the perturbation (it should).

Published: a classifier whose best epoch is chosen on the cells that it reports on; and for the perturbation it is given
the latent of the *control* cell that was paired with a perturbed one, which holds nothing of it. Corrected: the probes
of the representation track: perturbed cells, tuned on other cells than those that are reported on.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from bench.core.typing import Floats
from bench.evaluations.biojepac.inputs import Codes, Latents, SuiteInputs
from bench.evaluations.biojepac.interval import over_units, share
from bench.evaluations.biojepac.row import Row, absent, number
from bench.stats.embedding import normalise
from bench.stats.probes import batch_probe, unit_probe

NAME = "5 batches"
#: Epochs of the published classifier.
EPOCHS = 20


def best_epoch(x: Floats, y: Codes, seed: int, epochs: int = EPOCHS) -> float:
    """Accuracy of a linear classifier on half of the cells at its best epoch *on that half*: the published form.

    Args:
        x: Latents ``[N, D]``.
        y: Classes ``[N]``.
        seed: Of the halves and the classifier.
        epochs: Passes.

    Returns:
        NaN with fewer than two classes.
    """
    from sklearn.linear_model import SGDClassifier

    classes = np.unique(y)
    if len(classes) < 2:
        return float("nan")
    rng = np.random.default_rng([seed, 0xE5])
    order = np.lexsort((rng.random(len(y)), y))
    report = np.zeros(len(y), dtype=np.bool_)
    report[order[::2]] = True  # of every class
    model = SGDClassifier(loss="log_loss", random_state=seed, learning_rate="constant", eta0=0.1)
    best = 0.0
    for _ in range(epochs):
        order = rng.permutation(np.flatnonzero(~report))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a latent that explodes classifies badly, and may
            model.partial_fit(x[order], y[order], classes=classes)
            best = max(best, float((model.predict(x[report]) == y[report]).mean()))
    return best


def majority(y: Codes) -> float:
    """Share of the largest class ``[N]``."""
    return float(np.bincount(y).max() / len(y))


def rows(inputs: SuiteInputs) -> Sequence[Row]:
    """All measures of the evaluation."""
    latents, seed = inputs.latents, inputs.task.split.seed
    if latents is None:
        return [absent(NAME, measure, inputs.why("latents")) for measure in ("batch read out", "perturbation read out")]
    return [_batch(latents, seed), _perturbation(latents, seed)]


def _batch(latents: Latents, seed: int) -> Row:
    measure = "batch read out"
    if len(np.unique(latents.control_batch)) < 2:
        return absent(NAME, measure, "no batches: the data name one only")
    z = normalise(latents.controls)
    found = batch_probe(z, latents.control_batch, seed)
    if found is None:
        return absent(NAME, measure, "no batches: fewer than two of 10 control cells")
    accuracy, most, _ = found
    counts = np.bincount(latents.control_batch)
    counted = int(counts[counts >= 10].sum())
    value = share(round(accuracy * counted), counted)
    return Row(
        NAME,
        measure,
        number(best_epoch(latents.cells, latents.batch, seed)),
        majority(latents.batch),
        accuracy,
        number(value.low),
        number(value.high),
        most,
        "largest batch",
        None,
        counted,
        "lower is better; corrected: of control cells, five-fold, so that no perturbation stands for a batch",
    )


def _perturbation(latents: Latents, seed: int) -> Row:
    measure = "perturbation read out"
    probe = unit_probe(normalise(latents.cells), latents.unit, latents.batch, seed)
    if probe is None:
        return absent(NAME, measure, "fewer than two test perturbations")
    value = over_units(latents.units, probe.accuracy).within(0, 1)
    published = best_epoch(latents.controls[latents.partner], latents.unit, seed) if len(latents.controls) else None
    return Row(
        NAME,
        measure,
        number(published),
        majority(latents.unit),
        *value.numbers,
        probe.majority,
        "one perturbation for all",
        None,
        value.n,
        "published: asked of the paired control cell, which holds nothing of it",
    )
