"""Where candidates stand in a ranking, a second time: by counting who is above each and who is tied with it.

What is measured of tied candidates is the mean over their orders.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]

#: Scores closer than this are tied; permutations of the null.
TIE, PERMUTATIONS = 1e-9, 199
TOPS = (1, 5, 10)


def counted(scores: Floats) -> tuple[Rows, Rows]:
    """How many candidates are above each, and how many are tied with it, itself among them ``[Q, C]``.

    Args:
        scores: Higher is better ``[Q, C]``; minus infinity = last.
    """
    above, tied = np.zeros(scores.shape, dtype=np.int64), np.zeros(scores.shape, dtype=np.int64)
    for q, row in enumerate(scores):
        ordered = np.sort(row)
        right, left = np.searchsorted(ordered, row + TIE, "right"), np.searchsorted(ordered, row - TIE)
        above[q], tied[q] = len(row) - right, right - left
    return above, tied


def counted_of(scores: Floats, own: Rows, level: Rows | None = None) -> tuple[Rows, Rows]:
    """The same of one candidate of each query ``[Q]``.

    Args:
        scores: As for :func:`counted`.
        own: Which one ``[Q]``.
        level: Whoever has a higher one is above, whatever the scores ``[Q, C]``.
    """
    q = np.arange(len(own))
    levels = np.zeros(scores.shape, dtype=np.int64) if level is None else level
    mine, at = scores[q, own][:, None], levels[q, own][:, None]
    same, better = levels == at, (scores > mine + TIE)
    tied = same & ~better & (scores >= mine - TIE)
    return ((levels > at) | (same & better)).sum(axis=1), tied.sum(axis=1)


def reciprocal(above: Rows, tied: Rows) -> Floats:
    """Mean of 1 / rank over the orders of the tied."""
    most = int((above + tied).max(initial=0))
    sums = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, most + 1))])
    return np.asarray((sums[above + tied] - sums[above]) / tied)


def within(k: int, above: Rows, tied: Rows) -> Floats:
    """Share of the orders of the tied in which a candidate is among the first ``k``."""
    return np.asarray(np.minimum(np.maximum(k - above, 0), tied) / tied)


def measures(above: Rows, tied: Rows, count: int) -> dict[str, Floats]:
    """All that is measured of places among ``count`` candidates, each in their shape."""
    return {
        "mrr": reciprocal(above, tied),
        **{f"hit{k}": within(k, above, tied) for k in TOPS},
        "rank": np.asarray((above + 0.5 * (tied - 1)) / max(count - 1, 1)),
    }


def null(values: Floats, own: Rows, strata: Rows, seed: int) -> tuple[float, float]:
    """What is had for knowing the stratum of the right candidate alone, and the p of permutations within strata.

    Args:
        values: What each query would score if a candidate were the right one ``[Q, C]``.
        own: The right one of each ``[Q]``.
        strata: Of each candidate ``[C]``.
        seed: Of the task: permutations are drawn stratum by stratum, in ascending order.
    """
    mean = float(np.mean([row[strata == strata[one]].mean() for row, one in zip(values, own, strict=True)]))
    queries = np.arange(len(own))
    observed = values[queries, own].mean()
    rng = np.random.default_rng([seed, 0x9E12])
    members = [np.flatnonzero(strata == one) for one in np.unique(strata)]
    as_good = 1
    for _ in range(PERMUTATIONS):
        moved = np.zeros(len(strata), dtype=np.int64)
        for group in members:
            moved[group] = rng.permutation(group)
        as_good += int(values[queries, moved[own]].mean() >= observed - 1e-12)
    return mean, as_good / (1 + PERMUTATIONS)
