"""Cells that an encoder never saw: the only cells on which it is evaluated."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.conditions import CONTROL, identity
from bench.core.errors import BenchError
from bench.core.units import Unit
from bench.data.controls import without_own_controls
from bench.data.dataset import Dataset
from bench.data.task import Part, Task

Rows = NDArray[np.int64]

#: Units (conditions within a context) with fewer cells are left out: a half would have too few for a prototype.
MIN_CELLS = 30
#: Cells of one unit that are looked at.
MAX_CELLS = 200
#: Cells of all units together, where contexts are held out, and fewest of one: enough for two sides of 20 cells each.
APART_CELLS, APART_LEAST = 10_000, 40
#: Reference controls that are looked at.
MAX_CONTROLS = 2_000


@dataclass(frozen=True)
class HeldOut:
    """Cells of test conditions, and controls of the reference pool; anything else is refused.

    Attributes:
        task: The cells, and the split that the encoder was trained on.
        rows: Rows of perturbed cells ``[N]``.
        controls: Rows of control cells ``[M]``.
        left_out: Units of test conditions with too few cells.

    Raises:
        BenchError: A cell of a train, val or unused condition, a control among the cells, or a control that models
            see.
    """

    task: Task
    rows: Rows
    controls: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    left_out: int = 0

    def __post_init__(self) -> None:
        check_rows(self.task, self.rows)
        visible = {b for pool in (self.task.split.input_controls, self.task.split.input_cells) for b in _barcodes(pool)}
        reference = set(_barcodes(self.task.split.reference_controls))
        seen = [b for b in self.task.dataset.barcodes[self.controls].tolist() if b in visible or b not in reference]
        if seen:
            raise BenchError(
                f"{len(seen)} control cells ({seen[0]}, ...) are not held out from the models. "
                f"Evaluate an encoder on reference controls only."
            )

    @cached_property
    def _units(self) -> tuple[Rows, Rows]:
        """The different (context, condition) codes ``[U]``, and each cell's place among them ``[N]``."""
        dataset = self.task.dataset
        codes = dataset.context[self.rows].astype(np.int64) * len(dataset.conditions) + dataset.condition[self.rows]
        different, place = np.unique(codes, return_inverse=True)
        return different, place.astype(np.int64)

    @property
    def units(self) -> tuple[tuple[str, str], ...]:
        """(perturbation, context) of each unit that is there, context by context ``[U]``."""
        dataset = self.task.dataset
        pairs = (divmod(code, len(dataset.conditions)) for code in self._units[0].tolist())
        return tuple((dataset.conditions[condition], dataset.contexts[context]) for context, condition in pairs)

    @property
    def unit(self) -> Rows:
        """Unit of each cell, an index into :attr:`units` ``[N]``."""
        return self._units[1]

    @property
    def context(self) -> Rows:
        """Context of each cell, numbered from 0 among those that are there ``[N]``."""
        return _renumber(self.task.dataset.context[self.rows])

    @property
    def batches(self) -> NDArray[np.int64]:
        """Batch of each cell within its context, numbered from 0 ``[N]``."""
        return _renumber(strata(self.task.dataset, self.rows))

    @property
    def control_batches(self) -> NDArray[np.int64]:
        """Batch of each control within its context, numbered from 0 ``[M]``."""
        return _renumber(strata(self.task.dataset, self.controls))


