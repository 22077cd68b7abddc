"""The data that every cheat is tried on: the built-in screen, the real slice, and generated screens of other kinds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import scipy.sparse as sp

import bench
from bench.core.conditions import CONTROL, constituents, identity
from bench.data import load
from bench.data.cards import Card, find_card
from bench.data.controls import control_pools
from bench.data.dataset import Dataset, build
from bench.data.simulate.screens import SIMULATED, simulate
from bench.data.splits.split import Split, subgroup
from bench.data.task import Task
from bench.data.values import normalise
from bench.results import predictions
from cheats.exported import Exported, Floats, exported
from cheats.scored import facts_of


@dataclass(frozen=True, eq=False)
class Beside:
    """What a few cheats use beside the exported data.

    Attributes:
        task: The task.
        good: Name of a model that knows something on these data.
    """

    task: Task
    good: str

    def _predicted(self, name: str) -> Floats:
        """Expression means of a model ``[T, G]``, fitted by the Python API."""
        made = bench.predict(name, self.task, progress=False)
        facts = facts_of(self.task)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "predictions.h5ad"
            made.write_h5ad(path)
            return np.maximum(predictions.read(path, facts.units, facts.genes, {}).y_hat, 0.0)  # as every cheat is

    @cached_property
    def model(self) -> Floats:
        """Predictions of the good model ``[T, G]``."""
        return self.additive if self.good == "additive" else self._predicted(self.good)

    @cached_property
    def additive(self) -> Floats:
        """Predictions of the additive model ``[T, G]``."""
        return self._predicted("additive")

    @cached_property
    def true_size(self) -> Floats:
        """Norm of each true shift ``[T]``: from the test cells, which no predictor has."""
        facts = facts_of(self.task)
        return np.asarray(np.linalg.norm(facts.y - facts.c_ref, axis=1))


@dataclass(frozen=True)
class Board:
    """Data under one or several split seeds.

    Attributes:
        name: What the table calls it.
        draw: Makes the task of a split seed.
        seeds: Split seeds.
        good: Name of a model that knows something on these data.
    """

    name: str
    draw: Callable[[int], Task]
    seeds: tuple[int, ...]
    good: str = "ridge"


def _custom(dataset: Dataset, seed: int, train: Sequence[str], test: Sequence[str]) -> Split:
    inputs, reference, cells, notes = control_pools(dataset, seed, 0)
    groups: dict[str, list[str]] = {}
    for name in test:
        groups.setdefault(subgroup(name, train), []).append(name)
    return Split(
        kind="custom", seed=seed, control_fold=0, train=tuple(sorted(train)), val=(), test=tuple(sorted(test)),
        unused=(), subgroups={k: tuple(v) for k, v in groups.items()}, input_controls=inputs,
        reference_controls=reference, input_cells=cells, notes=tuple(notes),
    )  # fmt: skip


def _halved(dataset: Dataset, seed: int) -> Split:
    """Half of the conditions to learn from, half to predict."""
    names = [name for name in dataset.conditions if name != CONTROL]
    order = np.random.default_rng(seed).permutation(len(names))
    shuffled = [names[i] for i in order]
    return _custom(dataset, seed, shuffled[: len(names) // 2], shuffled[len(names) // 2 :])


def _doubles(dataset: Dataset, seed: int) -> Split:
    """All singles to learn from, all doubles to predict."""
    names = [name for name in dataset.conditions if name != CONTROL]
    test = [name for name in names if len(constituents(name)) == 2]
    return _custom(dataset, seed, [name for name in names if name not in test], test)


def _hub(dataset: Dataset, seed: int) -> Split:
    """Doubles of the four most frequent genes to predict, all singles to learn from: the asked share their genes."""
    whole = _doubles(dataset, seed)
    often: dict[str, int] = {}
    for name in whole.test:
        for gene in constituents(name):
            often[gene] = often.get(gene, 0) + 1
    hubs = set(sorted(often, key=lambda gene: (-often[gene], gene))[:4])
    return _custom(dataset, seed, whole.train, [name for name in whole.test if identity(name) & hubs])


#: Smaller than the built-in screen, so that a task is made and scored in a moment.
SMALL: dict[str, float] = {"n_genes": 240, "n_singles": 40, "n_doubles": 40, "cells_per_condition": 40}
SMALL["n_controls"] = 400


@cache
def _generated(name: str, parameters: tuple[tuple[str, float], ...]) -> Dataset:
    card: Card = find_card("simulated").model_copy(update={"name": name, "parameters": dict(parameters)})
    return load.load(card)


def _generate(
    name: str, split: Callable[[Dataset, int], Split] = _halved, seeds: tuple[int, ...] = (1, 2, 3), **changes: float
) -> Board:
    """A generated screen; each split seed has its own network, too."""

    def draw(seed: int) -> Task:
        dataset = _generated(name, tuple(sorted({**SMALL, **changes, "seed": seed}.items())))
        return Task(dataset, split(dataset, seed))

    return Board(name, draw, seeds)


def _contexts(seed: int) -> Task:
    """Three cell lines: each loses its own share of every gene's counts, so that their controls are unlike."""
    settings = {**SMALL, "cells_per_condition": 75, "n_controls": 600, "seed": seed}
    sim = simulate(replace(SIMULATED, **settings))
    rng = np.random.default_rng(seed)
    line = rng.integers(0, 3, len(sim.barcodes))
    kept = rng.uniform(0.2, 1.0, (3, len(sim.genes)))
    counts = rng.binomial(sim.counts.toarray(), kept[line])
    dataset = build(
        "contexts", normalise(sp.csr_matrix(counts.astype(np.int32)), sim.ncounts), genes=sim.genes,
        barcodes=sim.barcodes, condition=sim.condition, context=np.array(["a", "b", "c"])[line], batch=sim.batch,
        source="contexts",
    )  # fmt: skip
    return Task(dataset, _halved(dataset, seed))


