"""Mean shifts as pure functions, used by the truth (floors) and by the baselines (predictions) alike.

A *shift* (delta) is the mean expression of a condition less that of control cells, in log1p units, shape ``[G]``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.conditions import constituents, identity, single

Floats = NDArray[np.float64]
_BLOCK_ROWS = 16_384


def group_sums(x: sp.csr_matrix, group: NDArray[Any], n_groups: int) -> tuple[Floats, Floats, Floats]:
    """Sum expression, its square, and cells by group, in float64, without densifying the cells.

    Args:
        x: Expression ``[N, G]``, CSR.
        group: Group of each cell ``[N]``; negative = in no group.
        n_groups: Number of groups ``K``.

    Returns:
        ``(sums [K, G], sums of squares [K, G], cells [K])``.
    """
    group = np.asarray(group)
    sums, squares = np.zeros((n_groups, x.shape[1])), np.zeros((n_groups, x.shape[1]))
    # An indicator matrix times the data is one pass over the non-zeros in compiled code; in blocks, because in float64
    # the whole data would be held a second time.
    for start in range(0, x.shape[0], _BLOCK_ROWS):
        part = x[start : start + _BLOCK_ROWS].astype(np.float64)
        rows = np.flatnonzero(group[start : start + _BLOCK_ROWS] >= 0)
        pick = sp.csr_matrix((np.ones(len(rows)), (group[start + rows], rows)), shape=(n_groups, part.shape[0]))
        sums += (pick @ part).toarray()
        part.data **= 2
        squares += (pick @ part).toarray()
    return sums, squares, np.bincount(group[group >= 0], minlength=n_groups).astype(np.float64)


def row_mean(x: sp.csr_matrix, rows: NDArray[np.int64]) -> Floats:
    """Mean expression of some cells ``[G]`` in float64; scipy's own mean of float32 data sums in float32."""
    mean: Floats = np.asarray(x[rows].astype(np.float64).mean(axis=0)).ravel()
    return mean


def train_mean(shifts: Floats) -> Floats:
    """Mean shift of the train conditions, each condition counting once.

    Args:
        shifts: Shifts of the train conditions ``[T, G]``.

    Returns:
        ``[G]``; zeros when there is no train condition.

    Source: the ``mean`` row of Ahlmann-Eltze and Huber 2025; the floor of every metric here.
    """
    return shifts.mean(axis=0) if len(shifts) else np.zeros(shifts.shape[1])


def additive(condition: str, shift_of: Mapping[frozenset[str], Floats], fallback: Floats) -> tuple[Floats, int]:
    """Sum of the constituents' single shifts.

    Args:
        condition: GEARS name.
        shift_of: Shift ``[G]`` of each train condition by identity.
        fallback: Shift used for a constituent whose single is not in train ``[G]`` (the train mean).

    Returns:
        The shift ``[G]`` and how many constituents fell back.

    Source: the ``additive`` model of Ahlmann-Eltze and Huber 2025, with singles restricted to train.
    """
    total = np.zeros_like(fallback)
    missing = 0
    for gene in constituents(condition):
        known = shift_of.get(identity(single(gene)))
        missing += known is None
        total = total + (fallback if known is None else known)
    return total, missing


def weighted_controls(means: Floats, weights: Floats) -> Floats:
    """Average control means over contexts with the weights of each condition's own cells.

    Args:
        means: Control mean by context ``[C, G]``.
        weights: Cells of each condition by context ``[T, C]``, rows summing to 1.

    Returns:
        ``[T, G]``.
    """
    return weights @ means


def shifts_by_identity(names: Sequence[str], shifts: Floats) -> dict[frozenset[str], Floats]:
    """Index shifts ``[T, G]`` by condition identity."""
    return {identity(name): shift for name, shift in zip(names, shifts, strict=True)}
