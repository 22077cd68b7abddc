"""Ranks of rows that may be hard to tell apart: 1 + the number of rows that are clearly better."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.stats.intervals import holm_array
from bench.stats.jackknife import Estimate, degrees

#: Two-sided error rate over all pairs of a board.
ALPHA = 0.05
#: A smaller difference of two rows is rounding, which must decide no rank.
_TIE = 1e-9
#: Where two rows vary nearly alike their difference is taken number by number: in squares its digits would be lost.
_CLOSE = 1e-6
_BLOCK = 128


class Pairs(NamedTuple):
    """Differences of all pairs of rows ``[R, R]``: row less column.

    Attributes:
        gap: Difference of the values.
        variance: Of the difference.
        df: Degrees of freedom; NaN = too few genes to tell.
    """

    gap: Floats
    variance: Floats
    df: Floats


def ranks(found: Estimate) -> NDArray[np.int64]:
    """Rank rows; a difference is clear if it stays so after Holm's correction over all pairs.

    Args:
        found: What they are ranked by, higher is better ``[R]``, all defined.

    Returns:
        1 + rows that are clearly better, and R - rows that are clearly worse ``[R, 2]``.
    """
    from scipy.special import stdtr

    pairs = differences(found)
    rows = len(found.value)
    upper = np.triu_indices(rows, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.abs(pairs.gap[upper]) / np.sqrt(pairs.variance[upper])
    p = 2 * stdtr(pairs.df[upper], -t)
    p = np.where(np.abs(pairs.gap[upper]) <= _TIE, 1.0, np.nan_to_num(p, nan=1.0))
    clear = np.zeros((rows, rows), dtype=np.bool_)
    clear[upper] = holm_array(p) <= ALPHA
    clear |= clear.T
    worse = clear & (pairs.gap < 0)  # the row is clearly worse than the column
    return np.stack([1 + worse.sum(axis=1), rows - worse.sum(axis=0)], axis=1)


def differences(found: Estimate) -> Pairs:
    """Differences of all pairs, as :class:`bench.stats.jackknife.Estimate` makes them one by one.

    Args:
        found: Numbers ``[R]``.
    """
    rows = len(found.value)
    variance, conditions = np.empty((rows, rows)), np.empty((rows, rows))
    training = found.training[:, None] + found.training
    moved = found.draws - found.draws.mean(axis=0) if len(found.draws) else found.draws
    parts = [found.deleted.T, found.units.T, moved.T]  # [R, *]
    for begin in range(0, rows, _BLOCK):
        block = slice(begin, begin + _BLOCK)
        deleted, units, draws = (_squares(part, block, weights) for part, weights in zip(parts, _weights(found)))
        whole = units[1]
        conditions[block] = np.maximum(deleted[0] - units[0], whole)
        by_reference = draws[0] / max(len(found.draws) - 1, 1)
        variance[block] = conditions[block] + training[block] + by_reference
    near = np.argwhere(np.triu(variance <= _CLOSE * (found.variance[:, None] + found.variance), 1))
    for i, j in near.tolist():
        one = found.take([i]) - found.take([j])
        variance[i, j] = variance[j, i] = one.variance[0]
        conditions[i, j] = conditions[j, i] = one.by_conditions[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(found.training > 0, found.training**2 / found.training_df, 0.0)
        noise_df = np.where(training > 0, training**2 / (share[:, None] + share), 0.0)
    effective = np.minimum(found.effective[:, None], found.effective)
    df = degrees(found.plan, effective, variance, conditions, (training, noise_df))
    return Pairs(found.value[:, None] - found.value, variance, df)


def _weights(found: Estimate) -> list[list[Floats]]:
    """Weights of the squares: of deletions; of units twice (their excess, and all alike); of draws."""
    return [
        [found.plan.shrink],
        [found.plan.excess, np.ones(found.plan.distinct)],
        [np.ones(len(found.draws))],
    ]


def _squares(part: Floats, block: slice, weights: list[Floats]) -> list[Floats]:
    """Weighted squared distances of some rows from all ``[r, R]``, for each of some weights."""
    out = []
    for weight in weights:
        scaled = part * np.sqrt(weight)
        square = (scaled**2).sum(axis=1)
        out.append(np.maximum(square[block, None] + square - 2 * scaled[block] @ scaled.T, 0.0))
    return out
