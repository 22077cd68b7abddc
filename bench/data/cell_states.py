"""In which state each input cell is: what a model may know of the states of a screen's cells.

Cells of one state are chosen by their expression, so their mean on the same counts is far off by noise alone, and
differently for controls and for perturbed cells. So counts are cut in two parts first
(:func:`bench.stats.counts.halves`): one says in which state a cell is, the other what it does there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.conditions import constituents
from bench.core.typing import Floats
from bench.data.task import Task
from bench.stats.cellstates import CellStates, fit
from bench.stats.counts import Counts, halves, recover

Rows = NDArray[np.int64]

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


def rows_of(task: Task, barcodes: Sequence[str]) -> Rows:
    """Rows of cells by barcode, in their order ``[n]``."""
    index = task.dataset.barcode_index
    return np.array([index[barcode] for barcode in barcodes], dtype=np.int64)


def _fit(task: Task, c: int) -> Stated:
    name, nobody = task.dataset.contexts[c], np.empty(0, dtype=np.int64)
    controls = task.split.input_controls[name]
    parts = parts_of(task, rows_of(task, controls), (c, 0))
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
