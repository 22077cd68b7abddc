"""What a board of planning asks, drawn a second time from cells: the common space, bags of cells, halves of units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.audit.second.truth import EXPRESSING, HALVINGS, Cells

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]

#: Axes at most; cells of a bag; the bag that boards rank by.
AXES, BAGS, USUAL = 50, (1, 5, 20, 100), 20
DRAWS = 2 * HALVINGS


@dataclass(frozen=True, eq=False)
class Asked:
    """Who is ranked in one context.

    Attributes:
        context: Its number.
        genes: Perturbed genes of each candidate ``[C]``.
        cells: Rows of the cells of those that were done here, which come first ``[M]``.
        tested: Places of the test units ``[T]``.
        train: Whether a candidate is a train unit here ``[C]``.
        seen: How many of its genes have a train single, in any context ``[C]``.
        pairs: Places of the pairs ``[P]``; empty where none are asked for.
        singles: Places of their two singles ``[P, 2]``.
        learned: Perturbed genes of each train unit of the task, in any context ``[U]``.
    """

    context: int
    genes: tuple[frozenset[str], ...]
    cells: list[Rows]
    tested: Rows
    train: Bools
    seen: Rows
    pairs: Rows
    singles: Rows
    learned: tuple[frozenset[str], ...]

    @property
    def strata(self) -> Rows:
        """What anybody may know of a candidate ``[C]``: how many genes, how many of them are seen, whether it is train.

        In ascending order of these three, the weightiest first.
        """
        number = np.array([len(held) for held in self.genes])
        keys = np.column_stack([number, self.seen, self.train])
        return np.asarray(np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1))

    @property
    def own(self) -> Rows:
        """Which candidates have a row of their own: all but pairs that were not done here."""
        others = np.setdiff1d(self.pairs, np.arange(len(self.cells)))
        return np.setdiff1d(np.arange(len(self.genes)), others)


class Half(NamedTuple):
    """Some cells' mean less the reference controls' ``[n, K]``, and its sampling variance summed over axes ``[n]``."""

    mean: Floats
    noise: Floats


@dataclass(frozen=True, eq=False)
class Questions:
    """Questions in one context, in coordinates.

    Attributes:
        asked: Who is ranked.
        queries: By cells of a bag ``[D, T, K]``.
        halves: Of the test units, by draw: 2i and 2i + 1 are the two halves of halving i.
        start: Of what was done here, all cells.
        measured: Shifts of these from the input controls ``[M, K]``.
        to_input: The reference controls less the input controls ``[K]``.
        reference_noise: Sampling variance of the mean of the reference controls.
        centre: Mean shift of the train units ``[K]``.
        trained: Shifts of these ``[U, K]``.
    """

    asked: Asked
    queries: dict[int, Floats]
    halves: tuple[Half, ...]
    start: Half
    measured: Floats
    to_input: Floats
    reference_noise: float
    centre: Floats
    trained: Floats


def drawn(m: Cells, every: list[Asked], targeted: Bools) -> list[Questions]:
    """Draw the questions of a task.

    Args:
        m: Its cells.
        every: Who is ranked, by context.
        targeted: Genes that any candidate perturbs ``[G]``: they are not looked at.
    """
    mean = np.stack([np.asarray(m.x[rows].astype(np.float64).mean(axis=0)).ravel() for rows in m.inputs])
    train = np.stack([np.asarray(m.x[rows].astype(np.float64).mean(axis=0)).ravel() for rows in m.train])
    shifts = train - mean[m.train_context]
    learned = np.unique(np.concatenate([*m.train, *m.seen]))
    expressed = np.bincount(m.x[learned].indices, minlength=m.x.shape[1]) >= EXPRESSING
    looked_at = np.flatnonzero(expressed & ~targeted)
    axes = _axes(shifts[:, looked_at])
    zero = {one.context: m.x[m.reference[one.context]][:, looked_at].astype(np.float64) @ axes.T for one in every}
    return [
        _questions(m, one, zero[one.context], mean[one.context, looked_at] @ axes.T, axes, looked_at, shifts)
        for one in every
    ]


def _axes(effects: Floats) -> Floats:
    """Principal axes ``[K, S]`` of effects ``[U, S]``, the largest weight of each positive."""
    _, size, axes = np.linalg.svd(effects - effects.mean(axis=0), full_matrices=False)
    axes = axes[:AXES][size[:AXES] > 1e-12 * max(1.0, float(size[0]))]
    largest = np.array([row[np.argmax(np.abs(row))] for row in axes])
    return np.asarray(axes * np.sign(largest)[:, None])


def _questions(
    m: Cells, one: Asked, controls: Floats, c_in: Floats, axes: Floats, looked_at: Rows, shifts: Floats
) -> Questions:
    origin = controls.mean(axis=0)
    done = [np.asarray(m.x[rows][:, looked_at].astype(np.float64) @ axes.T) for rows in one.cells]
    queries = {n: np.zeros((DRAWS, len(one.tested), len(axes))) for n in BAGS}
    halves: list[list[Half]] = [[] for _ in range(DRAWS)]
    for t, place in enumerate(one.tested.tolist()):
        cells, rng = done[place], np.random.default_rng([m.seed, t, 0x91A])
        for halving in range(HALVINGS):
            order = rng.permutation(len(cells))
            for side in range(2):
                half = cells[order[side::2]]
                for n in BAGS:
                    queries[n][2 * halving + side, t] = half[:n].mean(axis=0) - origin
                halves[2 * halving + side].append(_half(half, origin))
    start = _stacked([_half(cells, origin) for cells in done])
    return Questions(
        asked=one,
        queries=queries,
        halves=tuple(_stacked(found) for found in halves),
        start=start,
        measured=start.mean + origin - c_in,
        to_input=origin - c_in,
        reference_noise=float(_half(controls, origin).noise),
        centre=shifts.mean(axis=0)[looked_at] @ axes.T,
        trained=shifts[:, looked_at] @ axes.T,
    )


def _half(cells: Floats, origin: Floats) -> Half:
    n = len(cells)
    noise = np.asarray(cells.var(axis=0, ddof=1).sum() / n if n > 1 else np.inf)
    return Half(cells.mean(axis=0) - origin, noise)


def _stacked(found: list[Half]) -> Half:
    return Half(np.stack([one.mean for one in found]), np.stack([one.noise for one in found]))
