"""Checks of rows of planning: facts of their task, and their metrics from kept coordinates, computed a second time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.audit import data_sets, floors
from bench.audit.candidates import listed
from bench.audit.compare import EXACT, PLANS, difference
from bench.audit.records import Inspection, subject
from bench.audit.report import METRIC, Check, failed, passed
from bench.audit.second import orders, planning
from bench.audit.second.planning import Answer, Values
from bench.audit.second.questions import Questions, drawn
from bench.data.task import Task
from bench.results.entries import BoardEntry
from bench.results.tables import ALL

Floats = NDArray[np.float64]
#: What a track must measure for its rows to be judged here.
METRICS = frozenset({"e1_mrr_20", "e2_mrr_20", "e3_mrr_20", "e4_regret", "e5_regret"})
#: What a permutation's p may be off by: the predictions that are kept are not exact.
P_STEPS = 0.03


class Judge:
    """The questions of a task, and what its rows answered.

    Args:
        task: The task.
        folder: Leaderboards folder, for names.
    """

    def __init__(self, task: Task, folder: Path) -> None:
        asked, self.units, targeted = listed(task)
        self.every = drawn(data_sets.cells_of(task), asked, targeted)
        self.seed, self.folder = task.split.seed, folder
        self.scales = planning.scales(self.every)

    @cached_property
    def chance(self) -> Values:
        """What a random order gives ``[T]``."""
        return self._joined(lambda one: planning.chance(one, self.scales))

    def facts(self, entry: BoardEntry, what: str) -> Check:
        """Compare chance, orders that look at no query, and the ceiling with those computed here."""
        floor = {name: self.chance[of] for name in PLANS if (of := _chance_of(name)) in self.chance}
        half_floor = {name: self.chance[name] for name in orders.FAMILIES if name in self.chance}
        fields = [
            ("floor", floor, False),
            ("half_floor", half_floor, True),
            ("half_replicate", self._joined(lambda one: planning.ceiling(one, self.scales)), False),
        ]
        by_context = [orders.blind_answers(one, self.scales) for one in self.every]
        blind = {name: self._together([of[name] for of in by_context]) for name in by_context[0]}
        return floors.compared(
            entry,
            [(field, self._ordered(entry, columns), whole) for field, columns, whole in fields],
            {name: self._ordered(entry, columns) for name, columns in blind.items()},
            what,
        )

    def row(self, entry: BoardEntry, rows: Floats, steps: Floats) -> Check:
        """Check one row by its kept coordinates."""
        check, name = "metrics recomputed", subject(entry, self.folder)
        worst, n = self.metrics(entry, rows, steps)
        return failed(check, name, METRIC, worst) if worst else passed(check, name, f"{n} values")

    def metrics(self, entry: BoardEntry, rows: Floats, steps: Floats, share: float = 1.0) -> tuple[str, int]:
        """Compare a row's metrics, and its numbers of the whole run, with those of its coordinates.

        Args:
            entry: The row.
            rows: Coordinates of candidates, in the order in which they are kept.
            steps: What a whole number stands for in each.
            share: How much of each tolerance is allowed.

        Returns:
            What differs, in words (empty = nothing), and how many values were compared.
        """
        try:
            answers = self._answers(rows, steps)
        except ValueError as error:
            return f"{error}: of another task, or of other candidates", 0
        values = self._joined(lambda one: planning.scored(one, answers[one.asked.context], self.scales))
        worst, n = difference(_recorded(entry, "value"), self._ordered(entry, values), PLANS, share=share)
        also, m = self._numbers(entry, answers, values)
        return worst or also, n + m

    def _answers(self, rows: Floats, steps: Floats) -> dict[int, Answer]:
        """By context."""
        found, begin = {}, 0
        for i, one in enumerate(self.every):
            asked = one.asked
            count = 1 + len(asked.own) + (len(one.centre) + 1 + len(asked.pairs) if len(asked.pairs) else 0)
            end = len(rows) if i == len(self.every) - 1 else begin + count
            found[asked.context] = planning.unfolded(rows[begin:end], steps[begin:end], one)
            begin = end
        return found

    def _numbers(self, entry: BoardEntry, answers: dict[int, Answer], values: Values) -> tuple[str, int]:
        """Compare numbers of the whole run: candidates, chance, the null within strata, and who is unknown."""
        stated, n = entry.record.numbers, 0
        found: dict[str, float] = {"n_unknown": float(sum((~one.known).sum() for one in answers.values()))}
        nulls = [planning.nulls(one, answers[one.asked.context], self.seed) for one in self.every]
        for task in ("e1", "e2", "e3"):
            here = [of[task] for of in nulls if task in of]
            if here:
                found[f"{task}_mrr_null"] = sum(mean * n for mean, _, n in here) / sum(n for *_, n in here)
                found[f"{task}_mrr_null_p"] = min(1.0, len(here) * min(p for _, p, _ in here))
        for task, of in (("e1", "tested"), ("e2", "cells"), ("e3", "pairs")):
            found[f"{task}_candidates"] = float(np.mean([len(getattr(one.asked, of)) for one in self.every]))
            if (chance := self.chance.get(f"{task}_mrr_20")) is not None:
                found[f"{task}_mrr_chance"] = float(np.nanmean(chance))
        for name, value in found.items():
            recorded = stated.get(name)
            allowed = EXACT
            if "_null" in name:
                allowed = P_STEPS if name.endswith("_p") else PLANS[f"{name[:2]}_mrr_20"].mean
            if recorded is None or abs(recorded - value) > allowed:
                return f"{name} is {value:.6g}, and {recorded} is recorded", n
            n += 1
        return "", n

    def _joined(self, compute: Callable[[Questions], Values]) -> Values:
        return self._together([compute(one) for one in self.every])

    def _together(self, found: list[Values]) -> Values:
        """Context after context; NaN of what one lacks."""
        counts = [len(one.asked.tested) for one in self.every]
        names = dict.fromkeys(name for values in found for name in values)
        return {
            name: np.concatenate([v.get(name, np.full(n, np.nan)) for v, n in zip(found, counts, strict=True)])
            for name in names
        }

    def _ordered(self, entry: BoardEntry, values: Values) -> Values:
        place = {tuple(unit): i for i, unit in enumerate(self.units)}
        order = [place[tuple(unit)] for unit in entry.values.task.units[ALL]]
        return {name: each[order] for name, each in values.items()}


def look(folder: Path, found: Inspection, entries: Sequence[BoardEntry], task: Task, what: str) -> Iterator[Check]:
    """Check the records of planning of one task that have values by unit."""
    judge, name = Judge(task, folder), "units are of the test part"
    sound = []
    for entry in entries:
        if odd := set(map(tuple, entry.values.task.units[ALL])) ^ set(map(tuple, judge.units)):
            why = f"{len(odd)} units are not those that are asked of this task"
            yield failed(name, subject(entry, folder), METRIC, why)
        else:
            sound.append(entry)
    if not sound:
        return
    yield judge.facts(sound[0], f"{what} planning")
    for entry in sound:
        kept = found.predictions.get(entry.path)
        if kept is not None and entry.record.run_id in kept.shifts:
            run_id = entry.record.run_id
            yield judge.row(entry, kept.shifts[run_id], kept.steps[run_id])


def _chance_of(name: str) -> str:
    """The metric whose chance value is that of another."""
    plain = name.replace("_raw", "")
    return "e3_mrr_20" if plain.startswith("e6") else plain


def _recorded(entry: BoardEntry, field: str) -> dict[str, Floats]:
    block = entry.values.field(ALL, field)
    return {name: block[:, m] for m, name in enumerate(entry.values.metrics)}
