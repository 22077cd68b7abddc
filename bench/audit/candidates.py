"""From a task to who is ranked in it: the candidates of a board of planning, listed again."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from bench.audit.second.questions import Asked, Bools
from bench.core.conditions import constituents, identity, single
from bench.core.units import Unit
from bench.data.task import Task

#: Cells of a test unit that is asked, at least; pairs that are candidates, at most.
MIN_CELLS, MAX_PAIRS = 4, 5_000


def listed(task: Task) -> tuple[list[Asked], tuple[Unit, ...], Bools]:
    """List the candidates of every context with test units.

    Args:
        task: The task.

    Returns:
        Who is ranked, by context; the test units ``[T]``, context after context; and which genes any candidate
        perturbs ``[G]``.
    """
    data = task.dataset
    every, units, targeted = list[Asked](), list[Unit](), np.zeros(len(data.genes), dtype=np.bool_)
    learned = tuple(frozenset(constituents(unit.perturbation)) for unit in task.units_of("train"))
    trained = {identity(unit.perturbation) for unit in task.units_of("train")}
    for context, name in enumerate(data.contexts):
        part = {unit: kind for kind in ("train", "val") for unit in task.units_of(kind) if unit.context == name}
        tested = {unit for unit in task.units if unit.context == name and len(data.unit_rows(unit)) >= MIN_CELLS}
        if not tested:
            continue
        done = sorted({*part, *tested})
        pairs = _pairs([unit.perturbation for unit in done], [unit.perturbation for unit in tested], task)
        spelt = {identity(other): other for other in data.conditions}
        whole = {identity(unit.perturbation): unit.perturbation for unit in done}
        halves = [[identity(single(gene)) for gene in constituents(pair)] for pair in pairs]
        for key in (key for both in halves for key in both):
            whole.setdefault(key, spelt.get(key, single(next(iter(key)))))
        for pair in pairs:
            whole.setdefault(identity(pair), pair)
        place = {key: i for i, key in enumerate(whole)}
        genes = [constituents(other) for other in whole.values()]
        for gene in {gene for held in genes for gene in held if gene in data.gene_index}:
            targeted[data.gene_index[gene]] = True
        every.append(
            Asked(
                context=context,
                genes=tuple(frozenset(held) for held in genes),
                cells=[data.unit_rows(unit) for unit in done],
                tested=np.array([i for i, unit in enumerate(done) if unit in tested], dtype=np.int64),
                train=np.array([i < len(done) and part.get(done[i]) == "train" for i in range(len(genes))]),
                seen=np.array([sum(identity(single(gene)) in trained for gene in held) for held in genes]),
                pairs=np.array([place[identity(pair)] for pair in pairs], dtype=np.int64),
                learned=learned,
                singles=np.array([[place[key] for key in both] for both in halves], dtype=np.int64).reshape(-1, 2),
            )
        )
        units += [unit for unit in done if unit in tested]
    return every, tuple(units), targeted


def _pairs(done: list[str], tested: list[str], task: Task) -> list[str]:
    """Pairs of the genes that are perturbed here, as the data spell them; none where no test unit is one."""
    if all(len(constituents(name)) != 2 for name in tested):
        return []
    spelt = {identity(name): name for name in task.dataset.conditions}
    found = combinations(sorted({gene for name in done for gene in constituents(name)}), 2)
    pairs = [spelt.get(frozenset(pair), "+".join(pair)) for pair in found]
    if len(pairs) <= MAX_PAIRS:
        return pairs
    here = {identity(name) for name in done}
    measured, others = ([name for name in pairs if (identity(name) in here) == inside] for inside in (True, False))
    rng = np.random.default_rng([task.split.seed, 0x9A125])
    drawn = rng.permutation(len(others))[: max(MAX_PAIRS - len(measured), 0)]
    return sorted(measured + [others[i] for i in drawn.tolist()])
