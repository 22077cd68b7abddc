"""Splits drawn again, from data that are read once each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.core.errors import BenchError
from bench.data.splits.kinds import kind_of
from bench.results.spec import RunSpec

if TYPE_CHECKING:
    from bench.data.dataset import Dataset


class Drawn:
    """The units that models could learn from or be chosen by, of each task that is asked for.

    Args:
        name: What to call a (condition, context).
    """

    def __init__(self, name: Callable[[str, str], str]) -> None:
        self._name = name
        self._data: dict[str, Dataset | str] = {}
        self._found: dict[tuple[str, str, int, int], frozenset[str] | str] = {}

    def learned(self, spec: RunSpec) -> frozenset[str] | str:
        """Draw the split of a spec; where that is not possible, or gives another split, say why."""
        key = (spec.dataset, spec.split, spec.split_seed, spec.control_fold)
        if key not in self._found:
            try:
                self._found[key] = self._draw(spec)
            except BenchError as error:
                self._found[key] = str(error)
        return self._found[key]

    def _draw(self, spec: RunSpec) -> frozenset[str] | str:
        from bench.data.splits.split import draw
        from bench.data.task import Task, load_dataset

        if spec.dataset not in self._data:
            try:
                self._data[spec.dataset] = load_dataset(spec.dataset)
            except BenchError as error:
                self._data[spec.dataset] = str(error)
        dataset = self._data[spec.dataset]
        if isinstance(dataset, str):
            return dataset
        if dataset.hash != spec.data_hash:
            return f"data set '{spec.dataset}' is not that of the record"
        task = Task(dataset, draw(dataset, kind_of(spec.split), spec.split_seed, spec.control_fold))
        if task.split.split_id != spec.split_id:
            return f"split '{spec.split}' of seed {spec.split_seed} is another now"
        units = {*task.units_of("train"), *task.units_of("val")}
        return frozenset(self._name(unit.perturbation, unit.context) for unit in units)
