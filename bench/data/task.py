"""A task: which cells, who is train, val and test, which controls are whose. Resolved here, and passed whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.core.conditions import CONTROL
from bench.core.errors import BenchError
from bench.core.text import counted
from bench.core.units import Unit
from bench.data.cards import Card
from bench.data.controls import without_own_controls
from bench.data.dataset import Dataset
from bench.data.kept import without_kept
from bench.data.load import load, resolve
from bench.data.shallow import shallow
from bench.data.splits.split import Split, draw

if TYPE_CHECKING:
    from anndata import AnnData

T = TypeVar("T")
Part: TypeAlias = Literal["train", "val", "test"]


@dataclass(frozen=True, eq=False, repr=False)
class Task:
    """A data set under one split and one control fold.

    Attributes:
        dataset: The cells, as models see them: some may have lost counts (split option ``input_depth``), some may have
            been taken out (``keep_singles``).
        split: Who is train, val and test; its control fold says which controls models see.
    """

    dataset: Dataset
    split: Split
    _made: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dataset", without_kept(shallow(self.dataset, self.split), self.split))

    def __repr__(self) -> str:
        fold = f", control fold {self.split.control_fold}" if self.split.control_fold else ""
        counts = f"{counted(len(self.dataset.barcodes), 'cell')}, {counted(len(self.units), 'test unit')}"
        return f"<Task {self.dataset.name}, split {self.split.name}, seed {self.split.seed}{fold}: {counts}>"

    def units_of(self, part: Part) -> tuple[Unit, ...]:
        """Every (perturbation, context) of a part that has a cell, perturbation by perturbation."""
        if self.split.units is not None:
            return tuple(unit for unit in self.split.units[part] if len(self.dataset.unit_rows(unit)))
        conditions: tuple[str, ...] = getattr(self.split, part)
        return self.dataset.units_of(conditions)

    def rows(self, part: Part) -> NDArray[np.int64]:
        """Rows of a part's cells, in file order; the control is in none."""
        rows = [self.dataset.unit_rows(unit) for unit in self.units_of(part)]
        return np.sort(np.concatenate(rows)) if rows else np.empty(0, dtype=np.int64)

    def cells_of(self, part: Part) -> dict[str, NDArray[np.int64]]:
        """Rows of each condition's cells that are in a part, ordered by barcode: of some contexts or of all."""
        found: dict[str, list[NDArray[np.int64]]] = {}
        for unit in self.units_of(part):
            found.setdefault(unit.perturbation, []).append(self.dataset.unit_rows(unit))
        place = np.argsort(np.argsort(self.dataset.barcodes, kind="stable"), kind="stable")
        return {
            name: rows[0] if len(rows) == 1 else np.concatenate(rows)[np.argsort(place[np.concatenate(rows)])]
            for name, rows in found.items()
        }

    @cached_property
    def unlabelled_rows(self) -> NDArray[np.int64]:
        """Rows of cells that a representation may be learned from while nobody is told what was done to them."""
        rows = [self.dataset.unit_rows(unit) for unit in self.split.unlabelled]
        return np.sort(np.concatenate(rows)) if rows else np.empty(0, dtype=np.int64)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """What is predicted and scored: test units with ``min_cells`` cells, in contexts with controls of their own."""
        least, left_out = self.dataset.min_cells, without_own_controls(self.dataset)
        tested = (u for u in self.units_of("test") if u.perturbation != CONTROL and u.context not in left_out)
        return tuple(unit for unit in tested if len(self.dataset.unit_rows(unit)) >= least)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Make something of this task where it is first asked for, such as a track's truth, and keep it.

        Args:
            name: What it is; unique among all that is kept of a task.
            make: Makes it.
        """
        if name not in self._made:
            self._made[name] = make()
        found: T = self._made[name]
        return found


def load_task(
    source: str | Path | Card | AnnData,
    split: str | None = None,
    seed: int = 1,
    control_fold: int = 0,
    split_file: Path | None = None,
) -> Task:
    """Read the cells that a name, a card, a file or an object stands for, and draw their split.

    Args:
        source: A shipped name, a card (``.yaml``, or the object), an h5ad file, or an AnnData object, which is read as
            a file without a card is, called ``adata``, and left as it is.
        split: Kind of split; absent = the card's default.
        seed: Seed of the split.
        control_fold: 0, or 1 to swap the two pools of controls.
        split_file: JSON of a custom split.

    Raises:
        BenchError: Unknown names, unreadable files, or a split that these data cannot give.
    """
    card, dataset = _read(source)
    return Task(dataset, draw(dataset, split or card.split, seed, control_fold, split_file))


def load_dataset(source: str | Path | Card | AnnData) -> Dataset:
    """Read the cells alone.

    Args:
        source: As for :func:`load_task`.

    Raises:
        BenchError: Unknown names or unreadable files.
    """
    return _read(source)[1]


def load_cells(source: str | Path | Card | AnnData) -> Dataset:
    """Read cells of which only the controls are needed; there may be no others.

    Args:
        source: As for :func:`load_task`.

    Raises:
        BenchError: Unknown names, unreadable files, or no control cells.
    """
    return _read(source, needs_perturbed=False)[1]


def _read(source: str | Path | Card | AnnData, needs_perturbed: bool = True) -> tuple[Card, Dataset]:
    if isinstance(source, str | Path | Card):
        card, guessed = resolve(source)
        return card, load(card, needs_perturbed, guessed)
    return _from_memory(source, needs_perturbed)


def _from_memory(adata: AnnData, needs_perturbed: bool) -> tuple[Card, Dataset]:
    from anndata import AnnData

    from bench.data.guess import guess_adata
    from bench.data.io.read import read_adata

    if not isinstance(adata, AnnData):
        raise BenchError(
            f"data of type {type(adata).__name__}: expected a shipped name, the path of an h5ad file or card, a card, "
            f"or an AnnData object."
        )
    card = guess_adata(adata)
    return card, read_adata(adata, card, needs_perturbed, guessed=True)
