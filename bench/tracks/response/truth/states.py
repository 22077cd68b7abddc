"""Responses by state of the cell: one part of a cell's counts says in which state it is, the other what it does.

Both ways round are averaged: see :mod:`bench.data.cell_states`, which says in which state a cell is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.data.cell_states import MIN_CELLS, STATES, Rows, fitted, parts_of, rows_of
from bench.data.task import Task
from bench.stats.cellstates import CellStates, composition_change

Sides = NDArray[np.uint8]


def state_facts(task: Task, context: Rows, side: Sides) -> dict[str, Any]:
    """Measure the response of each unit in each state.

    Args:
        task: The task, of T units.
        context: Context of each unit ``[T]``.
        side: Half of each cell of the data, by halving ``[H, cells]``.

    Returns:
        ``state_shift [T, K, G]`` and ``state_half [2 H, T, K, G]``, float32, NaN where a state has too few cells (a
        half: none); ``state_change [T]``; ``state_reasons [C]``. K is 0 where no context has states.
    """
    dataset, units = task.dataset, task.units
    reasons = [""] * len(dataset.contexts)
    found = {}
    for c, stated in fitted(task).items():
        reasons[c] = stated.reason
        if stated.states is not None:
            measured = _measure(task, c, stated.states, np.flatnonzero(context == c), side)
            if isinstance(measured, str):
                reasons[c] = measured
            else:
                found[c] = measured
    shape = (len(units), STATES if found else 0, len(dataset.genes))
    shift, change = np.full(shape, np.nan, dtype=np.float32), np.full(len(units), np.nan)
    half = np.full((2 * len(side), *shape), np.nan, dtype=np.float32)
    for c, measured in found.items():
        mine = context == c
        shift[mine], half[:, mine], change[mine] = measured[0][0], measured[0][1:], measured[1]
    return {"state_shift": shift, "state_half": half, "state_change": change, "state_reasons": tuple(reasons)}


def _measure(task: Task, c: int, states: CellStates, mine: Rows, side: Sides) -> tuple[Floats, Floats] | str:
    """Shifts of all cells and of each half ``[1 + 2 H, T, K, G]`` and changes ``[T]`` of a context's T units."""
    groups = [task.dataset.unit_rows(task.units[t]) for t in mine.tolist()]
    rows = np.concatenate(groups)
    tested = parts_of(task, rows, (c, 2))
    reference = parts_of(task, rows_of(task, task.split.reference_controls[task.dataset.contexts[c]]), (c, 1))
    if tested is None or reference is None:
        return "the values of its cells are not multiples of one count each"
    unit = np.repeat(np.arange(len(mine)), [len(each) for each in groups])[tested.kept]
    half = side[:, rows[tested.kept]]
    members = [np.ones(len(unit), dtype=np.bool_), *(half[h // 2] == h % 2 for h in range(2 * len(side)))]
    shifts, changes = [], []
    for a, b in ((0, 1), (1, 0)):
        state = states.assign(tested.ways[a], tested.library)
        at = states.assign(reference.ways[a], reference.library)
        there = np.bincount(at, minlength=STATES).astype(np.float64)
        if there.min() < MIN_CELLS:
            return f"a state has under {MIN_CELLS} reference controls"
        level = reference_levels(reference.ways[b], at, states.stratum(reference.library), len(states.centre))
        place = (unit * STATES + state, state * len(states.centre) + states.stratum(tested.library))
        blocks = [mean_shifts(tested.ways[b], place, kept, level, len(mine) * STATES) for kept in members]
        cells = np.array([number for _, number in blocks])
        least = np.array([MIN_CELLS] + [1] * (len(members) - 1))[:, None]
        means = np.where((cells >= least)[:, :, None], np.array([mean for mean, _ in blocks]), np.nan)
        shifts.append(means.reshape(len(members), len(mine), STATES, -1))
        changes.append(composition_change(cells[0].reshape(len(mine), STATES), there))
    return np.mean(shifts, axis=0), np.mean(changes, axis=0)


def reference_levels(x: sp.csr_matrix, state: Rows, stratum: Rows, strata: int) -> Floats:
    """Mean of reference controls by state and depth stratum ``[K * S, G]``; of the state where a stratum has none.

    Args:
        x: Expression ``[N, G]``.
        state: ``[N]``; each has a cell.
        stratum: ``[N]``.
        strata: Number of strata ``S``.
    """
    both = _mean_by(x, state * strata + stratum, STATES * strata)
    whole = np.repeat(_mean_by(x, state, STATES), strata, axis=0)
    return np.where(np.isfinite(both), both, whole)


def _mean_by(x: sp.csr_matrix, group: Rows, n_groups: int) -> Floats:
    pick = sp.csr_matrix((np.ones(len(group)), (group, np.arange(len(group)))), (n_groups, len(group)))
    cells = np.bincount(group, minlength=n_groups)[:, None]
    return np.where(cells > 0, (pick @ x).toarray() / np.maximum(cells, 1), np.nan)


def mean_shifts(
    x: sp.csr_matrix, place: tuple[Rows, Rows], kept: NDArray[np.bool_], level: Floats, n_groups: int
) -> tuple[Floats, Floats]:
    """Mean of cells less that of the reference controls of the same states and depths, by group.

    Args:
        x: Expression ``[N, G]``.
        place: Group of each cell, and its row in ``level`` ``[N]``.
        kept: Which cells count ``[N]``.
        level: From :func:`reference_levels`.
        n_groups: Number of groups.

    Returns:
        ``(shifts [groups, G], cells [groups])``; zeros for an empty group.
    """
    group, row = (codes[kept] for codes in place)
    one = np.ones(len(group))
    pick = sp.csr_matrix((one, (group, np.flatnonzero(kept))), (n_groups, len(kept)))
    against = sp.csr_matrix((one, (group, row)), (n_groups, len(level)))
    cells = np.bincount(group, minlength=n_groups).astype(np.float64)
    return ((pick @ x).toarray() - against @ level) / np.maximum(cells, 1)[:, None], cells
