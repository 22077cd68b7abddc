"""Cells that an encoder never saw: the only cells on which it is evaluated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.conditions import CONTROL, identity
from bench.core.errors import BenchError
from bench.data.dataset import Dataset
from bench.data.splits.split import Split
from bench.data.task import Task

Rows = NDArray[np.int64]

#: Conditions with fewer cells are left out: a half would have too few for a prototype.
MIN_CELLS = 30
#: Cells of one condition that are looked at.
MAX_CELLS = 200
#: Reference controls that are looked at.
MAX_CONTROLS = 2_000


@dataclass(frozen=True)
class HeldOut:
    """Cells of test conditions, and controls of the reference pool; anything else is refused.

    Attributes:
        task: The cells, and the split that the encoder was trained on.
        rows: Rows of perturbed cells ``[N]``.
        controls: Rows of control cells ``[M]``.
        left_out: Test conditions with too few cells.

    Raises:
        BenchError: A cell of a train, val or unused condition, a control among the cells, or a control that models
            see.
    """

    task: Task
    rows: Rows
    controls: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    left_out: int = 0

    def __post_init__(self) -> None:
        names = [self.task.dataset.conditions[i] for i in np.unique(self.task.dataset.condition[self.rows]).tolist()]
        check_conditions(names, self.task.split)
        visible = {b for pool in (self.task.split.input_controls, self.task.split.input_cells) for b in _barcodes(pool)}
        reference = set(_barcodes(self.task.split.reference_controls))
        seen = [b for b in self.task.dataset.barcodes[self.controls].tolist() if b in visible or b not in reference]
        if seen:
            raise BenchError(
                f"{len(seen)} control cells ({seen[0]}, ...) are not held out from the models. "
                f"Evaluate an encoder on reference controls only."
            )

    @property
    def conditions(self) -> NDArray[np.int64]:
        """Condition of each cell, numbered from 0 among those that are there ``[N]``."""
        return _renumber(self.task.dataset.condition[self.rows])

    @property
    def batches(self) -> NDArray[np.int64]:
        """Batch of each cell within its context, numbered from 0 ``[N]``."""
        return _renumber(strata(self.task.dataset, self.rows))

    @property
    def control_batches(self) -> NDArray[np.int64]:
        """Batch of each control within its context, numbered from 0 ``[M]``."""
        return _renumber(strata(self.task.dataset, self.controls))


def check_conditions(names: Iterable[str], split: Split) -> None:
    """Refuse conditions that are not held out; a condition is the set of its genes, however it is spelled.

    Raises:
        BenchError: Naming the first that is not a test condition.
    """
    part_of = {identity(name): part for part in ("unused", "test", "val", "train") for name in getattr(split, part)}
    for name in names:
        part = "control" if name == CONTROL else part_of.get(identity(name), "unknown")
        if part != "test":
            article = "an" if part.startswith("u") else "a"
            raise BenchError(
                f"'{name}' is {article} {part} condition of this split ({split.kind}, seed {split.seed}). "
                f"A frozen encoder is evaluated on cells of test conditions only."
            )


def strata(dataset: Dataset, rows: Rows) -> NDArray[np.int64]:
    """Number (context, batch) pairs: batches of two contexts are different batches ``[N]``."""
    return dataset.context[rows].astype(np.int64) * len(dataset.batches) + dataset.batch[rows]


def draw(task: Task, seed: int) -> HeldOut:
    """Draw the held-out cells of a split.

    Args:
        task: The task.
        seed: Seed of the draw from conditions with over :data:`MAX_CELLS` cells.

    Returns:
        Cells of the conditions with at least :data:`MIN_CELLS`, and the reference controls.

    Raises:
        BenchError: A condition that is not held out, or fewer than two with enough cells.
    """
    rng = np.random.default_rng([seed, 0xF0])
    dataset, split = task.dataset, task.split
    names = sorted(split.test)
    check_conditions(names, split)
    large = [name for name in names if len(dataset.cells_of[name]) >= MIN_CELLS]
    if len(large) < 2:
        raise BenchError(
            f"'{dataset.name}', split {split.kind}, seed {split.seed}: {len(large)} of {len(names)} test conditions "
            f"have at least {MIN_CELLS} cells; the frozen-encoder protocol needs 2."
        )
    index = dataset.barcode_index
    controls = np.array(sorted(index[b] for b in set(_barcodes(split.reference_controls))), dtype=np.int64)
    return HeldOut(
        task,
        np.concatenate([some(dataset.cells_of[name], MAX_CELLS, rng) for name in large]),
        some(controls, MAX_CONTROLS, rng),
        len(names) - len(large),
    )


def some(rows: Rows, most: int, rng: np.random.Generator) -> Rows:
    """Draw at most ``most`` rows, kept in their order."""
    return rows if len(rows) <= most else rows[np.sort(rng.choice(len(rows), most, replace=False))]


def _barcodes(pools: dict[str, tuple[str, ...]]) -> list[str]:
    return [barcode for pool in pools.values() for barcode in pool]


def _renumber(codes: NDArray[Any]) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    return numbers
