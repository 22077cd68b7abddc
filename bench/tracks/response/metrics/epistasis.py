"""Epistasis: is what a double does beyond its singles predicted?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.stats.epistasis import agreement, beyond_additive
from bench.tracks.response.metrics.case import Case
from bench.tracks.response.metrics.functional import BoolT, FloatT, FloatTG, weighted_sd
from bench.tracks.response.metrics.registry import metric

Side = tuple[FloatTG, FloatTG, FloatTG]


def _resolved_doubles(case: Case) -> NDArray[np.int64]:
    assert case.epistasis is not None
    return np.flatnonzero((case.epistasis.row >= 0) & case.epistasis.resolved)


def _truth(case: Case, rows: NDArray[np.int64]) -> Side:
    assert case.epistasis is not None
    _, *halves, to_reference = case.epistasis.of(rows)
    reference = case.y[rows] - case.d[rows]
    return case.d[rows], np.stack(halves) + to_reference, case.train_y - reference


def unresolved(case: Case) -> BoolT:
    """No double of train singles, or one whose replicates do not agree on an interaction, or that has none."""
    assert case.epistasis is not None
    out = ~case.epistasis.resolved | (case.epistasis.row < 0)
    rows = _resolved_doubles(case)
    shift, halves, common = _truth(case, rows)
    for k in (0, 1):
        left = beyond_additive(shift, halves[k], halves[1 - k], common, case.scored[rows])
        out[rows] |= ~(weighted_sd(left, case.scored[rows]) > case.truth_noise[rows])
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
def epistasis_r(case: Case) -> FloatT:
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
    assert case.epistasis is not None
    rows = _resolved_doubles(case)
    mask, shift = case.scored[rows], case.d_hat[rows]
    whole, *halves, _ = case.epistasis.of(rows)
    common = np.tile(case.train_delta, (len(rows), 1))
    claimed = weighted_sd(beyond_additive(shift, whole, whole, common, mask), mask) > case.prediction_noise[rows]
    out = np.full(len(case.y), np.nan)
    found = agreement(_truth(case, rows), (shift, np.stack(halves), common), mask)
    out[rows] = np.where(claimed, found, np.nan)
    return out
