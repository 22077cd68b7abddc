"""What is lost of a record where what is kept of it has few digits: publishing asks the second implementation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from bench.audit import data_sets, encoders, plans, rows, screens
from bench.audit.data_sets import DataSets
from bench.audit.second.known import Screen
from bench.core.errors import BenchError
from bench.data.known_latents import load
from bench.data.task import Task
from bench.results.entries import BoardEntry
from bench.results.moments import Moments
from bench.results.shifts import Rows

#: How much of what the audit tolerates may be used up: another processor adds its own rounding.
SHARE = 0.8
_Judge: TypeAlias = rows.Judge | plans.Judge | encoders.Judge


class Lost:
    """Says what of a record's metrics does not follow from what would be kept of it.

    Args:
        folder: Leaderboards folder, for names.
        data: Where data sets are found by name; absent = as ``--data`` takes them.
    """

    def __init__(self, folder: Path, data: DataSets | None = None) -> None:
        self._folder, self._data = folder, data or DataSets()
        self._of: tuple[Any, Task, _Judge] | None = None  # of the last task: rows come task by task
        self._screen: tuple[Any, Screen] | None = None  # the same of moments

    def __call__(self, entry: BoardEntry, kept: Rows | Moments) -> str | None:
        """In words; empty where everything follows, within :data:`SHARE` of what the audit tolerates.

        ``None`` where it cannot be told: the data are not at hand, or the split's lists are in a file of its author's.

        Args:
            entry: The record, of a track that takes predictions, candidates, an encoder or latents.
            kept: What a reader would find.
        """
        spec = entry.record.spec
        if not isinstance(kept, Rows):
            return self._of_moments(entry, kept)
        key = entry.track.name, spec.dataset, spec.split, spec.split_seed, spec.control_fold
        if self._of is None or self._of[0] != key:
            dataset = self._data.load(spec.dataset)
            if isinstance(dataset, str):
                return None
            split = data_sets.split_of(dataset, spec.split, spec.split_seed, spec.control_fold)
            if isinstance(split, str):
                return None
            task = Task(dataset, split)
            self._of = key, task, self._judge(entry, task)
        _, task, judge = self._of
        if isinstance(judge, encoders.Judge):
            return judge.metrics(entry, kept.shifts, SHARE)[0]
        if isinstance(judge, plans.Judge):
            if kept.steps is None:
                return "not coordinates"
            return judge.metrics(entry, kept.shifts, kept.steps, SHARE)[0]
        d_hat = rows.by_name(kept.names, kept.shifts, task.dataset.genes.tolist(), judge.order)
        return "other genes or units" if d_hat is None else judge.metrics(entry, d_hat, SHARE)[0]

    def _judge(self, entry: BoardEntry, task: Task) -> _Judge:
        if entry.track.takes == "encoder":
            return encoders.Judge(task)
        planned = entry.track.takes == "candidates"
        return plans.Judge(task, self._folder) if planned else rows.judge_of(task, entry, self._folder)

    def _of_moments(self, entry: BoardEntry, kept: Moments) -> str | None:
        spec = entry.record.spec
        key = spec.dataset, spec.split_seed
        if self._screen is None or self._screen[0] != key:
            try:
                self._screen = key, screens.screen_of(load(*key))
            except BenchError:
                return None
        return screens.judged(entry, self._screen[1], kept, SHARE)[0]
