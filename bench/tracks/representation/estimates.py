"""Rows of one board at once: intervals over units, and the ranks that rows share because they cannot be told apart.

Pure functions of values per unit. Units are drawn by identity over the union of all split seeds, the same draws for
every row: the difference of two rows is paired.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.stats.intervals import Design, design, half_width, means, width_of
from bench.stats.ranks import ranks


def plan_for(units: Sequence[Sequence[str]]) -> Design:
    """Draw the units of all split seeds together.

    Args:
        units: By split seed, the canonical name of each unit (:func:`bench.tracks.representation.scores.unit_key`).
    """
    return design(units)


def interval_half_widths(plan: Design, values: Sequence[Floats]) -> Floats:
    """Half widths of 95% intervals over units and split seeds ``[R, M]``; NaN with fewer than 8 distinct units.

    Args:
        plan: From :func:`plan_for`.
        values: By split seed ``[n_s, R, M]`` of R rows and M metrics, in the order of the plan's units; NaN =
            undefined.
    """
    rows, metrics = values[0].shape[1:]
    found = means(plan, [block.reshape(len(block), rows * metrics) for block in values])
    return half_width(found.level, found.n, found.distinct).reshape(rows, metrics)


def shared_ranks(plan: Design, level: Floats, values: Sequence[Floats]) -> NDArray[np.int64]:
    """Rank rows by one metric, higher = better.

    Args:
        plan: From :func:`plan_for`.
        level: Mean over units and split seeds ``[R]``.
        values: By split seed ``[n_s, R]``, defined for the same units in every row.

    Returns:
        Place, first and last shared place ``[R, 3]``: a row shares the places of those whose paired 95% interval of
        the difference holds 0; with fewer than 8 distinct units all rows share all places.
    """
    found = means(plan, values)
    unit = width_of(np.ones(1), found.n[:1], found.distinct[:1])[0]
    return ranks(level, found.paired.T, float(unit))
