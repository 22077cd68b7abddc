"""A record as boards meet it: with its track, the file that holds it, and its values when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.core.track import Track
from bench.core.typing import Floats
from bench.results.levels import Level, levels
from bench.results.records import Record
from bench.results.tables import ALL, Table


@dataclass(frozen=True, eq=False)
class BoardEntry:
    """One record.

    Attributes:
        track: The track that it is of.
        record: The record.
        path: The file that holds it.
        load: Reads its values; gives ``None`` where it has none.
    """

    track: Track
    record: Record
    path: Path
    load: Callable[[], Table | None]

    @cached_property
    def table(self) -> Table | None:
        """Its values by unit; ``None`` where it has numbers of the whole run only."""
        return None if self.record.values_hash is None else self.load()

    @property
    def values(self) -> Table:
        """Its values by unit, where it is known to have some."""
        assert self.table is not None
        return self.table

    @cached_property
    def levels(self) -> dict[str, Level]:
        """Each metric of this one run over all its units; empty without values."""
        if self.table is None:
            return {}
        return levels(self.track, self.table, self.record.honest)[ALL]

    @property
    def informed(self) -> int:
        """Units of which no constituent fell back."""
        return 0 if self.table is None else int((self.table.fallbacks(ALL) == 0).sum())

    @property
    def where(self) -> str:
        """What to call it in an error."""
        return f"{self.path}, record {self.record.run_id}"

    def with_task_of(self, other: BoardEntry) -> BoardEntry:
        """The same values beside another entry's units, floor and replicate, which differ by rounding at most."""
        table = replace(self.values, task=other.values.task)
        return replace(self, load=lambda: table)

    def disagrees(self, other: BoardEntry) -> str:
        """Say in what two records of one task differ that must not: units, floor, replicate or blind answers."""
        mine, theirs = self.values.task, other.values.task
        if mine is theirs:
            return ""
        if not mine.same_units(theirs):
            return "hold different test conditions"
        for field, what in (("floor", "floor"), ("half_replicate", "replicate")):
            a, b = (task.numbers[field][:, : task.shown] for task in (mine, theirs))
            both = self._known(a, b)
            a, b = a[:, both], b[:, both]
            if not np.isclose(a, b, rtol=1e-5, atol=1e-6, equal_nan=True).all():  # machines round differently
                return f"disagree on the {what}"
        for which, lacking in (("first", theirs.answers - mine.answers), ("second", mine.answers - theirs.answers)):
            if lacking:
                return (
                    f"do not have the same condition-blind answers: the {which} lacks {', '.join(sorted(lacking))}, as "
                    "the code that scored it did not know them. Score it again ('bench run --force', or publish it "
                    "again)"
                )
        return ""

    def _known(self, mine: Floats, theirs: Floats) -> NDArray[np.bool_]:
        """Metrics to compare: of a family, or such as both records know; a record may be older than a metric."""
        families = np.array([metric.family is not None for metric in self.track.metrics.values()], dtype=np.bool_)
        return families | np.isfinite(mine).any(axis=0) & np.isfinite(theirs).any(axis=0)
