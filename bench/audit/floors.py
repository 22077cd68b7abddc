"""Checks of what all rows of a task share: what blind answers, the mean train shift and a replicate score."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from bench.audit.compare import EXACT, FROM_CELLS, Tolerance, difference
from bench.audit.report import METRIC, Check, failed, passed
from bench.audit.second import scores
from bench.audit.second.blind import Answer
from bench.audit.second.truth import Truth
from bench.results.entries import BoardEntry
from bench.results.tables import ALL, BLIND, TaskTable

Floats = NDArray[np.float64]
#: By metric ``[N]``.
Columns = dict[str, Floats]

#: What who tells no unit from another has, and who claims nothing beyond the singles: where there is a replicate.
CHANCE = {"discrimination": 0.5, "epistasis_kept_r": 0.0}
#: Metrics that are compared within subgroups too, which are galleries of their own.
WITHIN = ("discrimination", "discrimination_raw")
#: So many fields are named that are wrong.
_NAMED = 3


@dataclass(eq=False)
class Floors:
    """What a task's rows of values must hold.

    Attributes:
        truth: What was measured of the task's cells.
        blind: What answers say that know no condition.
        order: Place among its T units of each unit of a record's values ``[T]``.
        entry: One of its records: what is asked about is the same for all.
    """

    truth: Truth
    blind: Mapping[str, Answer]
    order: NDArray[np.int64]
    entry: BoardEntry

    @property
    def _task(self) -> TaskTable:
        return self.entry.values.task

    def check(self, what: str) -> Check:
        """Compare all of it with what is recorded."""
        return compared(self.entry, self._fields(), self._blind, what)

    def _fields(self) -> Iterator[tuple[str, Columns, bool]]:
        """Fields, what they must hold, and whether that is all that they may hold."""
        mean = np.broadcast_to(self.truth.train_delta, self.truth.c_in.shape)
        found, one = self._column, scores.Scores(self.truth, mean)
        floor = {name: found(values) for name, values in scores.everything(self.truth, mean).items()}
        within = {scope: one.identity(units) for scope, units in self._galleries.items()}
        floor["discrimination"] = found(one.identity(np.arange(len(mean))), within)
        within = {scope: one.identity(units, centred=False) for scope, units in self._galleries.items()}
        floor["discrimination_raw"] = found(one.identity(np.arange(len(mean)), centred=False), within)
        yield "floor", floor, False
        yield "half_floor", self._on_halves(lambda half: mean), True
        yield "half_replicate", self._replicate, False

    @cached_property
    def _replicate(self) -> Columns:
        truth = self.truth
        return self._on_halves(lambda half: truth.y[scores.complement(half)] - truth.c_rep)

    @cached_property
    def _blind(self) -> dict[str, Columns]:
        """Every answer that knows no condition, or in other contexts no context."""
        chance = {
            name: np.where(np.isfinite(self._replicate[name]), value, np.nan)
            for name, value in CHANCE.items()
            if name in self._replicate
        }
        out = {"chance": chance}
        for name, answer in self.blind.items():
            out[name] = {metric: self._column(each) for metric, each in answer.values.items()}
        for name, d_hat in self.truth.elsewhere.items():
            out[name] = self._on_halves(lambda half, d_hat=d_hat: d_hat)  # type: ignore[misc]
        return out

    @cached_property
    def _galleries(self) -> dict[str, NDArray[np.int64]]:
        """Units of each subgroup that has rows of its own, by place among the task's."""
        return {scope: self.order[rows] for scope, (rows, own) in self._task.scopes.items() if own is not None}

    def _on_halves(self, d_hat: Callable[[int], Floats]) -> Columns:
        """The metrics of families against halves."""
        found = scores.on_halves(self.truth, d_hat)
        within = scores.identity_on_halves(self.truth, d_hat, list(self._galleries.values()))
        galleries = dict(zip(self._galleries, within, strict=True))
        return {
            name: self._column(values, galleries if name == "discrimination" else {}) for name, values in found.items()
        }

    def _column(self, values: Floats, galleries: Mapping[str, Floats] | None = None) -> Floats:
        """Values of the task's units, and of units within galleries, where a record has them; NaN elsewhere ``[N]``."""
        task = self._task
        out = np.full(len(task.cells), np.nan)
        out[task.words["scope"] == ALL] = values[self.order]
        for scope, within in (galleries or {}).items():
            out[task.scopes[scope][1]] = within
        return out


def compared(
    entry: BoardEntry, fields: Iterable[tuple[str, Columns, bool]], blind: Mapping[str, Columns], what: str
) -> Check:
    """Compare what a record says of its task with what was computed, all within 1e-6.

    Args:
        entry: The record.
        fields: Name of a field, its columns, and whether other columns must have no value.
        blind: Columns of the answers of which the floor is the best: there may be no other, and they have no others.
        what: Of what task, for the report.
    """
    answers = {name: of for name, of in blind.items() if any(np.isfinite(each).any() for each in of.values())}
    there, name, n = entry.values.task.answers, "floor and replicate recomputed", 0
    said = [
        f"{one} is not among the floor's answers: scored by code that did not know it"
        for one in sorted(set(answers) - there)
    ]
    said += [f"{BLIND}{one} is an answer of another kind of task" for one in sorted(there - set(answers))]
    for field, columns, whole in chain(
        fields, ((BLIND + one, answers[one], True) for one in sorted(there & set(answers)))
    ):
        worst, count = _difference(entry, field, columns, whole)
        n += count
        said += [f"{field}: {worst}"] if worst else []
    if not said:
        return passed(name, what, f"{n} values, {len(answers)} blind answers")
    more = f"; and {len(said) - _NAMED} more" if len(said) > _NAMED else ""
    return failed(name, what, METRIC, "; ".join(said[:_NAMED]) + more)


def _difference(entry: BoardEntry, field: str, computed: Columns, whole: bool) -> tuple[str, int]:
    task = entry.values.task
    shown, everywhere = task.words["scope"] == ALL, np.ones(len(task.cells), dtype=np.bool_)
    nothing, recorded, expected = np.full(len(task.cells), np.nan), Columns(), Columns()
    for m, name in enumerate(entry.values.metrics):
        if whole or name in computed:
            rows = everywhere if whole or name in WITHIN else shown
            recorded[name] = task.numbers[field][rows, m]
            expected[name] = computed.get(name, nothing)[rows]
    exact = dict.fromkeys(entry.values.metrics, Tolerance(EXACT, EXACT)) | FROM_CELLS
    return difference(recorded, expected, exact)
