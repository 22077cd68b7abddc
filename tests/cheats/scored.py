"""The one place where cheats meet the scoring: predictions and tasks in, skill with its interval out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.data.task import Task
from bench.results.estimates import place
from bench.results.skill import bars
from bench.results.summary import plan_for
from bench.results.tables import ALL, Table
from bench.tracks.response import score
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
    tables = [
        [[_table(task, made)] for task, made in zip(tasks, predictions, strict=True)] for predictions in rows.values()
    ]
    plan = plan_for(tables[0], ALL)
    limits = bars(TRACK, [heads[0] for heads in tables[0]], ALL, plan)
    placed = place(TRACK, tables, ALL, plan, limits, [True] * len(tables))
    low, high = placed.bounds()
    ends = {family: found.value - found.half_width() for family, found in placed.families.items()}
    out = {}
    for i, name in enumerate(rows):
        values = {family: float(found.value[i]) for family, found in placed.families.items()}
        known = {family: value for family, value in values.items() if np.isfinite(value)}
        lows = {family: float(ends[family][i]) for family in known}
        out[name] = Score(float(placed.headline.value[i]), float(low[i]), float(high[i]), known, lows)
    return out


def _table(task: Task, prediction: Prediction) -> Table:
    """Values of one prediction."""
    means = prediction if prediction.ndim == 2 else prediction.mean(axis=1)
    cells = None if prediction.ndim == 2 else list(prediction.astype(np.float32))
    return score.table_of(score.score_table(facts_of(task), means, np.zeros(len(means), np.int64), cells))
