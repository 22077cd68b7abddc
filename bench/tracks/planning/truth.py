"""What planning is measured by: the common space, bags of query cells, and halves of what each candidate really did.

Queries are counted from reference controls, which no model sees; what models predict, and what they learned from, from
input controls. So a query and a prediction have no control cell in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.conditions import constituents
from bench.core.typing import Floats
from bench.core.units import Unit
from bench.data.dataset import Dataset
from bench.data.pseudobulk import Pseudobulk, pseudobulk
from bench.data.task import Task
from bench.stats.cellspace import principal_axes
from bench.stats.shifts import expressing_cells, row_mean, train_mean
from bench.tracks.planning.asked import Candidates, candidates_of
from bench.tracks.planning.queries import BAGS, USUAL

Rows = NDArray[np.int64]

#: Times that the cells of a unit are cut in halves; each half gives a query.
HALVINGS = 5
#: A gene counts as expressed when at least this many train cells have it.
MIN_EXPRESSING_CELLS = 10


@dataclass(frozen=True, eq=False)
class Space:
    """The common space: principal axes of the measured effects of the train units.

    Attributes:
        genes: Genes that are looked at ``[S]``: expressed, and perturbed by no candidate. A knock-down of the very gene
            is given, not predicted: whoever is asked which perturbation made a state could read it off.
        axes: Orthonormal axes ``[K, S]``, at most 50.
    """

    genes: Rows
    axes: Floats

    def __call__(self, shifts: Floats) -> Floats:
        """Coordinates of shifts ``[N, G] -> [N, K]``."""
        return np.asarray(shifts[:, self.genes] @ self.axes.T)

    def cells(self, x: sp.csr_matrix, rows: Rows) -> Floats:
        """Coordinates of cells ``[N, K]``, in float64."""
        return np.asarray(x[rows][:, self.genes].astype(np.float64) @ self.axes.T)


def common_space(effects: Floats, genes: Rows) -> Space:
    """Fit the common space.

    Args:
        effects: Shifts of the train units from input controls ``[U, G]``.
        genes: See :class:`Space`.
    """
    axes = principal_axes(effects[:, genes])[1].astype(np.float64)
    return Space(genes, axes[axes.any(axis=1)])  # with few effects the last have no direction


@dataclass(frozen=True, eq=False)
class Context:
    """What was measured in one context, in coordinates of the common space.

    Attributes:
        candidates: Who is ranked here.
        c_in: Mean of the input cells ``[G]``.
        queries: By bag size, means of bags less the reference controls ``[D, T, K]``; draws come in twos, from the two
            halves of a unit.
        bags: Rows of the cells of each usual bag, by draw and unit.
        halves: Means of the halves less the reference controls ``[D, T, K]``; the half of draw ``d`` holds its bags,
            and ``d ^ 1`` is its complement.
        noise: Sampling variance of these means, summed over axes ``[D, T]``.
        measured: Shifts of what was done here from input controls, from all cells ``[M, K]``.
        starts: The same from reference controls ``[M, K]``.
        start_noise: Sampling variance of their means, summed over axes ``[M]``.
        reference_noise: That of the mean of the reference controls.
        c_ref: Mean of the reference controls ``[G]``.
    """

    candidates: Candidates
    c_in: Floats
    queries: dict[int, Floats]
    bags: tuple[tuple[Rows, ...], ...]
    halves: Floats
    noise: Floats
    measured: Floats
    starts: Floats
    start_noise: Floats
    reference_noise: float
    c_ref: Floats


@dataclass(frozen=True, eq=False)
class Facts:
    """The truth of a task.

    Attributes:
        task: The task.
        space: The common space.
        centre: Mean shift of the train units ``[G]``: what all perturbations have in common.
        by_number: Mean shift of train units with so many perturbed genes ``[G]``, by number.
        sizes: Norm of the shift of each perturbed gene's train single, in the common space, by gene.
        contexts: By context that has test units.
    """

    task: Task
    space: Space
    centre: Floats
    by_number: dict[int, Floats]
    sizes: dict[str, float]
    contexts: tuple[Context, ...]

    @property
    def units(self) -> tuple[Unit, ...]:
        """Test units ``[T]``, context after context."""
        found = []
        for one in self.contexts:
            found += [one.candidates.units[i] for i in one.candidates.tested.tolist()]
        return tuple(found)


def compute(task: Task) -> Facts:
    """Measure a task.

    Args:
        task: The task.
    """
    dataset = task.dataset
    candidates = candidates_of(task)
    rows = {key: _pool(task, key) for key in ("input_cells", "input_controls")}
    c_in = np.stack([row_mean(dataset.x, of) for of in rows["input_cells"]])
    train = pseudobulk(dataset, task.units_of("train"), c_in)
    seen = np.unique(np.concatenate([task.rows("train"), *rows["input_controls"]]))
    expressed = expressing_cells(dataset.x, seen) >= MIN_EXPRESSING_CELLS
    targeted = {gene for one in candidates for name in one.conditions for gene in constituents(name)}
    free = np.array([gene not in targeted for gene in dataset.genes.tolist()])
    space = common_space(train.shifts, np.flatnonzero(expressed & free))
    number = np.array([len(constituents(name)) for name in train.conditions])
    return Facts(
        task=task,
        space=space,
        centre=train_mean(train.shifts),
        by_number={int(n): train_mean(train.shifts[number == n]) for n in np.unique(number)},
        sizes=_sizes(train, space),
        contexts=tuple(_context(task, space, one, c_in, reference_rows(task, one.context)) for one in candidates),
    )


def load(task: Task) -> Facts:
    """The truth of a task, measured where it is first asked for."""
    return task.once("planning", lambda: compute(task))


def reference_rows(task: Task, context: str) -> Rows:
    """Rows of the reference controls of a context."""
    return _pool(task, "reference_controls")[task.dataset.contexts.index(context)]


def _pool(task: Task, name: str) -> list[Rows]:
    index = task.dataset.barcode_index
    pool = getattr(task.split, name)
    return [np.array([index[b] for b in pool[context]], dtype=np.int64) for context in task.dataset.contexts]


def _sizes(train: Pseudobulk, space: Space) -> dict[str, float]:
    """Norm of the mean shift of each train single, by gene."""
    found: dict[str, list[float]] = {}
    for name, size in zip(train.conditions, np.linalg.norm(space(train.shifts), axis=1).tolist(), strict=True):
        if len(genes := constituents(name)) == 1:
            found.setdefault(genes[0], []).append(size)
    return {gene: float(np.mean(sizes)) for gene, sizes in found.items()}


def expected_sizes(facts: Facts, conditions: Sequence[str]) -> Floats:
    """How far candidates are known to go, whatever the direction ``[C]``: from train singles, their mean for others."""
    mean = float(np.mean(list(facts.sizes.values()))) if facts.sizes else 1.0
    squares = [sum(facts.sizes.get(gene, mean) ** 2 for gene in constituents(name)) for name in conditions]
    return np.sqrt(np.array(squares, dtype=np.float64))


def _context(task: Task, space: Space, candidates: Candidates, c_in: Floats, reference: Rows) -> Context:
    dataset, seed = task.dataset, task.split.seed
    at = dataset.contexts.index(candidates.context)
    c_ref = row_mean(dataset.x, reference)
    zero, zero_noise = _mean(space.cells(dataset.x, reference))
    tested = [dataset.unit_rows(candidates.units[i]) for i in candidates.tested.tolist()]
    draws = 2 * HALVINGS
    queries = {n: np.empty((draws, len(tested), len(space.axes))) for n in BAGS}
    halves, noise = np.empty_like(queries[USUAL]), np.empty((draws, len(tested)))
    bags: list[list[Rows]] = [[] for _ in range(draws)]
    for t, rows in enumerate(tested):
        rng = np.random.default_rng([seed, t, 0x91A])
        score = space.cells(dataset.x, rows)
        for h in range(HALVINGS):
            order = rng.permutation(len(rows))
            for side in (0, 1):
                mine, d = order[side::2], 2 * h + side
                for n in BAGS:
                    queries[n][d, t] = score[mine[:n]].mean(axis=0) - zero
                bags[d].append(rows[mine[:USUAL]])
                halves[d, t], noise[d, t] = _mean(score[mine])
    done = candidates.units[: candidates.measured]
    means = [_mean(space.cells(dataset.x, dataset.unit_rows(unit))) for unit in done]
    whole = np.array([mean for mean, _ in means])
    return Context(
        candidates=candidates,
        c_in=c_in[at],
        queries=queries,
        bags=tuple(map(tuple, bags)),
        halves=halves - zero,
        noise=noise,
        measured=whole - space(c_in[at][None])[0],
        starts=whole - zero,
        start_noise=np.array([variance for _, variance in means]),
        reference_noise=zero_noise,
        c_ref=c_ref,
    )


def _mean(scores: Floats) -> tuple[Floats, float]:
    """Mean of cells ``[n, K]`` and its sampling variance, summed over axes; infinite of one cell."""
    n = len(scores)
    variance = float(scores.var(axis=0, ddof=1).sum()) / n if n > 1 else np.inf
    return scores.mean(axis=0), variance


def bag_shifts(dataset: Dataset, facts: Facts, context: Context, draw: int) -> Floats:
    """Shifts of the usual bags of a draw from the reference controls, over the genes that are looked at ``[T, S]``."""
    bags = context.bags[draw]
    rows = np.concatenate(bags)
    share = np.concatenate([np.full(len(bag), 1 / len(bag)) for bag in bags])
    at = np.repeat(np.arange(len(bags)), [len(bag) for bag in bags])
    pick = sp.csr_matrix((share, (at, np.arange(len(rows)))), shape=(len(bags), len(rows)))
    means = np.asarray((pick @ dataset.x[rows][:, facts.space.genes].astype(np.float64)).todense())
    return means - context.c_ref[facts.space.genes]
