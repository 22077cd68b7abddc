"""Records sorted into the rows of a board."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import BenchError
from bench.core.track import Track
from bench.results.as_mean import as_mean
from bench.results.entries import BoardEntry
from bench.results.records import Record
from bench.results.tables import Table


@dataclass
class Row:
    """One model on one board.

    Attributes:
        label: Model and what differs from its defaults.
        track: The track of its records.
        by_seed: Its records on control fold 0, by split seed.
        folds: Its records on control fold 1, by split seed.
    """

    label: str
    track: Track
    by_seed: dict[int, list[BoardEntry]] = field(default_factory=lambda: defaultdict(list))
    folds: dict[int, list[BoardEntry]] = field(default_factory=lambda: defaultdict(list))

    @property
    def seeds(self) -> list[int]:
        """Split seeds of its records on fold 0, in order."""
        return sorted(self.by_seed)

    def tables(self, seed: int) -> list[Table]:
        """Its tables on fold 0 under a split seed."""
        return [entry.values for entry in self.by_seed[seed]]

    def fell_back(self, seed: int, scope: str) -> NDArray[np.bool_]:
        """Units on which it fell back under a split seed, whichever training seed it was ``[n]``."""
        return np.asarray(np.any([table.fallbacks(scope) > 0 for table in self.tables(seed)], axis=0))

    def as_mean(self, scope: str) -> int:
        """Units and split seeds in which it predicts the train mean without saying so, whichever training seed it was.

        The track's baseline is that mean, and has nothing to say.
        """
        if self.label == self.track.baseline:
            return 0
        found = [[as_mean(self.track, table, scope) for table in self.tables(seed)] for seed in self.seeds]
        return sum(int(np.any(of_seed, axis=0).sum()) for of_seed in found)

    @property
    def entries(self) -> list[BoardEntry]:
        """All its records on fold 0, as entries."""
        return [entry for seed in self.seeds for entry in self.by_seed[seed]]

    @property
    def has_values(self) -> bool:
        """Whether all its records have values by unit: without, it has no interval and no rank."""
        return all(entry.table is not None for entry in self.entries)

    @property
    def kind(self) -> str:
        """What it is: see :attr:`bench.results.records.Record.kind`."""
        return self.records[0].kind

    @property
    def competes(self) -> bool:
        """Whether it is ranked: what is given the answer's own network, and references, are not."""
        return self.kind in ("model", "control")

    @property
    def records(self) -> list[Record]:
        """All its records on fold 0."""
        return [entry.record for entry in self.entries]

    @property
    def run_ids(self) -> list[str]:
        """Of all its records, in order."""
        return sorted(
            item.record.run_id for group in (self.by_seed, self.folds) for found in group.values() for item in found
        )

    @property
    def training_seeds(self) -> int:
        """Fewest training seeds of a split seed: by how many its training noise is known."""
        return min((len(found) for found in self.by_seed.values()), default=0)

    @property
    def learned(self) -> bool:
        """Whether training noise is part of it: its records were fitted from a random start."""
        return any(record.learned for record in self.records)

    @property
    def honest(self) -> bool:
        """Whether its predictions were made from the input controls: anything else gets no skill, rank or claim."""
        return all(record.honest for record in self.records)


def gather(items: Iterable[BoardEntry], seeds: Sequence[int] | None = None) -> tuple[list[int], dict[str, Row]]:
    """Sort a board's records into rows.

    Args:
        items: Records of one track, data set and split.
        seeds: Split seeds wanted; absent = those of the track's baseline, or of the references', or else all.

    Returns:
        The seeds and the rows by label, with records of these seeds only.
    """
    items = list(items)
    zero = [item for item in items if item.record.spec.control_fold == 0]
    bars = {item.record.spec.split_seed for item in zero if _is_bar(item)}
    wanted = sorted(set(seeds) if seeds is not None else bars or {item.record.spec.split_seed for item in zero})
    rows: dict[str, Row] = {}
    for item in items:
        spec = item.record.spec
        if spec.split_seed in wanted:
            row = rows.setdefault(spec.label, Row(spec.label, item.track))
            (row.folds if spec.control_fold else row.by_seed)[spec.split_seed].append(item)
    present = sorted({seed for row in rows.values() for seed in row.by_seed})
    return [seed for seed in wanted if seed in present], {k: row for k, row in rows.items() if row.by_seed}


def _is_bar(item: BoardEntry) -> bool:
    return item.record.kind == "reference" or item.record.spec.label == item.track.baseline


def anchors(rows: Mapping[str, Row], seeds: Sequence[int]) -> dict[int, BoardEntry]:
    """The first record of each seed that has values: its units, floor and replicate are the task's."""
    out = {}
    for seed in seeds:
        some = (entry for row in rows.values() for entry in row.by_seed.get(seed, ()) if entry.table is not None)
        if (first := next(some, None)) is not None:
            out[seed] = first
    return out


def share_tasks(rows: Mapping[str, Row], anchor: Mapping[int, BoardEntry]) -> None:
    """Put all values beside the units, floor and replicate of each seed's anchor, from whatever folder they came.

    Raises:
        BenchError: Naming two records of one task that hold other units, or another floor or replicate.
    """
    for seed, first in anchor.items():
        for row in rows.values():
            for i, entry in enumerate(row.by_seed.get(seed, ())):
                if entry.table is None or entry.values.task is first.values.task:
                    continue
                if said := entry.disagrees(first):
                    raise BenchError(f"seed {seed}: {entry.where} and {first.where} {said}.")
                row.by_seed[seed][i] = entry.with_task_of(first)
