"""A task: which cells, who is train, val and test, which controls are whose. Resolved here, and passed whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bench.data.dataset import Dataset
from bench.data.load import load, resolve
from bench.data.splits.split import Split, draw

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Task:
    """A data set under one split and one control fold.

    Attributes:
        dataset: The cells.
        split: Who is train, val and test; its control fold says which controls models see.
    """

    dataset: Dataset
    split: Split
    _made: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

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


def resolve_task(
    source: str, split: str | None = None, seed: int = 1, control_fold: int = 0, split_file: Path | None = None
) -> Task:
    """Read the cells that a name, a card or a file stands for, and draw their split.

    Args:
        source: A shipped name, a card (``.yaml``) or an h5ad file.
        split: Kind of split; absent = the card's default.
        seed: Seed of the split.
        control_fold: 0, or 1 to swap the two pools of controls.
        split_file: JSON of a custom split.

    Raises:
        BenchError: Unknown names, unreadable files, or a split that these data cannot give.
    """
    card, _ = resolve(source)
    dataset = load(card)
    return Task(dataset, draw(dataset, split or card.split, seed, control_fold, split_file))
