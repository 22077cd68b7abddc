"""Evaluation 7, mechanism of action: are predictions for perturbations of one mechanism alike?

Published: mean cosine within and between mechanisms, with a test that takes every pair of perturbations for independent
of all others. What all predictions have in common makes both cosines near 1. Corrected: the mean prediction is taken
off first, and the p value comes from shuffling mechanisms over perturbations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.core.conditions import constituents
from bench.core.typing import Floats
from bench.evaluations.biojepac.inputs import Codes, SuiteInputs
from bench.evaluations.biojepac.interval import resampled
from bench.evaluations.biojepac.row import Row, absent, number
from bench.stats.embedding import normalise

NAME = "7 mechanism"
MEASURE = "cosine within - between"
#: Shuffles of the mechanisms.
PERMUTATIONS = 999
#: Fewer perturbations say nothing.
MIN_PERTURBATIONS = 6


def within_between(vectors: Floats, label: Codes) -> tuple[float, float]:
    """Mean cosine of pairs of one mechanism, and of pairs of two; NaN where there are none.

    Args:
        vectors: ``[n, D]``.
        label: Mechanism of each ``[n]``.
    """
    same, cosine = _pairs(vectors, label)
    means = (cosine[same], cosine[~same])
    return tuple(float(x.mean()) if len(x) else float("nan") for x in means)  # type: ignore[return-value]


def published_p(vectors: Floats, label: Codes) -> float:
    """One-sided Mann-Whitney p of cosines within against between, pairs taken for independent: the published form."""
    from scipy.stats import mannwhitneyu

    same, cosine = _pairs(vectors, label)
    if not same.any() or same.all():
        return float("nan")
    return float(mannwhitneyu(cosine[same], cosine[~same], alternative="greater").pvalue)


def permutation_p(vectors: Floats, label: Codes, seed: int = 0) -> float:
    """Share of shuffles of mechanisms over perturbations with as large a difference, the observed order among them."""
    rng = np.random.default_rng([seed, 0x7A])
    observed = _difference(vectors, label)
    as_good = sum(_difference(vectors, rng.permutation(label)) >= observed - 1e-12 for _ in range(PERMUTATIONS))
    return (1 + as_good) / (1 + PERMUTATIONS)


def centred(vectors: Floats) -> Floats:
    """Vectors less their mean ``[n, D]``; zeros where all are alike up to rounding."""
    apart = vectors - vectors.mean(axis=0)
    size = np.linalg.norm(apart, axis=1, keepdims=True)
    return np.where(size > 1e-6 * max(1e-12, float(np.abs(vectors).max(initial=0.0))), apart, 0.0)


def _pairs(vectors: Floats, label: Codes) -> tuple[NDArray[np.bool_], Floats]:
    z = normalise(vectors)
    a, b = np.triu_indices(len(label), 1)
    return label[a] == label[b], np.vecdot(z[a], z[b])


def _difference(vectors: Floats, label: Codes) -> float:
    within, between = within_between(vectors, label)
    return within - between


def rows(inputs: SuiteInputs) -> Sequence[Row]:
    """The measure of the evaluation, over single perturbations of the test part."""
    if inputs.mechanism is None:
        return [absent(NAME, MEASURE, inputs.why("mechanisms"))]
    units = inputs.task.units
    named = [(t, constituents(unit.perturbation)) for t, unit in enumerate(units)]
    at = [t for t, genes in named if len(genes) == 1 and genes[0] in inputs.mechanism]
    label = np.unique(
        [inputs.mechanism[constituents(units[t].perturbation)[0]] for t in at] or ["none"], return_inverse=True
    )[1].astype(np.int64)
    said, true = (inputs.y_hat - inputs.truth.c_in)[at], (inputs.truth.y - inputs.truth.c_ref)[at]
    # The perturbed gene itself is given, not predicted.
    free = inputs.truth.expressed & ~inputs.truth.targets.any(axis=0)
    said, true = said[:, free], true[:, free]
    counts = np.bincount(label)
    if len(at) < MIN_PERTURBATIONS or (counts > 1).sum() < 1 or len(counts) < 2:
        reason = f"{len(at)} single test perturbations have a mechanism; two mechanisms are needed, and two of one"
        return [absent(NAME, MEASURE, reason)]

    def of(vectors: Floats, which: NDArray[np.int64]) -> float:
        some, codes = vectors[which], label[which]
        z, (a, b) = normalise(some), np.triu_indices(len(which), 1)
        apart = which[a] != which[b]  # one that is drawn twice is no pair
        same, cosine = (codes[a] == codes[b])[apart], np.vecdot(z[a], z[b])[apart]
        return float(cosine[same].mean() - cosine[~same].mean()) if same.any() and not same.all() else float("nan")

    ours = centred(said)
    value = resampled(lambda which: of(ours, which), len(at))
    within, between = within_between(said, label)
    p = published_p(said, label)
    bar = within_between(np.broadcast_to(inputs.truth.train_delta[free], said.shape), label)
    return [
        Row(
            NAME,
            MEASURE,
            number(within - between),
            number(bar[0] - bar[1]),
            *value.numbers,
            0.0,
            "mechanisms shuffled",
            number(_difference(centred(true), label)),
            len(at),
            f"published: {within:.3f} within, {between:.3f} between, p {p:.2g} as if pairs were independent; "
            f"corrected: p {permutation_p(ours, label, inputs.task.split.seed):.2g}",
        )
    ]
