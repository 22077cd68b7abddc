"""One board: rows of one data set and split with means, intervals, skill and shared ranks.

No row's numbers depend on which other rows are there: all rows share one set of draws, which depends on the test
conditions alone, and a rank only says how many rows are clearly better.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from bench.core.typing import Floats
from bench.results.estimates import Estimates, place, unit_width
from bench.results.rows import FAMILIES, FLOOR, NAMES, PRIMARY, Found, Row, check_task, gather
from bench.results.skill import MIN_FAMILIES
from bench.results.summary import TASK_FIELDS, Summary, average, plan_for, summarise
from bench.results.tables import ALL
from bench.stats.intervals import beat_rate, half_width
from bench.stats.ranks import ranks

__all__ = ["FAMILIES", "FLOOR", "NAMES", "PRIMARY", "REPLICATE", "Found", "Row", "board", "gather"]

REPLICATE = "replicate"
_PRIMARY = NAMES.index(PRIMARY)
_RANKS = ("rank", "rank_low", "rank_high")
_COUNTS = [*_RANKS, "n_seeds", "n_conditions", "n_informative", "n_fallback", "parameters"]
_METRIC_COLUMNS = [f"{name}{suffix}" for name in NAMES for suffix in ("", "_ci_low", "_ci_high", "_skill")]
#: Rows placed at once: bounds memory.
_CHUNK = 512


def board(items: Sequence[Found], scope: str = ALL, seeds: Sequence[int] | None = None) -> pd.DataFrame:
    """Make the table of one data set and split.

    Args:
        items: Its records.
        scope: ``all``, a subgroup or a tertile of effect strength.
        seeds: See :func:`bench.results.rows.gather`. Rows that lack one of them are listed without a rank.

    Returns:
        One row per model and variant, then the replicate and the floor; undefined numbers are NaN.
    """
    wanted, rows = gather(items, seeds)
    anchor = {seed: next(r.by_seed[seed][0] for r in rows.values() if seed in r.by_seed) for seed in wanted}
    if not any(found.table.conditions.get(scope) for found in anchor.values()):
        return pd.DataFrame()
    base = [[anchor[seed].table] for seed in wanted]
    check_task(rows, anchor, scope)
    bars = summarise(base, scope, plan_for(base, scope))
    lines, numbers, ranked = [], [], []
    for group, task in _tasks(rows.values(), wanted, scope, bars):
        placed = place(group, task, scope)
        lines += [_line(row, i, placed, wanted, scope) for i, row in enumerate(group)]
        numbers.append(_numbers(placed.theta, placed.width, placed.skill))
        if group[0].seeds == wanted:
            own = [i for i, row in enumerate(group) if row.label != FLOOR and np.isfinite(placed.mean_skill[i])]
            ranked.append(([group[i].label for i in own], placed.mean_skill[own], placed.paired[own]))
    _rank(lines, ranked, unit_width(bars))
    for label, field, skill in ((REPLICATE, "half_replicate", 1.0), (FLOOR, "floor", 0.0)):
        if label not in rows or rows[label].seeds != wanted:
            lines.append(_bar_line(label, bars, field, skill, len(wanted)))
            numbers.append(_bar_numbers(bars, field, skill))
    table = _table(lines, np.concatenate(numbers))
    table.attrs["skill_reasons"] = dict(zip(NAMES, bars.skill.reason, strict=True))
    return table


def _tasks(
    rows: Iterable[Row], wanted: Sequence[int], scope: str, bars: Summary
) -> Iterator[tuple[list[Row], Summary]]:
    """Group rows that share draws, floor and replicate: those with all seeds, and others by what seeds they have.

    A row that lacks seeds is measured by its own floor and replicate; rows where these are the same share them.
    """
    groups: dict[tuple[object, ...], tuple[list[Row], Summary]] = {(): ([], bars)}
    for row in rows:
        if row.label == FLOOR and row.seeds != wanted:
            continue  # a floor over some of the seeds is no floor of the board
        key: tuple[object, ...] = ()
        if row.seeds != wanted:
            tables = [row.tables(seed) for seed in row.seeds]
            task = [average(heads, scope, field).tobytes() for heads in tables for field in TASK_FIELDS]
            key = (*row.seeds, *(heads[0].conditions.get(scope) for heads in tables), *task)
            if key not in groups:
                groups[key] = ([], summarise(tables, scope))
        groups[key][0].append(row)
    for members, task_bars in groups.values():
        for i in range(0, len(members), _CHUNK):
            yield members[i : i + _CHUNK], task_bars


def _rank(lines: Sequence[dict[str, object]], parts: Sequence[tuple[list[str], Floats, Floats]], unit: float) -> None:
    """Write ranks into the lines of rows that have one; each part holds labels, mean skill and its draws."""
    if not parts:
        return
    labels = [label for part in parts for label in part[0]]
    places = ranks(np.concatenate([part[1] for part in parts]), np.concatenate([part[2] for part in parts]), unit)
    by_label = dict(zip(labels, places.tolist(), strict=True))
    for line in lines:
        line.update(zip(_RANKS, by_label.get(str(line["model"]), [None] * 3), strict=True))


def _table(lines: Sequence[dict[str, object]], numbers: Floats) -> pd.DataFrame:
    """Join the lines' own columns and the metrics' ``[R, 4 M]``, best row first."""
    plain = pd.DataFrame(lines)
    plain[_COUNTS] = plain[_COUNTS].astype("Int64")
    order = pd.DataFrame(
        {
            "bar": plain["model"].map({REPLICATE: 1, FLOOR: 2}).fillna(0),
            "rank": plain["rank"],
            "skill": -plain["skill"].fillna(-np.inf).astype(float),
            "level": -np.nan_to_num(numbers[:, _METRIC_COLUMNS.index(PRIMARY)], nan=-np.inf),
            "model": plain["model"],
        }
    )
    best_first = order.sort_values(order.columns.to_list(), na_position="last").index.to_numpy()
    after = list(plain).index("beat_rate")
    metrics = pd.DataFrame(numbers, columns=_METRIC_COLUMNS)
    table = pd.concat([plain.iloc[:, :after], metrics, plain.iloc[:, after:]], axis=1)
    return table.iloc[best_first].reset_index(drop=True)


def _numbers(theta: Floats, width: Floats, skill: Floats) -> Floats:
    """Level, bounds and skill of each metric ``[R, 4 M]``, in the order of the columns."""
    return np.stack([theta, theta - width, theta + width, skill], axis=2).reshape(len(theta), -1)


def _line(row: Row, i: int, placed: Estimates, wanted: Sequence[int], scope: str) -> dict[str, object]:
    """Every column of a row but the metrics' and the ranks; ``i`` is its place in its group."""
    floor = row.label == FLOOR
    first = [row.by_seed[seed][0].table for seed in row.seeds]
    n = sum(len(table.conditions.get(scope, ())) for table in first)
    fell = sum(int((table.fallbacks(scope) > 0).sum()) for table in first)
    budgets = [record.budget for record in row.records]
    skill, width = placed.mean_skill[i], placed.half_width[i]
    return {
        **dict.fromkeys(_RANKS),
        "model": row.label,
        "skill": 0.0 if floor else skill,
        "skill_ci_low": skill - width,
        "skill_ci_high": skill + width,
        "n_seeds": len(first),
        "n_conditions": n,
        "n_informative": n - fell,
        "beat_rate": np.nan if floor else placed.beat_rate[i],
        "control_sd": _control_sd(row, wanted, scope),
        "n_fallback": fell,
        "wall_s": _average(b.fit_s + b.predict_s for b in budgets if b.fit_s is not None and b.predict_s is not None),
        "parameters": max((sum(b.parameters.values()) for b in budgets if b.parameters is not None), default=None),
        "run_ids": " ".join(row.run_ids),
    }


