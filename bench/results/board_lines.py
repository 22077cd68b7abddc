"""Lines of a board: what a row, or a bar below them, says in every column but its rank."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bench.core.track import Track
from bench.core.typing import Floats
from bench.results.entries import BoardEntry
from bench.results.estimates import Placed
from bench.results.rows import Row
from bench.results.skill import MIN_FAMILIES, Bar
from bench.results.summary import average, averages, estimates, places
from bench.results.tables import ALL, Table
from bench.stats.design import Design
from bench.stats.intervals import beat_rate, nanmean
from bench.stats.jackknife import join

CEILING, REPLICATE, FLOOR = "ceiling", "replicate", "floor"
#: Rows that are no predictors, and in which order they stand below.
BARS = (CEILING, REPLICATE, FLOOR)
RANKS = ("rank", "rank_high")
SKILL = ("skill", "skill_ci_low", "skill_ci_high")
COUNTS = (
    *RANKS,
    "n_seeds",
    "n_training_seeds",
    "n_contexts",
    "n_conditions",
    "n_informative",
    "n_fallback",
    "parameters",
)
#: A row in which more conditions than this fell back is in part the row of what it fell back to.
MAX_FALLBACK = 0.1
#: Ends of the columns with a metric's bounds.
BOUNDS = ("_ci_low", "_ci_high")
Line = dict[str, Any]


def metric_columns(track: Track) -> list[str]:
    """Columns of a track's metrics: level, bounds, and skill of those that stand for a family."""
    return [f"{name}{end}" for name in track.metrics for end in ends(track, name)]


def ends(track: Track, name: str) -> tuple[str, ...]:
    """Ends of the columns of a metric."""
    return ("", *BOUNDS, *(["_skill"] if name in track.families.values() else []))


def metric_numbers(track: Track, theta: Floats, width: Floats, skill: Floats) -> Floats:
    """Level, bounds and, of families, skill of each metric ``[R, columns]``, in the order of the columns."""
    parts = []
    for m, name in enumerate(track.metrics):
        low, high = theta[:, m] - width[:, m], theta[:, m] + width[:, m]
        parts += [theta[:, m], low, high, skill[:, m]][: len(ends(track, name))]
    return np.stack(parts, axis=1)


def run_numbers(row: Row, scope: str) -> Floats:
    """The same of a row whose records have numbers of the whole run only."""
    level = np.array([[_over_seeds(row, name) if scope == ALL else np.nan for name in row.track.metrics]])
    nothing = np.full_like(level, np.nan)
    return metric_numbers(row.track, level, nothing, nothing)


def _over_seeds(row: Row, name: str) -> float:
    """A number of the whole run: mean over seeds, which weigh the same, of the mean over a seed's records."""
    found = [[entry.record.numbers.get(name) for entry in entries] for _, entries in sorted(row.by_seed.items())]
    # In plain Python: numpy's mean of three numbers takes longer than all else of a row.
    by_seed = [float("nan") if None in values else sum(values) / len(values) for values in found]  # type: ignore[arg-type]
    return sum(by_seed) / len(by_seed)


def _seed_sd(row: Row) -> Line:
    """Standard deviation of the primary metric over seeds, of a track whose rows are ranked by it."""
    if row.track.families:
        return {}
    name, primary, levels = row.track.primary, list(row.track.metrics).index(row.track.primary), []
    for seed in row.seeds:
        if row.has_values:
            levels.append(_average(average(row.tables(seed), ALL, "value", primary).tolist()))
        else:
            found = [entry.record.numbers.get(name) for entry in row.by_seed[seed]]
            levels.append(float(np.mean([np.nan if value is None else value for value in found])))
    return {f"{name}_sd": float(np.std(levels, ddof=1)) if len(levels) > 1 else float("nan")}


def _head(row: Row, fell: int = 0, n: int = 0) -> Line:
    kind = row.kind
    if kind == "model" and fell > MAX_FALLBACK * n:
        kind = "model with fallbacks"
    return {**dict.fromkeys(RANKS), "model": row.label, "kind": kind}


def _tail(row: Row, beat: float, control_sd: float, fell: int | None) -> Line:
    budgets = [record.budget for record in row.records]
    return {
        "beat_rate": beat,
        **{name: _over_seeds(row, name) for name in row.track.numbers},
        **_seed_sd(row),
        **_status(row),
        "control_sd": control_sd,
        "n_fallback": fell,
        "wall_s": _average(b.fit_s + b.predict_s for b in budgets if b.fit_s is not None and b.predict_s is not None),
        "parameters": max((sum(b.parameters.values()) for b in budgets if b.parameters is not None), default=None),
        "run_ids": " ".join(row.run_ids),
    }


def _status(row: Row) -> Line:
    """Why a task could not be asked as it was meant, of a track whose records say so."""
    if not row.track.statuses:
        return {}
    return {"status": " ".join(dict.fromkeys(record.status for record in row.records if record.status))}


