"""Ranks by mean skill, and the places that rows share because they cannot be told apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.stats.intervals import deviation

_BLOCK = 256
#: Where the difference of two rows varies less than this share of what they vary, its variance is not taken from their
#: covariance: the digits would be lost.
_CLOSE = 1e-6
#: A smaller difference of two rows is rounding, which must decide no rank.
_TIE = 1e-9


def ranks(mean: Floats, draws: Floats, unit: float) -> NDArray[np.int64]:
    """Rank rows: place, and the places they share with rows whose paired interval includes 0.

    Args:
        mean: Mean skill ``[R]``.
        draws: Its paired draws ``[R, B]``.
        unit: Half width of an interval per standard deviation of draws; NaN = none, and all share all places.

    Returns:
        Rank, first and last shared place ``[R, 3]``.
    """
    out = np.empty((len(mean), 3), dtype=np.int64)
    for begin in range(0, len(mean), _BLOCK):
        rows = slice(begin, begin + _BLOCK)
        gap = mean - mean[rows, None]
        width = np.nan_to_num(unit * paired_deviation(draws, rows), nan=np.inf)
        out[rows, 0] = 1 + (gap > _TIE).sum(axis=1)
        out[rows, 1] = 1 + (gap > width + _TIE).sum(axis=1)
        out[rows, 2] = len(mean) - (-gap > width + _TIE).sum(axis=1)
    return out


def paired_deviation(draws: Floats, rows: slice) -> Floats:
    """Standard deviation of the difference of some rows and all ``[r, R]``, from their covariances where these tell.

    Args:
        draws: ``[R, B]``; NaN = undefined.
        rows: Which.
    """
    centred = np.nan_to_num(draws - draws.mean(axis=1, keepdims=True))
    square = np.asarray((centred**2).sum(axis=1))
    both = square[rows, None] + square
    variance = both - 2 * centred[rows] @ centred.T
    whole = np.asarray(np.isfinite(draws).all(axis=1))
    explicit = (variance <= _CLOSE * both) | ~whole | ~whole[rows, None]
    out = np.sqrt(np.maximum(variance, 0) / max(draws.shape[1] - 1, 1))
    for i in np.flatnonzero(explicit.any(axis=1)):
        others = np.flatnonzero(explicit[i])
        out[i, others] = deviation((draws[others] - draws[rows][i]).T)
    return np.asarray(out)
