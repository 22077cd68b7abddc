"""Mean shifts as pure functions, used by the truth (floors) and by the baselines (predictions) alike.

A *shift* (delta) is the mean expression of a condition less that of control cells, in log1p units, shape ``[G]``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.conditions import AT, constituents, identity, read_treated, single, treatment_of
from bench.core.doses import read_treatment
from bench.core.typing import Floats


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


#: Cells that are copied at once, and values (cells x genes) that are held dense at once.
_BLOCK_ROWS, _BLOCK_VALUES = 8_192, 2_000_000


def dense_blocks(x: sp.csr_matrix, rows: NDArray[np.int64]) -> Iterator[tuple[slice, Floats]]:
    """Expression of some cells, a few at a time, dense in float64.

    Args:
        x: Expression ``[cells, G]``, CSR.
        rows: Rows of the cells ``[N]``.

    Yields:
        Which of the N, and their values ``[n, G]``: to be used, or changed, before the next block takes their place.
    """
    size = max(1, _BLOCK_VALUES // max(1, x.shape[1]))
    block = np.empty((min(size, len(rows)), x.shape[1]))
    for begin in range(0, len(rows), size):
        part = slice(begin, min(begin + size, len(rows)))
        here = block[: part.stop - part.start]
        x[rows[part]].astype(np.float64).toarray(out=here)
        yield part, here


def group_sums(x: sp.csr_matrix, group: NDArray[Any], n_groups: int) -> tuple[Floats, Floats, Floats]:
    """Sum expression, its square, and cells by group, in float64, without ever densifying more than a few cells.

    Args:
        x: Expression ``[N, G]``, CSR.
        group: Group of each cell ``[N]``; negative = in no group.
        n_groups: Number of groups ``K``.

    Returns:
        ``(sums [K, G], sums of squares [K, G], cells [K])``.
    """
    group = np.asarray(group)
    sums, squares = np.zeros((n_groups, x.shape[1])), np.zeros((n_groups, x.shape[1]))
    rows = np.flatnonzero(group >= 0)
    rows = rows[np.argsort(group[rows], kind="stable")]  # group after group: a block adds to few rows of the sums
    for part, block in dense_blocks(x, rows):
        mine = group[rows[part]]
        first, last = int(mine[0]), int(mine[-1]) + 1
        pick = sp.csr_matrix((np.ones(len(mine)), (mine - first, np.arange(len(mine)))), (last - first, len(mine)))
        sums[first:last] += np.asarray(pick @ block)
        squares[first:last] += np.asarray(pick @ np.square(block, out=block))
    return sums, squares, np.bincount(group[rows], minlength=n_groups).astype(np.float64)


def expressing_cells(x: sp.csr_matrix, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of some cells have each gene ``[G]``."""
    found = np.zeros(x.shape[1], dtype=np.int64)
    for begin in range(0, len(rows), _BLOCK_ROWS):
        found += np.bincount(x[rows[begin : begin + _BLOCK_ROWS]].indices, minlength=x.shape[1])
    return found


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


def single_shift(gene: str, condition: str, shift_of: Mapping[frozenset[str], Floats]) -> Floats | None:
    """Shift of a constituent alone, at the dose and time of a condition; None = there is none at any.

    Where a compound is not known at that dose, its nearest one stands in: by the logs of the ratios of dose and time.

    Args:
        gene: The constituent, or compound.
        condition: GEARS name; its dose and time are those that are asked for.
        shift_of: Shift ``[G]`` of each train condition by identity.
    """
    exact = shift_of.get(identity(single(gene, treatment_of(condition))))
    if exact is not None or not treatment_of(condition):
        return exact
    wanted = read_treated(condition)
    at = {key: next(iter(key - {gene})) for key in shift_of if gene in key and len(key) == 2}
    doses = {key: read_treatment(text[1:]) for key, text in at.items() if text.startswith(AT)}
    near = [(wanted.distance(dose), text_of, key) for key, dose in doses.items() if dose for text_of in [at[key]]]
    return shift_of[min(near, key=lambda one: one[:2])[2]] if near else None


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
        known = single_shift(gene, condition, shift_of)
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


def singles(names: Sequence[str], shifts: Floats) -> tuple[tuple[str, ...], Floats]:
    """Genes ``[N]`` of the single perturbations among some conditions, and their shifts ``[N, G]``."""
    rows = [i for i, name in enumerate(names) if len(constituents(name)) == 1]
    return tuple(constituents(names[i])[0] for i in rows), shifts[rows]
