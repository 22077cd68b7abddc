"""Tasks on generated screens whose truth is known, split by hand: all singles and half of the doubles are train."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from bench.core.conditions import constituents, identity, single
from bench.data.controls import control_pools
from bench.data.dataset import Dataset, build
from bench.data.simulate.screens import SIMULATED, SIMULATED_HARD, simulate
from bench.data.splits.split import Split, subgroup
from bench.data.task import Task
from bench.data.values import normalise
from bench.stats.shifts import additive, row_mean
from bench.tracks.response.truth import truth


@dataclass(frozen=True)
class KnownTask:
    dataset: Dataset
    facts: truth.Truth
    shifts: np.ndarray  # [T, G] planted
    additive: np.ndarray  # [T, G] measured on train
    true_additive: np.ndarray  # [T, G] sum of the planted single shifts
    epistatic: np.ndarray  # [T] planted interaction

    def predict(self, shifts):
        """Means of the prediction that moves the input cells by these shifts."""
        return self.facts.c_in + shifts


@cache
def task(hard: bool = False, seed: int = 0, doubles_only: bool = False, **changes: float) -> KnownTask:
    sim = simulate(replace(SIMULATED_HARD if hard else SIMULATED, seed=seed, **changes))
    dataset = build(
        "simulated", normalise(sim.counts, sim.ncounts), genes=sim.genes, barcodes=sim.barcodes,
        condition=sim.condition, context=sim.context, batch=sim.batch, source="simulated",
    )  # fmt: skip
    singles = [n for n in dataset.conditions if len(constituents(n)) == 1]
    doubles = [n for n in dataset.conditions if len(constituents(n)) == 2]
    test = doubles if doubles_only else doubles[::2] + singles[::4]
    train = [n for n in singles + doubles if n not in set(test)]
    inputs, reference, cells, _ = control_pools(dataset, 1, 0)
    groups: dict[str, list[str]] = {}
    for name in test:
        groups.setdefault(subgroup(name, train), []).append(name)
    split = Split(
        kind="custom", seed=1, control_fold=0, train=tuple(train), val=(), test=tuple(test), unused=(),
        subgroups={k: tuple(v) for k, v in groups.items()}, input_controls=inputs, reference_controls=reference,
        input_cells=cells,
    )  # fmt: skip
    facts = truth.compute(Task(dataset, split))
    c_in = row_mean(dataset.x, np.array([dataset.barcode_index[b] for b in cells[dataset.contexts[0]]]))
    known = {identity(n): row_mean(dataset.x, dataset.cells_of[n]) - c_in for n in train}
    planted = {identity(n): i for i, n in enumerate(sim.truth.conditions.tolist())}
    at = [planted[identity(n)] for n in facts.conditions]
    parts = [[planted[identity(single(g))] for g in constituents(n)] for n in facts.conditions]
    return KnownTask(
        dataset,
        facts,
        sim.truth.shifts[at],
        np.array([additive(n, known, facts.train_delta)[0] for n in facts.conditions]),
        np.array([sim.truth.shifts[i].sum(axis=0) for i in parts]),
        sim.truth.epistatic[at],
    )
