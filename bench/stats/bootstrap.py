"""The bootstrap in closed form: with the conditions that define a metric given, its draws are linear in its values.

``theta*_b = L_b v``, where ``L`` ``[B, K]`` depends on the drawn conditions and on which of the ``K`` values are
defined, not on the values; these are the conditions under each seed, one seed after the other. Rows and metrics that
are defined on the same conditions share ``L``, and the standard deviation over draws is the norm of
``(L - mean L) v / sqrt(B - 1)``. The same numbers as the draws of :class:`bench.stats.intervals.Means`, to rounding,
for thousands of columns at once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.stats.intervals import Design

#: Numbers in an intermediate array: small enough for a processor's cache.
_CHUNK = 1 << 18

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Maps:
    """Coefficients of the draws ``[B, k]`` for the defined values; a draw that holds none of them is a row of NaN.

    Attributes:
        paired: With the seeds as they are.
        level: With the seeds resampled too.
    """

    paired: Floats
    level: Floats


def maps(plan: Design, known: Mask) -> Maps:
    """Make the coefficients for one pattern of defined values; the latest are kept, as most columns share one.

    Args:
        plan: The draws.
        known: Which values are defined ``[K]``.
    """
    return _maps(plan, known.tobytes())


@functools.lru_cache(maxsize=4)
def _maps(plan: Design, pattern: bytes) -> Maps:
    known = np.frombuffer(pattern, dtype=bool)
    sizes = [len(ids) for ids in plan.ids]
    shares, defined = [], []
    for ids, mask in zip(plan.ids, np.split(known, np.cumsum(sizes)[:-1]), strict=True):
        w = plan.weights[:, ids] * mask
        total = w.sum(axis=1)
        defined.append(total > 0)
        shares.append(w / np.maximum(total, 1)[:, None])
    once = np.stack(defined, axis=1)
    times = once * (plan.picks[:, :, None] == np.arange(len(sizes))).sum(axis=1)

    def spread(count: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            of_seed = count / count.sum(axis=1, keepdims=True)  # over seeds whose draw defines it
        return np.concatenate([share * of_seed[:, [s]] for s, share in enumerate(shares)], axis=1)[:, known]

    return Maps(spread(once.astype(np.float64)), spread(times.astype(np.float64)))


def patterns(known: Mask) -> Iterator[tuple[Mask, NDArray[np.int64]]]:
    """Group columns by the values that they define.

    Args:
        known: ``[K, C]``.

    Yields:
        A pattern ``[K]`` and the indices of its columns.
    """
    groups: dict[bytes, list[int]] = {}
    for i, packed in enumerate(np.ascontiguousarray(np.packbits(known, axis=0).T)):
        groups.setdefault(packed.tobytes(), []).append(i)
    for columns in groups.values():
        yield known[:, columns[0]], np.array(columns)


def distinct(plan: Design, known: Mask) -> int:
    """Count the conditions that are defined under some seed; ``known`` is ``[K]``."""
    return len(np.unique(np.concatenate(plan.ids)[known]))


def level_deviation(plan: Design, values: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Standard deviation over the draws that resample conditions and seeds, and the number of distinct conditions.

    Args:
        plan: The draws.
        values: ``[K, C]``; NaN = undefined.

    Returns:
        Two arrays ``[C]``.
    """
    known = np.isfinite(values)
    sd, n = np.zeros(values.shape[1]), np.zeros(values.shape[1], dtype=np.int64)
    for pattern, columns in patterns(known):
        if pattern.any():
            n[columns] = distinct(plan, pattern)
            block = values[np.ix_(np.flatnonzero(pattern), columns)]
            sd[columns] = deviation_of(maps(plan, pattern).level, block)
    return sd, n


def deviation_of(coefficients: Floats, values: Floats) -> Floats:
    """Standard deviation of ``coefficients @ values`` over draws ``[C]``.

    Args:
        coefficients: Of :class:`Maps` ``[B, k]``.
        values: ``[k, C]``, all defined.
    """
    drawn = coefficients[np.isfinite(coefficients).all(axis=1)]
    count = max(len(drawn), 2)
    centred = drawn - drawn.sum(axis=0) / count
    # A draw's coefficients sum to 1, so that a constant moves no deviation; without it no digits are lost where values
    # hardly differ.
    values = values - values.mean(axis=0)
    if values.shape[1] > centred.shape[1] < len(centred):
        gram = centred.T @ centred
        squares = np.einsum("kc,kc->c", values, gram @ values)
        return np.asarray(np.sqrt(np.maximum(squares, 0.0) / (count - 1)))
    step = max(1, _CHUNK // max(len(centred), 1))
    squares = [((centred @ values[:, i : i + step]) ** 2).sum(axis=0) for i in range(0, values.shape[1], step)]
    return np.asarray(np.sqrt(np.concatenate(squares) / (count - 1)))


def draws(plan: Design, values: Floats) -> tuple[Floats, Floats]:
    """The draws themselves, for what is not linear in them.

    Args:
        plan: The draws.
        values: ``[K, C]``; NaN = undefined.

    Returns:
        Those with the seeds as they are and those with the seeds resampled ``[C, B]``; NaN = undefined.
    """
    known = np.isfinite(values)
    paired, level = (np.full((values.shape[1], len(plan.weights)), np.nan) for _ in range(2))
    for pattern, columns in patterns(known):
        if pattern.any():
            coefficients, block = maps(plan, pattern), values[np.ix_(np.flatnonzero(pattern), columns)].T
            paired[columns] = block @ coefficients.paired.T
            level[columns] = block @ coefficients.level.T
    return paired, level
