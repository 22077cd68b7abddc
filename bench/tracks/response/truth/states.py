"""Responses by state of the cell: one part of a cell's counts says in which state it is, the other what it does.

Cells of one state are chosen by their expression, so their mean on the same counts is far off by noise alone, and
differently for controls and for perturbed cells. So counts are cut in two parts first
(:func:`bench.stats.counts.halves`), and both ways round are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.conditions import constituents
from bench.core.typing import Floats
from bench.data.task import Task
from bench.stats.cellstates import CellStates, composition_change, fit
from bench.stats.counts import Counts, halves, recover

Rows = NDArray[np.int64]
Sides = NDArray[np.uint8]

#: States of each context.
STATES = 3
#: Perturbed cells that a unit, and reference controls and input cells that a context, must have in each state.
MIN_CELLS = 4
#: Share of cells whose values are multiples of one count, without which there are no counts to cut.
MIN_EXACT = 0.9
#: Input controls on which states are fitted, at most.
MAX_FITTED = 2_000
_SEED = 0x57A7E


class Stated(NamedTuple):
    """States of one context.

    Attributes:
        states: None = there are none.
        input_state: State of each input cell, in the order of the split ``[n]``.
        reason: Why there are none.
    """

    states: CellStates | None
    input_state: Rows
    reason: str


class Parts(NamedTuple):
    """Cells whose counts were cut in two.

    Attributes:
        ways: Both parts as expression ``[N, G]``.
        library: Depth ``[N]``.
        kept: Which of the rows asked for they are: those whose values are counts.
    """

    ways: tuple[sp.csr_matrix, sp.csr_matrix]
    library: Floats
    kept: Rows


def parts_of(task: Task, rows: Rows, stream: Sequence[int]) -> Parts | None:
    """Cut the counts of cells; None where too few cells hold counts.

    Args:
        task: The task.
        rows: The cells; in the order of their barcodes, or the order of the file would tell.
        stream: Numbers that name the draw beside the split's seed.
    """
    known = recover(task.dataset.x[rows])
    if not len(rows) or known.exact.mean() < MIN_EXACT:
        return None
    kept = np.flatnonzero(known.exact)
    known = Counts(known.counts[kept], known.library[kept], known.exact[kept])
    return Parts(halves(known, np.random.default_rng([task.split.seed, _SEED, *stream])), known.library, kept)


def _targets(task: Task) -> NDArray[np.bool_]:
    index = task.dataset.gene_index
    hit = np.zeros(len(index), dtype=np.bool_)
    hit[[index[g] for unit in task.units for g in constituents(unit.perturbation) if g in index]] = True
    return hit


def _rows(task: Task, barcodes: Sequence[str]) -> Rows:
    index = task.dataset.barcode_index
    return np.array([index[barcode] for barcode in barcodes], dtype=np.int64)


def _fit(task: Task, c: int) -> Stated:
    name, nobody = task.dataset.contexts[c], np.empty(0, dtype=np.int64)
    controls = task.split.input_controls[name]
    parts = parts_of(task, _rows(task, controls), (c, 0))
    if parts is None:
        return Stated(None, nobody, "the values of its cells are not multiples of one count each")
    if len(parts.kept) < STATES * MIN_CELLS:
        return Stated(None, nobody, f"{len(parts.kept)} input controls are too few for {STATES} states")
    first = parts.ways[0]
    rng = np.random.default_rng([task.split.seed, _SEED, c, 3])
    some = np.sort(rng.permutation(len(parts.kept))[:MAX_FITTED])
    states = fit(first[some], parts.library[some], np.flatnonzero(~_targets(task)), STATES, task.split.seed)
    by_barcode = dict(
        zip(np.array(controls)[parts.kept].tolist(), states.assign(first, parts.library).tolist(), strict=True)
    )
    mine = np.array([by_barcode.get(barcode, -1) for barcode in task.split.input_cells[name]], dtype=np.int64)
    if np.bincount(mine[mine >= 0], minlength=STATES).min() < MIN_CELLS:
        return Stated(None, nobody, f"a state has under {MIN_CELLS} input cells")
    return Stated(states, mine, "")


def fitted(task: Task) -> dict[int, Stated]:
    """States of each context that has test units, by its number: from input controls alone."""

    def make() -> dict[int, Stated]:
        tested = sorted({task.dataset.contexts.index(unit.context) for unit in task.units})
        return {c: _fit(task, c) for c in tested}

    return task.once("cell states", make)


def input_states(task: Task) -> dict[int, Rows]:
    """State of each input cell (-1 = none) by number of the context, where it has states: what a model may know."""
    return {c: stated.input_state for c, stated in fitted(task).items() if stated.states is not None}


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
    reference = parts_of(task, _rows(task, task.split.reference_controls[task.dataset.contexts[c]]), (c, 1))
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