def row_lines(group: Sequence[Row], placed: Placed, wanted: Sequence[int], scope: str) -> list[Line]:
    """Every column of rows under the same split seeds but the metrics' and the ranks."""
    low, high = placed.bounds()
    headlines = np.stack([placed.headline.value, low, high], axis=1)
    rates = _beat_rates(group, scope)
    tables = [table for seed in group[0].seeds for table in group[0].tables(seed)[:1]]  # whose units are all rows'
    n = sum(len(table.conditions.get(scope, ())) for table in tables)
    contexts = len({unit.context for table in tables for unit in table.task.units.get(scope, ())})
    lines = []
    for row, bounds, rate in zip(group, headlines, rates, strict=True):
        fell = sum(int(row.fell_back(seed, scope).sum()) for seed in row.seeds)
        lines.append(
            {
                **_head(row, fell, n),
                **(dict(zip(SKILL, bounds)) if row.track.families else {}),
                "n_seeds": len(tables),
                "n_training_seeds": row.training_seeds if row.learned else None,
                "n_contexts": contexts,
                "n_conditions": n,
                "n_informative": n - fell,
                **_tail(row, rate, _control_sd(row, wanted, scope), fell),
            }
        )
    return lines


def _beat_rates(group: Sequence[Row], scope: str) -> list[float]:
    """Share of units on which each row is better than the track's baseline in the primary metric, mean over seeds."""
    track = group[0].track
    m, higher = list(track.metrics).index(track.primary), track.metrics[track.primary].direction >= 0
    by_seed = []
    for seed in group[0].seeds:
        tables = [row.tables(seed) for row in group]
        floor = tables[0][0].column(scope, "floor", m)
        by_seed.append(beat_rate(averages(tables, scope, "value", (m,))[:, :, 0], floor[:, None], higher))
    rates = nanmean(np.stack(by_seed)).tolist()
    return [np.nan if row.label == track.baseline else rate for row, rate in zip(group, rates, strict=True)]


def unplaced_line(row: Row) -> Line:
    """The line of a row of whose units nothing is known here."""
    return {
        **_head(row),
        **(dict.fromkeys(SKILL, np.nan) if row.track.families else {}),
        "n_seeds": len(row.seeds),
        "n_training_seeds": row.training_seeds if row.learned else None,
        "n_contexts": None,
        "n_conditions": 0 if row.has_values else None,
        "n_informative": 0 if row.has_values else None,
        **_tail(row, np.nan, np.nan, 0 if row.has_values else None),
    }


def bar_lines(
    track: Track, tables: Sequence[Table], scope: str, plan: Design, limits: Mapping[str, Bar]
) -> list[tuple[Line, Floats]]:
    """Lines of ceiling, replicate and floor, from the task's own numbers; families only, but for the replicate."""
    rows = [[[table] for table in tables]]
    whole = estimates(rows, scope, "half_replicate", range(len(track.metrics)), plan)
    families = dict(zip(places(track), limits.values(), strict=True))
    n = sum(len(table.conditions.get(scope, ())) for table in tables)
    contexts = len({unit.context for unit in plan.units})
    known = sum(not bar.reason for bar in limits.values())
    found = {label: [getattr(bar, label) for bar in limits.values()] for label in BARS}
    # At once: an interval of one number takes as long as that of fifty.
    widths = join([one for label in BARS for one in found[label]]).half_width().reshape(len(BARS), -1)
    made = []
    for label, own in zip(BARS, widths, strict=True):
        theta, width, skills = (np.full((1, len(track.metrics)), np.nan) for _ in range(3))
        if label == REPLICATE:
            theta[0], width[0] = whole.value, whole.half_width()
        for (m, bar), one, half in zip(families.items(), found[label], own, strict=True):
            theta[0, m], width[0, m] = one.value[0], half
            skills[0, m] = (one.value[0] - bar.floor.value[0]) / bar.room
        middle = np.nanmean(skills) if known >= MIN_FAMILIES else np.nan
        line: Line = {
            **dict.fromkeys(RANKS),
            "model": label,
            "kind": "bar",
            **dict.fromkeys(SKILL, np.nan),
            "skill": middle,
            "n_seeds": len(tables),
            "n_training_seeds": None,
            "n_contexts": contexts,
            "n_conditions": n,
            "n_informative": None,
            "beat_rate": np.nan,
            **dict.fromkeys(track.numbers, np.nan),
            "control_sd": np.nan,
            "n_fallback": None,
            "wall_s": np.nan,
            "parameters": None,
            "run_ids": "",
        }
        made.append((line, metric_numbers(track, theta, width, skills)))
    return made


def _control_sd(row: Row, wanted: Sequence[int], scope: str) -> float:
    """Half the difference between the two control folds in the primary metric: what the choice of controls is worth."""
    folds = [entry for found in row.folds.values() for entry in found]
    if sorted(row.folds) != list(wanted) or row.seeds != list(wanted) or any(e.table is None for e in folds):
        return float("nan")
    primary = list(row.track.metrics).index(row.track.primary)

    def level(groups: Mapping[int, list[BoardEntry]]) -> float:
        return _average(
            _average(found.values.column(scope, "value", primary).tolist()) for seed in wanted for found in groups[seed]
        )

    return abs(level(row.by_seed) - level(row.folds)) / 2


def _average(values: Iterable[float]) -> float:
    return float(nanmean(np.array([*values, np.nan])))
