"""Checks of what bootstraps of the reference controls do to a row, to a replicate and to the answers of the floor.

Their variance is part of every interval: made smaller, with all hashes made anew, they would narrow it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.audit.second import scores
from bench.audit.second.blind import Answer
from bench.audit.second.resampled import DRAWS, Resampled, changes
from bench.audit.second.truth import Cells, Truth
from bench.core.track import Track
from bench.results.entries import BoardEntry
from bench.results.tables import ALL, BLIND, TaskTable

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Bools = NDArray[np.bool_]
#: Values under each bootstrap: by metric ``[50, T]``, and of identity by scope ``[50, n]``.
Moved: TypeAlias = tuple[Mapping[str, Floats], Mapping[str, Floats]]

IDENTITY, REPLICATE, CHANCE = "discrimination", "replicate", "chance"
#: What the root mean square of a difference may be, in that of the changes themselves: of these 7 bits are kept, and
#: predictions in few digits. About twice the largest measured on 253 rows of 13 tasks.
SHARE = {"pearson_delta": 0.02, "shift_ratio": 0.04, "signed_rank_z": 0.06, IDENTITY: 0.05}
#: The same beside it, where changes are next to nothing; of identity in steps, which are one unit that beats another.
ROUNDED, STEPS = 2e-5, 2.0


@dataclass(eq=False)
class Bootstraps:
    """Facts of a task, by which changes are judged.

    Attributes:
        cells: The task's cells.
        truth: What was measured of them.
        order: Place among its T units of each unit of a record's values ``[T]``.
    """

    cells: Cells
    truth: Truth
    order: Rows

    @cached_property
    def _resampled(self) -> Resampled:
        return Resampled(self.cells, self.truth)

    def of_row(self, entry: BoardEntry, d_hat: Floats, none: Bools) -> tuple[str, int]:
        """Compare the changes of a row with those of its predicted shifts.

        Args:
            entry: The row.
            d_hat: In the order of the task's units ``[T, G]``.
            none: Units whose prediction is none, as far as kept numbers tell ``[T]``.

        Returns:
            What differs, in words (empty = nothing), and how many changes were compared.
        """
        values = entry.values
        computed = self._changes(entry, "value", *self._moved(values.task, d_hat, none))
        return self._compared(values.task, values.draws, computed)

    def of_task(self, entry: BoardEntry, blind: Mapping[str, Answer]) -> tuple[str, int]:
        """Compare the changes of a task's replicate, and of the answers of its floor, with those computed here.

        Of a replicate those of ``signed_rank_z`` are not, which would need the test of every half.

        Args:
            entry: One of its records.
            blind: Answers that know no condition.
        """
        values, n = entry.values, 0
        if any(row.any() for (_, _, name), row in values.task.draws.items() if name == CHANCE):
            return "chance does not depend on the controls, and moves with them", n
        for name, (by_unit, galleries) in self._parts(values.task, entry.track, blind):
            only = name.partition("@")[2]  # an answer that is fitted to a subgroup is one there alone
            field = "half_replicate" if name == REPLICATE else BLIND + name
            computed = self._changes(entry, field, by_unit, galleries)
            computed = {key: each for key, each in computed.items() if only in ("", key[0])}
            asked = (*by_unit, IDENTITY) if name == REPLICATE else tuple(SHARE)
            stored = {key[:2]: row for key, row in values.task.draws.items() if key[2] == name and key[1] in asked}
            said, compared = self._compared(values.task, stored, computed)
            n += compared
            if said:
                return f"of {name}, {said}", n
        return "", n

    def _parts(self, task: TaskTable, track: Track, blind: Mapping[str, Answer]) -> Iterator[tuple[str, Moved]]:
        """Values under each bootstrap of everything that a task keeps changes of."""
        yield REPLICATE, self._replicate(task, track)
        nothing = np.zeros(len(self.truth.c_in), dtype=np.bool_)
        for name, d_hat in self.truth.elsewhere.items():
            yield name, self._moved(task, d_hat, nothing)
        for name, answer in blind.items():
            found = self._resampled.of(answer.pattern, answer.de, answer.size)
            yield name, ({metric: each[:, self.order] for metric, each in found.items()}, {})

    def _moved(self, task: TaskTable, d_hat: Floats, none: Bools) -> Moved:
        """Values under each bootstrap: by metric, and of identity by scope, in the order of a record's units."""
        found = {name: each[:, self.order] for name, each in self._resampled.by_unit(d_hat).items()}
        return found, {
            scope: self._resampled.identity(d_hat, units, none) for scope, units in self._galleries(task).items()
        }

    def _galleries(self, task: TaskTable) -> dict[str, Rows]:
        """Units of all, and of each subgroup that is a gallery of its own."""
        scopes = {scope: rows for scope, (rows, own) in task.scopes.items() if own is not None or scope == ALL}
        return {scope: self.order[rows] for scope, rows in scopes.items()}

    def _replicate(self, task: TaskTable, track: Track) -> Moved:
        """A half as a prediction of the other, mean over halves, or what a prediction without noise would reach."""
        truth, none = self.truth, np.zeros(len(self.truth.c_in), dtype=np.bool_)
        by_unit: dict[str, list[Floats]] = {}
        galleries: dict[str, list[Floats]] = {}
        for half in range(1, len(truth.y)):
            d_hat = truth.y[scores.complement(half)] - truth.c_rep
            for name, each in self._resampled.by_unit(d_hat, half).items():
                by_unit.setdefault(name, []).append(each[:, self.order])
            for scope, units in self._galleries(task).items():
                galleries.setdefault(scope, []).append(self._resampled.identity(d_hat, units, none, half))
        reached = {name: _mean(np.array(parts)) for name, parts in by_unit.items()}
        for name, each in reached.items():
            if track.metrics[name].ceiling == "noise_free":
                reached[name] = np.sqrt(np.maximum(each, 0.0))
        return reached, {scope: _mean(np.array(parts)) for scope, parts in galleries.items()}

    @staticmethod
    def _changes(
        entry: BoardEntry, field: str, by_unit: Mapping[str, Floats], galleries: Mapping[str, Floats]
    ) -> dict[tuple[str, str], Floats]:
        """Changes of means over the units of each scope that have a value, by scope and metric."""
        values, out = entry.values, dict[tuple[str, str], Floats]()
        for scope, (rows, _) in values.task.scopes.items():
            found = {name: of[:, rows] for name, of in by_unit.items()}
            if galleries:
                found[IDENTITY] = galleries[scope] if scope in galleries else galleries[ALL][:, rows]
            for metric, each in found.items():
                there = np.isfinite(values.column(scope, field, list(values.metrics).index(metric)))
                if (moved := changes(np.where(there, each, np.nan))) is not None:
                    out[scope, metric] = moved
        return out

    def _compared(
        self, task: TaskTable, stored: Mapping[tuple[str, str], Floats], computed: Mapping[tuple[str, str], Floats]
    ) -> tuple[str, int]:
        """The change that is off most, in words (empty = none beyond what is tolerated), and how many there were."""
        said, most = "", 1.0
        if lacking := sorted(set(computed) - set(stored)):
            return f"{lacking[0][1]} in {lacking[0][0]} has values, and no changes", len(stored)
        for key, mine in stored.items():
            if key not in computed:
                return f"{key[1]} in {key[0]} has changes, and no value", len(stored)
            if len(mine) != len(computed[key]):
                return f"{key[1]} in {key[0]} has {len(mine)} bootstraps, not {len(computed[key])}", len(stored)
            off, size = (float(np.sqrt(np.mean(x**2))) for x in (mine - computed[key], computed[key]))
            allowed = SHARE[key[1]] * size + (self._step(task, key[0]) if key[1] == IDENTITY else ROUNDED)
            if off / allowed > most:
                most = off / allowed
                said = f"changes of {key[1]} in {key[0]} are off by {off:.2g}, where {allowed:.2g} is tolerated"
        return said, len(stored)

    def _step(self, task: TaskTable, scope: str) -> float:
        """What one unit that is told from another more or less moves the mean of a scope by, times :data:`STEPS`."""
        units = self.order[task.scopes[scope][0]]
        galleries = self._galleries(task)
        among = galleries.get(scope, galleries[ALL])
        key = list(zip(self.truth.context[among].tolist(), self.truth.stratum[among].tolist(), strict=True))
        least = min((key.count(one) for one in set(key) if key.count(one) >= scores.GALLERY), default=2)
        return STEPS / (least - 1) / max(len(units), 1)


def lacking(entry: BoardEntry) -> str:
    """What of a row has values and no changes, or other than 50, in words (empty = nothing): kept or not.

    Without changes the reference controls would add nothing to its intervals.
    """
    values = entry.values
    for scope in values.task.scopes:
        for metric in SHARE:
            known = np.isfinite(values.column(scope, "value", list(values.metrics).index(metric))).any()
            found = values.draws.get((scope, metric))
            if known and (found is None or len(found) != DRAWS or not np.isfinite(found).all()):
                return f"{metric} in {scope} has values, and no {DRAWS} changes"
    return ""


def _mean(values: Floats) -> Floats:
    """Mean over the first axis of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    n = known.sum(axis=0)
    return np.where(n > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(n, 1), np.nan)
