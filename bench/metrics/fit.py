"""Fit: share of variance over genes that is explained. Not a family: it mixes pattern with size."""

from __future__ import annotations

import math

from bench.metrics.case import Case
from bench.metrics.functional import BoolT, FloatT, r2, weighted_sd
from bench.metrics.registry import flat, metric


def constant_expression(case: Case) -> BoolT:
    """All scored genes have the same true mean, or none is scored."""
    return ~(weighted_sd(case.y, case.scored) > case.truth_noise)


@metric(
    "r2",
    better="high",
    chance=None,
    range=(-math.inf, 1.0),
    undefined=constant_expression,
    formula="1 - sum (y - y_hat)^2 / sum (y - mean y)^2 over scored genes",
    source="scikit-learn r2_score(y, y_hat); reported by scGen (Lotfollahi et al. 2019) and its successors",
    trap="no_change is near 1 here: genes differ far more than conditions do",
)
def r2_of_means(case: Case) -> FloatT:
    """R2 of the mean expression, [T]. Undefined: constant y."""
    return r2(truth=case.y, prediction=case.y_hat, weights=case.scored)


@metric(
    "r2_delta",
    better="high",
    chance=None,
    range=(-math.inf, 1.0),
    undefined=flat,
    formula="1 - sum (d - d_hat)^2 / sum (d - mean d)^2 over scored genes",
    source="scikit-learn r2_score(d, d_hat)",
    trap="with swapped arguments a prediction of 0.2 x truth scores -15 instead of .36 (PerturBench)",
)
def r2_of_shifts(case: Case) -> FloatT:
    """R2 of the shift, [T]. Undefined: constant d."""
    return r2(truth=case.d, prediction=case.d_hat, weights=case.scored)
