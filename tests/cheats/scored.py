"""The one place where cheats meet the scoring: predictions and tasks in, skill with its interval out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest.mock import patch

import harness
import numpy as np
from numpy.typing import NDArray

from bench.data.task import Task
from bench.results.board import board
from bench.results.entries import BoardEntry
from bench.results.records import Record
from bench.results.summary import summarise
from bench.results.tables import ALL, Table
from bench.stats.bootstrap import level_deviation
from bench.stats.intervals import centre, width_of
from bench.tracks.response import evaluate, score
from bench.tracks.response.track import TRACK
from bench.tracks.response.truth import truth
from bench.tracks.response.truth.fields import Truth

Floats = NDArray[np.float64]
#: Expression means ``[T, G]``, or cells ``[T, n, G]``.
Prediction = Floats


@dataclass(frozen=True)
class Score:
    """What a row of a board earns.

    Attributes:
        skill: Mean over families; NaN = null.
        low: Lower end of its 95% interval; NaN = no interval.
        high: Upper end.
        families: Skill by family; families that are null on this board are left out.
        family_low: Lower end of each family's own 95% interval.
    """

    skill: float
    low: float
    high: float
    families: dict[str, float]
    family_low: dict[str, float]


def facts_of(task: Task) -> Truth:
    """The truth of a task, computed once."""
    return task.once("truth", lambda: truth.load(task))


def scored(rows: Mapping[str, Sequence[Prediction]], tasks: Sequence[Task]) -> dict[str, Score]:
    """Score rows of one board.

    Args:
        rows: Predictions by row's name, one for each task.
        tasks: The same data under several split seeds.
    """
    tables = {
        name: [_table(task, made) for task, made in zip(tasks, predictions, strict=True)]
        for name, predictions in rows.items()
    }
    entries = [_entry(name, seed, table) for name, own in tables.items() for seed, table in enumerate(own, 1)]
    lines, lows = board(entries).set_index("model"), _family_lows(tables)
    return {name: _score(lines.loc[name], lows[name]) for name in tables}


def _table(task: Task, prediction: Prediction) -> Table:
    """Values of one prediction, in the metrics that skill is made of: the others cost ten times as much."""
    facts = facts_of(task)
    means = prediction if prediction.ndim == 2 else prediction.mean(axis=1)
    cells = None if prediction.ndim == 2 else list(prediction.astype(np.float32))
    groups = {"tested": list(facts.conditions)}  # no subgroup is looked at: their galleries cost as much again each
    families = {name: score.METRICS[name] for name in TRACK.families.values()}
    with patch.object(evaluate, "METRICS", families), patch.object(score, "METRICS", families):
        found = score.score_table(facts, means, np.zeros(len(means), np.int64), groups, cells)
    return score.table_of(found)


@cache
def _record() -> Record:
    return harness.made("any", {})[0]


def _entry(name: str, seed: int, table: Table) -> BoardEntry:
    spec = harness.made_spec(name, split_seed=seed)
    record = _record().model_copy(update={"spec": spec, "run_id": spec.run_id})
    return BoardEntry(TRACK, record, Path("made"), lambda: table)


def _score(line: Mapping[str, float], low: Mapping[str, float]) -> Score:
    families = {family: float(line[f"{metric}_skill"]) for family, metric in TRACK.families.items()}
    known = {family: value for family, value in families.items() if np.isfinite(value)}
    ends = (float(line[key]) for key in ("skill", "skill_ci_low", "skill_ci_high"))
    return Score(*ends, known, {family: low[family] for family in known})


def _family_lows(rows: Mapping[str, Sequence[Table]]) -> dict[str, dict[str, float]]:
    """Lower end of the interval of each family's skill, of all rows at once."""
    first = next(iter(rows.values()))
    task = summarise(TRACK, [[table] for table in first], ALL)
    at = [first[0].metrics.index(metric) for metric in TRACK.families.values()]

    def stacked(tables: Sequence[Table], field: str) -> Floats:
        return np.concatenate([table.field(ALL, field)[:, at] for table in tables])

    floor, ceiling = stacked(first, "half_floor"), stacked(first, "half_replicate")
    own = task.levels["half_floor"]
    out = {}
    for name, tables in rows.items():
        mean = centre([table.field(ALL, "half_value")[:, at] for table in tables])[0]
        skill = (mean - task.between.floor.theta[at]) / task.between.room[at]
        linear = (stacked(tables, "half_value") - floor - skill * (ceiling - floor)) / task.between.room[at]
        width = width_of(level_deviation(task.plan, linear)[0], own.n[at], own.distinct[at])
        out[name] = dict(zip(TRACK.families, (skill - width).tolist(), strict=True))
    return out