def _shipped(name: str, good: str, seeds: tuple[int, ...]) -> Board:
    return Board(name, lambda seed: bench.load_task(name, "simulation", seed=seed), seeds, good)


#: Tried in seconds.
FAST = ("generated", "norman_slice")
#: By name; the real slice only where it is.
BOARDS = {
    board.name: board
    for board in (
        _generate("generated", seeds=(1, 2)),
        _shipped("norman_slice", "additive", (1, 2, 3)),
        _shipped("simulated", "ridge", (1, 2, 3)),
        _generate("few_controls", n_controls=60),
        _generate("many_controls", n_controls=3000),
        _generate("weak", effect_scale=0.2, effect_sd=0.6, inert_share=0.3, stress_share=1.0, stress_scale=0.3),
        _generate("strong", effect_scale=0.8),
        _generate("common_program", stress_share=0.8, stress_scale=0.6),
        _generate("singles", n_doubles=0, n_singles=80),
        _generate("doubles", _doubles, n_doubles=80),
        _generate("hub", _hub, n_singles=20, n_doubles=90),
        Board("contexts", _contexts, (1, 2), "additive"),
    )
}


@dataclass(frozen=True, eq=False)
class Ready:
    """A board whose tasks are made, exported and read back.

    Attributes:
        board: Which.
        tasks: By split seed.
        data: What is exported of each task.
        beside: What a few cheats use beside it.
    """

    board: Board
    tasks: tuple[Task, ...]
    data: tuple[Exported, ...]
    beside: tuple[Beside, ...]


@cache
def ready(name: str) -> Ready:
    """Make a board's tasks once, for all cheats."""
    board = BOARDS[name]
    tasks = tuple(board.draw(seed) for seed in board.seeds)
    with tempfile.TemporaryDirectory() as folder:
        data = tuple(exported(task, Path(folder) / str(i)) for i, task in enumerate(tasks))
    return Ready(board, tasks, data, tuple(Beside(task, board.good) for task in tasks))
