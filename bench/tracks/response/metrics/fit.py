"""Fit: share of variance over genes that is explained. Not a family: it mixes pattern with size."""

from __future__ import annotations

import math

import numpy as np

from bench.core.track import BY_CALLS
from bench.tracks.response.metrics.cache import cached
from bench.tracks.response.metrics.evaluation import Evaluation
from bench.tracks.response.metrics.functional import BoolT, FloatT, FloatTG, Standard, divide, standardise
from bench.tracks.response.metrics.registry import flat, metric


@cached("truth")
def true_expression(evaluation: Evaluation) -> Standard:
    """True means over scored genes, standardised."""
    return standardise(evaluation.y, evaluation.scored)


def constant_expression(evaluation: Evaluation) -> BoolT:
    """All scored genes have the same true mean, or none is scored."""
    return ~(true_expression(evaluation).sd > evaluation.truth_noise)


def explained(evaluation: Evaluation, residual: FloatTG, truth: Standard) -> FloatT:
    """1 - sum residual^2 / (n sd^2) over the n scored genes, [T]: see
    :func:`bench.tracks.response.metrics.functional.r2`.
    """
    left = np.where(evaluation.scored, residual, 0.0)
    total = evaluation.scored.sum(axis=1) * np.where(truth.constant, np.nan, truth.sd) ** 2
    return 1.0 - divide(np.asarray(np.vecdot(left, left)), total)


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
def r2_of_means(evaluation: Evaluation) -> FloatT:
    """R2 of the mean expression, [T]. Undefined: constant y."""
    return explained(evaluation, evaluation.y - evaluation.y_hat, true_expression(evaluation))


@metric(
    "r2_delta",
    better="high",
    chance=None,
    range=(-math.inf, 1.0),
    undefined=flat,
    tolerance=BY_CALLS,
    formula="1 - sum (d - d_hat)^2 / sum (d - mean d)^2 over scored genes",
    source="scikit-learn r2_score(d, d_hat)",
    trap="with swapped arguments a prediction of 0.2 x truth scores -15 instead of .36 (PerturBench)",
)
def r2_of_shifts(evaluation: Evaluation) -> FloatT:
    """R2 of the shift, [T]. Undefined: constant d."""
    return explained(evaluation, evaluation.d - evaluation.d_hat, evaluation.true_shift)
