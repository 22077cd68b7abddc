"""Epistasis: is what a double does beyond its singles predicted?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.stats.epistasis import agreement, beyond_additive, unshared_agreement
from bench.tracks.response.metrics.evaluation import Evaluation
from bench.tracks.response.metrics.functional import BoolT, FloatT, FloatTG, weighted_sd
from bench.tracks.response.metrics.registry import metric

Side = tuple[FloatTG, FloatTG, FloatTG]


def _resolved_doubles(evaluation: Evaluation) -> NDArray[np.int64]:
    assert evaluation.epistasis is not None
    return np.flatnonzero((evaluation.epistasis.row >= 0) & evaluation.epistasis.resolved)


def _truth(evaluation: Evaluation, rows: NDArray[np.int64]) -> Side:
    assert evaluation.epistasis is not None
    _, *halves, to_reference = evaluation.epistasis.of(rows)
    reference = evaluation.y[rows] - evaluation.d[rows]
    return evaluation.d[rows], np.stack(halves) + to_reference, evaluation.train_y - reference


def unresolved(evaluation: Evaluation) -> BoolT:
    """No double of train singles, or one whose replicates do not agree on an interaction, or that has none."""
    assert evaluation.epistasis is not None
    out = ~evaluation.epistasis.resolved | (evaluation.epistasis.row < 0)
    rows = _resolved_doubles(evaluation)
    shift, halves, common = _truth(evaluation, rows)
    for k in (0, 1):
        left = beyond_additive(shift, halves[k], halves[1 - k], common, evaluation.scored[rows])
        out[rows] |= ~(weighted_sd(left, evaluation.scored[rows]) > evaluation.truth_noise[rows])
    return out


@metric(
    "epistasis_r",
    better="high",
    chance=0.0,
    range=(-1.0, 1.0),
    needs=frozenset({"epistasis"}),
    ranked=False,
    undefined=unresolved,
    formula="corr of d and d_hat over scored genes after each lost its mean, its multiple of the train-mean shift and "
    "its multiple of the additive shift, both estimated from disjoint cells; mean of both ways round",
    source="this benchmark; interaction as deviation from fitted singles: Norman et al. 2019",
    trap="one additive estimate on both sides correlates them by its noise. A prediction that carries the noise of the "
    "train singles is pulled below 0, by up to .63 at any number of cells (the plain sum itself is chance): read a "
    "negative value as none",
)
def epistasis_r(evaluation: Evaluation) -> FloatT:
    """Correlation of what truth and prediction hold beyond the singles, [T].

    Defined for doubles whose singles are both in train and whose replicates (half the double's cells against the other
    half, reference against input controls) agree on an interaction: mean over halvings less two standard errors above
    0. The truth's additive shift is measured from half the singles' cells against the reference controls, the
    prediction's from the other half against the input controls, and each is removed as the multiple that fits
    (instrumental variables), then the halves swap. A prediction that is a combination of the train mean and the
    measured additive shift claims no interaction and scores chance: no_change, train_mean, additive. A prediction
    that knows the true additive shift, or nothing, averages 0. No test can clear a model of noise that it copied from
    the very singles by which the truth is corrected, so that error can only lower its value. Degenerate: 0.
    """
    assert evaluation.epistasis is not None
    rows = _resolved_doubles(evaluation)
    mask, shift = evaluation.scored[rows], evaluation.d_hat[rows]
    whole, *halves, _ = evaluation.epistasis.of(rows)
    common = np.tile(evaluation.train_delta, (len(rows), 1))
    claimed = weighted_sd(beyond_additive(shift, whole, whole, common, mask), mask) > evaluation.prediction_noise[rows]
    out = np.full(len(evaluation.y), np.nan)
    found = agreement(_truth(evaluation, rows), (shift, np.stack(halves), common), mask)
    out[rows] = np.where(claimed, found, np.nan)
    return out


def kept_unresolved(evaluation: Evaluation) -> BoolT:
    """No double of singles with kept cells, or one whose replicates do not agree on an interaction, or without any."""
    part = evaluation.epistasis
    assert part is not None
    out = ~part.kept_resolved | (part.row < 0)
    rows = np.flatnonzero(~out)
    shift, singles, common = _kept_truth(evaluation, rows)
    left = beyond_additive(shift, singles[0], singles[1], common, evaluation.scored[rows])
    out[rows] |= ~(weighted_sd(left, evaluation.scored[rows]) > evaluation.truth_noise[rows])
    return out


def _kept_truth(evaluation: Evaluation, rows: NDArray[np.int64]) -> tuple[FloatTG, FloatTG, FloatTG]:
    assert evaluation.epistasis is not None
    whole, _, _, to_reference = evaluation.epistasis.of(rows)
    kept = np.asarray(evaluation.epistasis.kept[evaluation.epistasis.row[rows]], dtype=np.float64)
    reference = evaluation.y[rows] - evaluation.d[rows]
    return evaluation.d[rows], np.stack([kept, whole + to_reference]), evaluation.train_y - reference


@metric(
    "epistasis_kept_r",
    better="high",
    chance=0.0,
    range=(-1.0, 1.0),
    family="epistasis",
    needs=frozenset({"epistasis"}),
    undefined=kept_unresolved,
    optional=True,
    formula="corr of d and d_hat over scored genes after each lost its mean, its multiple of the train-mean shift and "
    "its multiple of the additive shift: d that of cells of the singles which no model sees, d_hat that of train cells",
    source="this benchmark; interaction as deviation from fitted singles: Norman et al. 2019",
    trap="with the train singles on both sides, noise that a model fitted is held against it, and with one estimate on "
    "both sides a prediction of nothing scores above 0. The additive prediction is 0 by definition",
)
def epistasis_kept_r(evaluation: Evaluation) -> FloatT:
    """Correlation of what truth and prediction hold beyond the singles, [T], where a split keeps cells of each single.

    Defined for doubles whose singles have such cells, and whose replicates (half of the double's cells against the
    other half) agree on an interaction by two standard errors. A combination of the train mean and the measured
    additive shift claims no interaction and scores chance: no_change, train_mean, additive. Degenerate: 0.
    """
    assert evaluation.epistasis is not None
    rows = np.flatnonzero(evaluation.epistasis.kept_resolved & (evaluation.epistasis.row >= 0))
    mask, shift = evaluation.scored[rows], evaluation.d_hat[rows]
    whole = evaluation.epistasis.of(rows)[0]
    common = np.tile(evaluation.train_delta, (len(rows), 1))
    claimed = weighted_sd(beyond_additive(shift, whole, whole, common, mask), mask) > evaluation.prediction_noise[rows]
    found = unshared_agreement(_kept_truth(evaluation, rows), (shift, whole, common), mask)
    out = np.full(len(evaluation.y), np.nan)
    out[rows] = np.where(claimed, found, np.nan)
    return out
