"""What models are asked for: every candidate of a task, those among them that no cell of the data has included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bench.core.conditions import constituents, identity, single
from bench.core.units import Unit
from bench.data.task import Task

Rows = NDArray[np.int64]

#: Pairs that are candidates of E3, at most; of more, these many are drawn, the measured ones among them.
MAX_PAIRS = 5_000
PARTS = ("train", "val", "test")
#: Test units with fewer cells have no halves whose spread is known: they are not asked.
MIN_CELLS = 4


@dataclass(frozen=True, eq=False)
class Candidates:
    """Candidates in one context.

    Attributes:
        context: Its name.
        conditions: Candidates ``[C]``: what was done in this context, then singles and pairs that were not.
        part: 0 = train, 1 = val, 2 = test (evaluated), -1 = never done here ``[C]``.
        measured: How many of them were done here; they come first.
        pairs: Places of the pairs that are candidates of E3 ``[P]``; empty where no test unit is a pair.
        singles: Places of the two singles of each of these pairs ``[P, 2]``.
        seen: Constituents of each whose single is in train, in any context ``[C]``.
    """

    context: str
    conditions: tuple[str, ...]
    part: Rows
    measured: int
    pairs: Rows
    singles: Rows
    seen: Rows

    @cached_property
    def number(self) -> Rows:
        """Perturbed genes of each ``[C]``."""
        return np.array([len(constituents(name)) for name in self.conditions], dtype=np.int64)

    @cached_property
    def tested(self) -> Rows:
        """Places of the test units ``[T]``."""
        return np.flatnonzero(self.part == PARTS.index("test"))

    @cached_property
    def strata(self) -> Rows:
        """What anybody may know of a candidate, as a number: genes, how many are seen, whether it is train ``[C]``."""
        known = self.part == PARTS.index("train")
        return np.asarray((self.number * 100 + self.seen) * 2 + known)

    @property
    def units(self) -> tuple[Unit, ...]:
        """As units ``[C]``."""
        return tuple(Unit(name, self.context) for name in self.conditions)


def candidates_of(task: Task) -> tuple[Candidates, ...]:
    """The candidates of each context that has test units.

    Args:
        task: The task.
    """
    tested = {unit for unit in task.units if len(task.dataset.unit_rows(unit)) >= MIN_CELLS}
    parts: dict[Unit, int] = {unit: PARTS.index("test") for unit in tested}
    for part in ("train", "val"):
        parts |= {unit: PARTS.index(part) for unit in task.units_of(part)}
    known = {identity(unit.perturbation) for unit in task.units_of("train")}
    names = {identity(name): name for name in task.dataset.conditions}
    contexts = [name for name in task.dataset.contexts if any(unit.context == name for unit in tested)]
    found = []
    for context in contexts:
        here = sorted(unit for unit in parts if unit.context == context)
        done = [unit.perturbation for unit in here]
        pairs = _pairs(done, [u.perturbation for u in here if u in tested], names, task.split.seed)
        singles = [single(gene) for name in pairs for gene in constituents(name)]
        place = {identity(name): i for i, name in enumerate(done)}
        more: list[str] = []
        for name in (*(names.get(identity(one), one) for one in singles), *pairs):
            if identity(name) not in place:
                place[identity(name)] = len(done) + len(more)
                more.append(name)
        everything = (*done, *more)
        found.append(
            Candidates(
                context=context,
                conditions=everything,
                part=np.array([parts[unit] for unit in here] + [-1] * len(more), dtype=np.int64),
                measured=len(done),
                pairs=np.array([place[identity(name)] for name in pairs], dtype=np.int64),
                singles=np.array([place[identity(name)] for name in singles], dtype=np.int64).reshape(-1, 2),
                seen=np.array([sum(identity(single(g)) in known for g in constituents(name)) for name in everything]),
            )
        )
    return tuple(found)


def _pairs(done: Sequence[str], tested: Sequence[str], names: dict[frozenset[str], str], seed: int) -> list[str]:
    """All pairs of the genes perturbed here, as the data spell them; none where no test condition is a pair."""
    if not any(len(constituents(name)) == 2 for name in tested):
        return []
    genes = sorted({gene for name in done for gene in constituents(name)})
    pairs = [names.get(frozenset(pair), "+".join(pair)) for pair in combinations(genes, 2)]
    if len(pairs) > MAX_PAIRS:
        inside = {identity(name) for name in done}
        kept = [name for name in pairs if identity(name) in inside]
        others = [name for name in pairs if identity(name) not in inside]
        order = np.random.default_rng([seed, 0x9A125]).permutation(len(others))[: max(MAX_PAIRS - len(kept), 0)]
        pairs = sorted([*kept, *(others[i] for i in order.tolist())])
    return pairs


def asked(task: Task, candidates: Sequence[Candidates]) -> tuple[Task, tuple[Unit, ...]]:
    """The task with conditions that have no cells, and all units that a model is to predict.

    No cell, label or split is another: conditions are added at the end of the list, so that every model can be asked
    for them as for any other.

    Args:
        task: The task.
        candidates: From :func:`candidates_of`.
    """
    known = set(task.dataset.conditions)
    new = dict.fromkeys(name for one in candidates for name in one.conditions if name not in known)
    dataset = replace(task.dataset, conditions=(*task.dataset.conditions, *new)) if new else task.dataset
    return Task(dataset, task.split), tuple(unit for one in candidates for unit in one.units)
