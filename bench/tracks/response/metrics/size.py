"""Size: is the shift as large as the true one? Nothing else stops a model from scaling its answers."""

from __future__ import annotations

import math

import numpy as np

from bench.tracks.response.metrics.cache import cached
from bench.tracks.response.metrics.evaluation import Evaluation
from bench.tracks.response.metrics.functional import BoolT, FloatT, FloatTG, divide, weighted_mean
from bench.tracks.response.metrics.registry import metric

LIMIT = math.log(10.0)  # wrong by a factor of ten is as wrong as it gets: one condition must not rule a mean


#: Standard errors by which a true shift must exceed its own sampling noise before it has a size.
CLEAR = 2.0


@cached("truth")
def true_scored(evaluation: Evaluation) -> FloatTG:
    """d, [T, G]; 0 at genes that are not scored."""
    return np.where(evaluation.scored, evaluation.d, 0.0)


@cached("truth")
def no_shift(evaluation: Evaluation) -> BoolT:
    """A truth without any shift has no size to compare with."""
    return np.asarray(np.abs(true_scored(evaluation)).max(axis=1, initial=0.0) <= evaluation.truth_noise)


@cached("prediction")
def predicted_size(evaluation: Evaluation) -> FloatT:
    """Squared norm of d_hat over scored genes, [T]."""
    shift = np.where(evaluation.scored, evaluation.d_hat, 0.0)
    return np.asarray(np.vecdot(shift, shift))


@cached("truth")
def noise_moments(evaluation: Evaluation) -> tuple[FloatT, FloatT]:
    """Sums over scored genes of the sampling variance of d, and of its square, [T]."""
    if evaluation.d_var is None:
        return np.zeros(len(evaluation.y)), np.zeros(len(evaluation.y))
    variance = np.where(evaluation.scored, evaluation.d_var, 0.0)
    return variance.sum(axis=1), np.asarray(np.vecdot(variance, variance))


@cached("truth")
def true_size(evaluation: Evaluation) -> FloatT:
    """Squared norm of the true shift less what sampling noise adds to it, [T].

    E norm(d)^2 = norm(true d)^2 + sum var(d). Without the correction the truth of a weak condition is mostly noise, and
    a model that adds noise of its own wins the size family.
    """
    shift = true_scored(evaluation)
    return np.asarray(np.vecdot(shift, shift) - noise_moments(evaluation)[0])


@cached("truth")
def no_size(evaluation: Evaluation) -> BoolT:
    """No shift, or one whose size is not clear of its noise: sd of sum noise^2 = sqrt(2 sum var^2)."""
    error = np.sqrt(2.0 * noise_moments(evaluation)[1])
    return np.asarray(no_shift(evaluation) | (true_size(evaluation) <= CLEAR * error))


def log_ratio(evaluation: Evaluation) -> FloatT:
    """log(norm(d_hat) / size of the true shift) over scored genes, clipped to +-log 10, [T]; prediction 0: -log 10."""
    size = np.where(no_size(evaluation), np.nan, true_size(evaluation))
    ratio = np.sqrt(divide(predicted_size(evaluation), size))
    logs: FloatT = np.log(np.clip(ratio, math.exp(-LIMIT), math.exp(LIMIT)))
    return np.clip(logs, -LIMIT, LIMIT)  # exp and log do not undo each other to the last digit


@metric(
    "shift_ratio",
    better="high",
    chance=None,
    range=(-LIMIT, 0.0),
    family="size",
    undefined=no_size,
    formula="-min(abs log(norm(d_hat) / s), log 10), s^2 = norm(d)^2 - sampling noise, over scored genes; 0 is right",
    source="this benchmark",
    trap="correlations do not see scale: ten times a prediction loses here; so does a prediction that is mostly noise",
)
def shift_ratio(evaluation: Evaluation) -> FloatT:
    """The score form of the norm ratio, [T]. Undefined: no size clear of noise. Zero prediction: -log 10."""
    return 0.0 - np.abs(log_ratio(evaluation))  # not -abs: a perfect size is 0.0, not -0.0


@metric(
    "shift_log_ratio",
    better="zero",
    chance=None,
    range=(-LIMIT, LIMIT),
    ranked=False,
    undefined=no_size,
    formula="log(norm(d_hat) / s), s as in shift_ratio, clipped to +-log 10; tables print exp of its mean",
    source="this benchmark, the signed form of shift_ratio",
    trap="a mean of ratios is ruled by the largest; a mean of logs is the geometric mean",
)
def shift_log_ratio(evaluation: Evaluation) -> FloatT:
    """The signed log ratio, below 0 = too small, [T]. Undefined: no size clear of noise. Zero prediction: -log 10."""
    return log_ratio(evaluation)


@metric(
    "shift_magnitude",
    better="none",
    chance=None,
    range=(0.0, math.inf),
    ranked=False,
    formula="mean abs d_hat over scored genes",
    source="this benchmark",
    trap="it says how much a model moves, not whether it should: no value is best, and it is never ranked",
)
def shift_magnitude(evaluation: Evaluation) -> FloatT:
    """Mean abs d_hat over scored genes, [T]; 0 where none is scored. Never undefined."""
    return predicted_magnitude(evaluation)


@cached("prediction")
def predicted_magnitude(evaluation: Evaluation) -> FloatT:
    """Mean abs d_hat over scored genes, [T]; 0 where none is scored."""
    return np.nan_to_num(weighted_mean(np.abs(evaluation.d_hat), evaluation.scored))


@metric(
    "calibration_slope",
    better="one",
    chance=0.0,
    range=(-math.inf, math.inf),
    ranked=False,
    undefined=no_shift,
    formula="<d_hat, d> / <d_hat, d_hat> over scored genes: the factor that would fit d_hat to d best",
    source="Cox 1958, calibration slope (through the origin)",
    trap="below 1 = shifts too large; a shrunken prediction has a slope above 1 and still loses shift_ratio",
)
def calibration_slope(evaluation: Evaluation) -> FloatT:
    """Least-squares factor from d_hat to d, [T]. Undefined: no true shift. Degenerate: 0."""
    return divide(np.asarray(np.vecdot(evaluation.d_hat, true_scored(evaluation))), predicted_size(evaluation))