def check_rows(task: Task, rows: Rows) -> None:
    """Refuse cells that are not held out: their condition, in their context, must be in the test part.

    Raises:
        BenchError: Naming the first unit that is not a test unit.
    """
    dataset, split = task.dataset, task.split
    parts: tuple[Part, ...] = ("test", "val", "train")
    if split.units is None:  # by identity: B+A is held out only where A+B is
        named = {identity(name): part for part in parts for name in getattr(split, part)}
        part_of = {unit: named.get(identity(unit.perturbation)) for unit in dataset.units_of(dataset.conditions)}
    else:
        part_of = {unit: part for part in parts for unit in split.units[part]}
    codes = np.unique(dataset.condition[rows].astype(np.int64) * len(dataset.contexts) + dataset.context[rows])
    for code in codes.tolist():
        unit = Unit(dataset.conditions[code // len(dataset.contexts)], dataset.contexts[code % len(dataset.contexts)])
        part = "control" if unit.perturbation == CONTROL else part_of.get(unit) or "unused"
        if part != "test":
            article = "an" if part.startswith("u") else "a"
            raise BenchError(
                f"'{unit.text(dataset.contexts)}' is {article} {part} condition of this split ({split.kind}, seed "
                f"{split.seed}). A frozen encoder is evaluated on cells of test conditions only."
            )


def held_out_contexts(task: Task) -> tuple[str, ...]:
    """Contexts of test units that no train unit is in: what is learned elsewhere can be asked there."""
    if task.split.units is None:
        return ()
    train = {unit.context for unit in task.units_of("train")}
    test = {unit.context for unit in task.units_of("test")} - train
    return tuple(name for name in task.dataset.contexts if name in test)


def strata(dataset: Dataset, rows: Rows) -> NDArray[np.int64]:
    """Number (context, batch) pairs: batches of two contexts are different batches ``[N]``."""
    return dataset.context[rows].astype(np.int64) * len(dataset.batches) + dataset.batch[rows]


def draw(task: Task, seed: int) -> HeldOut:
    """Draw the held-out cells of a split.

    A unit is a condition within a context, which is what queries and galleries are made of; a context's only unit
    cannot be confused with another, so that it is left out too, unless its context is held out: then the question is
    whether it looks as in other contexts.

    Args:
        task: The task.
        seed: Seed of the draw from units with over :data:`MAX_CELLS` cells.

    Returns:
        Cells of the units with at least :data:`MIN_CELLS`, and the reference controls.

    Raises:
        BenchError: A condition that is not held out, or no context with two units that have enough cells (one, where
            it is held out).
    """
    rng = np.random.default_rng([seed, 0xF0])
    dataset, split = task.dataset, task.split
    parts, present, most = [], 0, 0
    apart = set(held_out_contexts(task)) - without_own_controls(dataset)
    units = sorted(task.units_of("test"))
    most_cells = max(APART_LEAST, min(MAX_CELLS, APART_CELLS // max(len(units), 1))) if apart else MAX_CELLS
    for context in dataset.contexts:
        cells = [dataset.unit_rows(unit) for unit in units if unit.context == context]
        large = [rows for rows in cells if len(rows) >= MIN_CELLS]
        present += sum(len(rows) > 0 for rows in cells)
        most = max(most, len(large))
        if len(large) >= (1 if context in apart else 2):
            parts += [subsample(rows, most_cells, rng) for rows in large]
    if not parts:
        raise BenchError(
            f"'{dataset.name}', split {split.kind}, seed {split.seed}: {most} of {len(split.test)} test conditions "
            f"have at least {MIN_CELLS} cells in one context; 2 are needed. Choose a split with more test "
            f"conditions, or data with more cells of each."
        )
    index = dataset.barcode_index
    controls = np.array(sorted(index[b] for b in set(_barcodes(split.reference_controls))), dtype=np.int64)
    return HeldOut(task, np.concatenate(parts), subsample(controls, MAX_CONTROLS, rng), present - len(parts))


def subsample(rows: Rows, most: int, rng: np.random.Generator) -> Rows:
    """Draw at most ``most`` rows, kept in their order."""
    return rows if len(rows) <= most else rows[np.sort(rng.choice(len(rows), most, replace=False))]


def _barcodes(pools: dict[str, tuple[str, ...]]) -> list[str]:
    return [barcode for pool in pools.values() for barcode in pool]


def _renumber(codes: NDArray[Any]) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    return numbers
