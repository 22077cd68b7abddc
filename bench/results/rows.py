"""Records sorted into the rows of a board."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from bench.core.errors import BenchError
from bench.results import tables
from bench.results.records import Record
from bench.results.tables import Table
from bench.tracks.response.metrics import METRICS

FLOOR = "train_mean"
#: The four families, by the metric that stands for each in the mean skill.
FAMILIES = {metric.family: name for name, metric in METRICS.items() if metric.family}
#: What ``beat_rate`` and ``control_sd`` are about, and the order where no skill is defined.
PRIMARY = FAMILIES["pattern"]
NAMES = tuple(METRICS)


@dataclass(frozen=True)
class Found:
    """A record and where it lies; its per-condition table is read when it is needed."""

    record: Record
    path: Path

    @cached_property
    def table(self) -> Table:
        """The per-condition numbers, metrics in registry order."""
        return tables.read(self.path.with_suffix(".parquet"), NAMES)


@dataclass
class Row:
    """One model on one board.

    Attributes:
        label: Model and what differs from its defaults.
        by_seed: Its records on control fold 0, by split seed.
        folds: Its records on control fold 1, by split seed.
    """

    label: str
    by_seed: dict[int, list[Found]] = field(default_factory=lambda: defaultdict(list))
    folds: dict[int, list[Found]] = field(default_factory=lambda: defaultdict(list))

    @property
    def seeds(self) -> list[int]:
        """Split seeds of its records on fold 0, in order."""
        return sorted(self.by_seed)

    def tables(self, seed: int) -> list[Table]:
        """Its tables on fold 0 under a split seed."""
        return [found.table for found in self.by_seed[seed]]

    @property
    def records(self) -> list[Record]:
        """All its records on fold 0."""
        return [found.record for seed in self.seeds for found in self.by_seed[seed]]

    @property
    def run_ids(self) -> list[str]:
        """Of all its records, in order."""
        return sorted(
            item.record.run_id for group in (self.by_seed, self.folds) for found in group.values() for item in found
        )

    @property
    def honest(self) -> bool:
        """Whether its predictions were made from the input controls: anything else gets no skill, rank or claim."""
        return all(record.controls_used == "input" for record in self.records)


def gather(items: Iterable[Found], seeds: Sequence[int] | None = None) -> tuple[list[int], dict[str, Row]]:
    """Sort a board's records into rows.

    Args:
        items: Records of one data set and split.
        seeds: Split seeds wanted; absent = those of the floor's own records, or else all.

    Returns:
        The seeds and the rows by label, with records of these seeds only.
    """
    items = list(items)
    zero = [item for item in items if item.record.spec.control_fold == 0]
    floor = {item.record.spec.split_seed for item in zero if item.record.spec.label == FLOOR}
    wanted = sorted(set(seeds) if seeds is not None else floor or {item.record.spec.split_seed for item in zero})
    rows: dict[str, Row] = {}
    for item in items:
        spec = item.record.spec
        if spec.split_seed in wanted:
            row = rows.setdefault(spec.label, Row(spec.label))
            (row.folds if spec.control_fold else row.by_seed)[spec.split_seed].append(item)
    present = sorted({seed for row in rows.values() for seed in row.by_seed})
    return [seed for seed in wanted if seed in present], {k: row for k, row in rows.items() if row.by_seed}


def check_task(rows: Mapping[str, Row], anchor: Mapping[int, Found], scope: str) -> None:
    """Compare the records of a task with each seed's first: conditions, floor and replicate must be the same.

    Raises:
        BenchError: Naming two records that differ.
    """
    m = NAMES.index(PRIMARY)
    for seed, first in anchor.items():
        same = [found for row in rows.values() for found in row.by_seed.get(seed, ())]
        for found in same:
            if found.table.conditions.get(scope) != first.table.conditions.get(scope):
                raise BenchError(f"seed {seed}: {found.path} and {first.path} hold different test conditions.")
        for name, what in (("floor", "floor"), ("half_replicate", "replicate")):
            theirs = first.table.column(scope, name, m)
            ours = np.stack([found.table.column(scope, name, m) for found in same])
            alike = np.isclose(ours, theirs, atol=1e-6, equal_nan=True).all(axis=1)  # machines round differently
            if not alike.all():
                path = same[int(alike.argmin())].path
                raise BenchError(f"seed {seed}: {path} and {first.path} disagree on the {what}.")
