"""Evaluation 2, gene calls: which genes go up, go down or stay?

Published: the share of right calls over all genes. Nearly all genes stay, so whoever calls every gene unchanged is
right most of the time (.927 in the published screen, above the model's .877). Corrected: the mean over the three
classes of the share that is found, so that calling one class for all earns 1/3; and genes of the top k beside what the
train mean, which knows no perturbation, already finds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.evaluations.biojepac.inputs import Bools, SuiteInputs
from bench.evaluations.biojepac.interval import over_units
from bench.evaluations.biojepac.row import Row, best_of, mean_of
from bench.tracks.response.align import align
from bench.tracks.response.metrics import METRICS, Evaluation, evaluate
from bench.tracks.response.metrics.gears import gears_truth
from bench.tracks.response.metrics.ranking import order, top_k

NAME = "2 gene calls"
#: A change of this size is a call. Source: BioJEPAC report v0.4.
THRESHOLD = 0.25
#: Genes whose direction is judged, and lengths of lists. Source: BioJEPAC report v0.4.
DIRECTION, LISTS = 50, (10, 20, 50, 100)


def calls(shift: Floats, threshold: float = THRESHOLD) -> NDArray[np.int8]:
    """Up (1), down (-1) or unchanged (0) ``[T, G]``."""
    return ((shift > threshold).astype(np.int8) - (shift < -threshold)).astype(np.int8)


def accuracy(true: NDArray[np.int8], called: NDArray[np.int8]) -> Floats:
    """Share of right calls over all genes ``[T]``: the published form."""
    return np.asarray((true == called).mean(axis=1))


def balanced_accuracy(true: NDArray[np.int8], called: NDArray[np.int8], counted: Bools) -> Floats:
    """Mean over the classes that occur of the share of their genes that is called so ``[T]``.

    Args:
        true: ``[T, G]``.
        called: ``[T, G]``.
        counted: Genes that count ``[T, G]``.

    Returns:
        NaN where only one class occurs: nothing is to be told apart there.
    """
    recalls = []
    for kind in (-1, 0, 1):
        members = (true == kind) & counted
        size = members.sum(axis=1)
        right = (members & (called == kind)).sum(axis=1)
        recalls.append(np.divide(right, size, out=np.full(len(true), np.nan), where=size > 0))
    found = np.stack(recalls)
    present = np.isfinite(found).sum(axis=0)
    return np.where(present > 1, np.nansum(found, axis=0) / np.maximum(present, 1), np.nan)


def direction_of_top(true: Floats, said: Floats, k: int = DIRECTION) -> Floats:
    """Share of the ``k`` genes of largest true change that are predicted in its direction ``[T]``; no change is wrong.

    Source: BioJEPAC report v0.4.
    """
    top = np.argsort(-np.abs(true), axis=1, kind="stable")[:, :k]
    signs = [np.sign(np.take_along_axis(x, top, axis=1)) for x in (true, said)]
    return np.asarray((signs[0] == signs[1]).mean(axis=1))


def overlap_at(k: int, true: Floats, said: Floats, counted: Bools) -> Floats:
    """Share of the ``k`` largest true values that are among the ``k`` largest predicted ones ``[T]``.

    Equal values share their places: a prediction of one and the same for all genes has k / G.

    Args:
        k: Genes.
        true: Sizes ``[T, G]``.
        said: Sizes ``[T, G]``.
        counted: Genes that count ``[T, G]``.

    Returns:
        NaN where fewer than ``k`` genes count.
    """
    inside = [top_k(order(x, counted), k).dense(x.shape[1]) for x in (true, said)]
    return np.asarray(np.vecdot(*inside) / k)


def rows(inputs: SuiteInputs) -> Sequence[Row]:
    """All measures of the evaluation."""
    ours, trivial = align(inputs.truth, inputs.y_hat), align(inputs.truth, inputs.train_mean)
    return [_calls(inputs, ours, trivial), _direction(inputs, ours, trivial)] + [
        _list(inputs, ours, trivial, k) for k in LISTS if k <= ours.y.shape[1]
    ]


def _shared(evaluation: Evaluation) -> tuple[Floats, Floats]:
    """True and predicted change from one and the same mean of all controls, over all genes, targets included."""
    control = gears_truth(evaluation).control
    return evaluation.y - control, evaluation.y_hat - control


def _calls(inputs: SuiteInputs, ours: Evaluation, trivial: Evaluation) -> Row:
    true, said = _shared(ours)
    of_truth = calls(ours.d)
    value = over_units(inputs.truth.units, balanced_accuracy(of_truth, calls(ours.d_hat), ours.scored)).within(0, 1)
    answers = {
        "all unchanged": mean_of(balanced_accuracy(of_truth, np.zeros_like(of_truth), ours.scored)),
        "train mean": mean_of(balanced_accuracy(of_truth, calls(trivial.d_hat), ours.scored)),
    }
    best, which = best_of(answers)
    return Row(
        NAME,
        f"3 classes, threshold {THRESHOLD}",
        mean_of(accuracy(calls(true), calls(said))),
        mean_of(accuracy(calls(true), np.zeros_like(calls(true)))),
        *value.numbers,
        best,
        which,
        None,
        value.n,
        "published: share of all genes, and its trivial answer is all unchanged; corrected: mean over the classes",
    )


def _direction(inputs: SuiteInputs, ours: Evaluation, trivial: Evaluation) -> Row:
    values = evaluate(METRICS["direction_accuracy"], ours).values
    bar = evaluate(METRICS["direction_accuracy"], trivial).values
    value = over_units(inputs.truth.units, values).within(0, 1)
    best, which = best_of({"a coin": 0.5 if value.n else None, "train mean": mean_of(bar)})
    return Row(
        NAME,
        f"direction, top {DIRECTION}",
        mean_of(direction_of_top(*_shared(ours))),
        mean_of(direction_of_top(*_shared(trivial))),
        *value.numbers,
        best,
        which,
        None,
        value.n,
        "corrected: of the significant genes"
        if value.n
        else "corrected: no perturbation has 5 genes that respond significantly",
    )


def _list(inputs: SuiteInputs, ours: Evaluation, trivial: Evaluation, k: int) -> Row:
    true, said = map(np.abs, _shared(ours))
    everything = np.ones_like(ours.scored)
    truth = np.abs(ours.de_z)
    value = over_units(inputs.truth.units, overlap_at(k, truth, np.abs(ours.d_hat), ours.scored)).within(0, 1)
    luck = mean_of(np.where(ours.scored.sum(axis=1) >= k, k / np.maximum(ours.scored.sum(axis=1), 1), np.nan))
    bar = mean_of(overlap_at(k, truth, np.abs(trivial.d_hat), ours.scored))
    best, which = best_of({"k/G": luck, "train mean": bar})
    return Row(
        NAME,
        f"P@{k}",
        mean_of(overlap_at(k, true, said, everything)),
        k / true.shape[1],
        *value.numbers,
        best,
        which,
        None,
        value.n,
        "corrected: true lists by Wilcoxon z, perturbed genes left out"
        if value.n
        else f"corrected: under {k} genes count",
    )