def _bar_line(label: str, bars: Summary, field: str, skill: float, n_seeds: int) -> dict[str, object]:
    """The same for floor or replicate, from the task's own numbers."""
    beats = [beat_rate(v[field][:, _PRIMARY], v["half_floor"][:, _PRIMARY]).item() for v in bars.values]
    room = dict(zip(NAMES, (not reason for reason in bars.skill.reason), strict=True))
    return {
        **dict.fromkeys(_RANKS),
        "model": label,
        "skill": skill if sum(room[name] for name in FAMILIES.values()) >= MIN_FAMILIES else np.nan,
        "skill_ci_low": np.nan,
        "skill_ci_high": np.nan,
        "n_seeds": n_seeds,
        "n_conditions": sum(len(v[field]) for v in bars.values),
        "n_informative": None,
        "beat_rate": _average(beats) if label == REPLICATE else np.nan,
        "control_sd": np.nan,
        "n_fallback": None,
        "wall_s": np.nan,
        "parameters": None,
        "run_ids": "",
    }


def _bar_numbers(bars: Summary, field: str, skill: float) -> Floats:
    level = bars.levels[field]
    width = half_width(level.level, level.n, level.distinct)
    room = [not reason for reason in bars.skill.reason]
    return _numbers(level.theta[None], width[None], np.where(room, skill, np.nan)[None])


def _control_sd(row: Row, wanted: Sequence[int], scope: str) -> float:
    """Half the difference between the two control folds in the primary metric: what the choice of controls is worth."""
    if sorted(row.folds) != list(wanted) or row.seeds != list(wanted):
        return float("nan")

    def level(groups: Mapping[int, list[Found]]) -> float:
        return _average(
            _average(found.table.column(scope, "value", _PRIMARY).tolist()) for seed in wanted for found in groups[seed]
        )

    return abs(level(row.by_seed) - level(row.folds)) / 2


def _average(values: Iterable[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
