"""One board: rows of one track, data set and split with means, intervals, skill and shared ranks.

No row's numbers depend on which other rows are there: all rows share one set of draws, which depends on the test
units alone, and a rank only says how many rows are clearly better.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.core.track import Track
from bench.core.typing import Floats
from bench.results.entries import BoardEntry
from bench.results.estimates import Estimates, Places, place, unit_width
from bench.results.generated import rounded
from bench.results.rows import Row, anchors, gather, share_tasks
from bench.results.skill import MIN_FAMILIES
from bench.results.summary import Summary, average, plan_for, summarise
from bench.results.tables import ALL, TASK_FIELDS
from bench.stats.intervals import beat_rate, half_width, nanmean
from bench.stats.ranks import ranks

__all__ = ["REPLICATE", "BoardEntry", "Row", "board", "gather"]

REPLICATE = "replicate"
_RANKS = ("rank", "rank_low", "rank_high")
_SKILL = ("skill", "skill_ci_low", "skill_ci_high")
_COUNTS = (*_RANKS, "n_seeds", "n_conditions", "n_informative", "n_fallback", "parameters")
#: Rows placed at once: bounds memory.
_CHUNK = 512

Line = dict[str, Any]


def metric_columns(track: Track) -> list[str]:
    """Columns of a track's metrics: level, bounds, and skill where the track has families."""
    ends = ("", "_ci_low", "_ci_high", "_skill") if track.families else ("", "_ci_low", "_ci_high")
    return [f"{name}{end}" for name in track.metrics for end in ends]


def board(items: Sequence[BoardEntry], scope: str = ALL, seeds: Sequence[int] | None = None) -> pd.DataFrame:
    """Make the table of one track, data set and split.

    Args:
        items: Its records.
        scope: ``all``, a subgroup or a tertile of effect strength.
        seeds: See :func:`bench.results.rows.gather`. Rows that lack one of them are listed without a rank.

    Returns:
        One row per model and variant, then the replicate and the floor where the track has them; undefined numbers are
        NaN. Empty where nothing is known of the scope.
    """
    wanted, rows = gather(items, seeds)
    anchor = anchors(rows, wanted)
    known = [seed for seed in wanted if seed in anchor and anchor[seed].values.conditions.get(scope)]
    if not known:
        return _unplaced_board(rows, wanted) if scope == ALL and not anchor and rows else pd.DataFrame()
    share_tasks(rows, anchor)
    track = items[0].track
    full = [seed for seed in wanted if seed in anchor]
    base = [[anchor[seed].values] for seed in full]
    bars = summarise(track, base, scope, plan_for(base, scope))
    lines: list[Line] = []
    numbers: list[Floats] = []
    ranked = []
    placeable = [row for row in rows.values() if row.has_values and set(row.seeds) & set(known)]
    for group, task in _tasks(placeable, full, scope, bars):
        placed = place(group, task, scope)
        lines += [_line(row, i, placed, wanted, scope) for i, row in enumerate(group)]
        numbers.append(_numbers(track, placed.theta, placed.width, placed.skill))
        if group[0].seeds == wanted:
            own = [i for i, row in enumerate(group) if _competes(row) and np.isfinite(placed.ranked_by[i])]
            ranked.append(([group[i].label for i in own], placed.ranked_by[own], placed.paired[own]))
    for row in rows.values():
        if row not in placeable and not (row.label == track.floor and row.seeds != wanted):
            lines.append(_unplaced(row))
            numbers.append(_run_numbers(row, scope))
    _rank(lines, ranked, unit_width(bars, track))
    if track.families:
        for label, field, skill in ((REPLICATE, "half_replicate", 1.0), (track.floor, "floor", 0.0)):
            if label and (label not in rows or rows[label].seeds != wanted):
                lines.append(_bar_line(track, label, bars, field, skill, len(wanted)))
                numbers.append(_bar_numbers(track, bars, field, skill))
    table = _table(track, lines, np.concatenate(numbers))
    table.attrs["skill_reasons"] = dict(zip(track.metrics, bars.skill.reason, strict=True))
    return table


def _unplaced_board(rows: Mapping[str, Row], wanted: Sequence[int]) -> pd.DataFrame:
    """A board of records that have numbers of the whole run only."""
    track = next(iter(rows.values())).track
    lines = [_unplaced(row) for row in rows.values()]
    return _table(track, lines, np.concatenate([_run_numbers(row, ALL) for row in rows.values()]))


def _competes(row: Row) -> bool:
    return row.kind == "model" and row.label != row.track.floor


def _tasks(
    rows: Iterable[Row], wanted: Sequence[int], scope: str, bars: Summary
) -> Iterator[tuple[list[Row], Summary]]:
    """Group rows that share draws, floor and replicate: those with all seeds, and others by what seeds they have.

    A row that lacks seeds is measured by its own floor and replicate; rows where these are the same share them.
    """
    groups: dict[tuple[object, ...], tuple[list[Row], Summary]] = {(): ([], bars)}
    for row in rows:
        if row.label == row.track.floor and row.seeds != wanted:
            continue  # a floor over some of the seeds is no floor of the board
        key: tuple[object, ...] = ()
        if row.seeds != wanted:
            tables = [row.tables(seed) for seed in row.seeds]
            task = [average(heads, scope, field).tobytes() for heads in tables for field in TASK_FIELDS]
            key = (*row.seeds, *(heads[0].conditions.get(scope) for heads in tables), *task)
            if key not in groups:
                groups[key] = ([], summarise(row.track, tables, scope))
        groups[key][0].append(row)
    for members, task_bars in groups.values():
        for i in range(0, len(members), _CHUNK):
            yield members[i : i + _CHUNK], task_bars


def _rank(lines: Sequence[Line], parts: Sequence[tuple[list[str], Floats, Floats]], unit: float) -> None:
    """Write ranks into the lines of rows that have one; a part holds labels, what they are ranked by and its draws."""
    if not parts:
        return
    labels = [label for part in parts for label in part[0]]
    places = ranks(np.concatenate([part[1] for part in parts]), np.concatenate([part[2] for part in parts]), unit)
    by_label = dict(zip(labels, places.tolist(), strict=True))
    for line in lines:
        line.update(zip(_RANKS, by_label.get(str(line["model"]), [None] * 3), strict=True))


def _table(track: Track, lines: Sequence[Line], numbers: Floats) -> pd.DataFrame:
    """Join the lines' own columns and the metrics' ``[R, 4 M]``, best row first.

    Rows are sorted by what a CSV shows of them, then by name: rounding must not decide their order.
    """
    plain = pd.DataFrame(list(lines))
    counts = [name for name in _COUNTS if name in plain and name not in track.numbers]
    plain[counts] = plain[counts].astype("Int64")
    columns = metric_columns(track)
    level = numbers[:, columns.index(track.primary)] * Places.of(track).sign
    order = pd.DataFrame(
        {
            "bar": plain["model"].map({REPLICATE: 1, track.floor: 2} if track.families else {}).fillna(0),
            "kind": [line.get("kind", "model") == "reference" for line in lines],
            "rank": plain["rank"],
            "skill": [-rounded(value) if np.isfinite(value) else np.inf for value in plain.get("skill", level)],
            "level": [-rounded(value) if np.isfinite(value) else np.inf for value in level],
            "model": plain["model"],
        }
    )
    best_first = order.sort_values(order.columns.to_list(), na_position="last").index.to_numpy()
    after = list(plain).index("beat_rate")
    metrics = pd.DataFrame(numbers, columns=columns)
    table = pd.concat([plain.iloc[:, :after], metrics, plain.iloc[:, after:]], axis=1)
    return table.iloc[best_first].reset_index(drop=True)


def _numbers(track: Track, theta: Floats, width: Floats, skill: Floats) -> Floats:
    """Level, bounds and skill of each metric ``[R, 4 M]``, in the order of the columns."""
    parts = [theta, theta - width, theta + width, *([skill] if track.families else [])]
    return np.stack(parts, axis=2).reshape(len(theta), -1)


def _run_numbers(row: Row, scope: str) -> Floats:
    """The same of a row whose records have numbers of the whole run only."""
    level = np.array([[_over_seeds(row, name) if scope == ALL else np.nan for name in row.track.metrics]])
    nothing = np.full_like(level, np.nan)
    return _numbers(row.track, level, nothing, nothing)


def _over_seeds(row: Row, name: str) -> float:
    """A number of the whole run: mean over seeds, which weigh the same, of the mean over a seed's records."""
    by_seed = [
        np.mean([np.nan if (v := entry.record.numbers.get(name)) is None else v for entry in row.by_seed[seed]])
        for seed in row.seeds
    ]
    return float(np.mean(by_seed))


def _seed_sd(row: Row) -> Line:
    """Standard deviation of the primary metric over seeds, of a track whose rows are ranked by it."""
    if row.track.families:
        return {}
    name, primary, levels = row.track.primary, Places.of(row.track).primary, []
    for seed in row.seeds:
        if row.has_values:
            levels.append(_average(average(row.tables(seed), ALL, "value", primary).tolist()))
        else:
            found = [entry.record.numbers.get(name) for entry in row.by_seed[seed]]
            levels.append(float(np.mean([np.nan if value is None else value for value in found])))
    return {f"{name}_sd": float(np.std(levels, ddof=1)) if len(levels) > 1 else float("nan")}


def _head(row: Row) -> Line:
    line: Line = {**dict.fromkeys(_RANKS), "model": row.label}
    return line if row.track.families else {**line, "kind": row.kind}


def _tail(row: Row, beat: float, control_sd: float, fell: int | None) -> Line:
    budgets = [record.budget for record in row.records]
    return {
        "beat_rate": beat,
        **{name: _over_seeds(row, name) for name in row.track.numbers},
        **_seed_sd(row),
        "control_sd": control_sd,
        "n_fallback": fell,
        "wall_s": _average(b.fit_s + b.predict_s for b in budgets if b.fit_s is not None and b.predict_s is not None),
        "parameters": max((sum(b.parameters.values()) for b in budgets if b.parameters is not None), default=None),
        "run_ids": " ".join(row.run_ids),
    }


def _line(row: Row, i: int, placed: Estimates, wanted: Sequence[int], scope: str) -> Line:
    """Every column of a row but the metrics' and the ranks; ``i`` is its place in its group."""
    floor = row.label == row.track.floor
    first = [row.by_seed[seed][0].values for seed in row.seeds]
    n = sum(len(table.conditions.get(scope, ())) for table in first)
    fell = sum(int((table.fallbacks(scope) > 0).sum()) for table in first)
    skill, width = placed.mean_skill[i], placed.half_width[i]
    bounds = (0.0 if floor else skill, skill - width, skill + width) if row.track.families else ()
    return {
        **_head(row),
        **dict(zip(_SKILL, bounds)),
        "n_seeds": len(first),
        "n_conditions": n,
        "n_informative": n - fell,
        **_tail(row, np.nan if floor else placed.beat_rate[i], _control_sd(row, wanted, scope), fell),
    }


def _unplaced(row: Row) -> Line:
    """The line of a row of whose units nothing is known here."""
    return {
        **_head(row),
        **(dict.fromkeys(_SKILL, np.nan) if row.track.families else {}),
        "n_seeds": len(row.seeds),
        "n_conditions": 0 if row.has_values else None,
        "n_informative": 0 if row.has_values else None,
        **_tail(row, np.nan, np.nan, 0 if row.has_values else None),
    }


def _bar_line(track: Track, label: str, bars: Summary, field: str, skill: float, n_seeds: int) -> Line:
    """The same for floor or replicate, from the task's own numbers."""
    at = Places.of(track)
    beats = [beat_rate(v[field][:, at.primary], v["half_floor"][:, at.primary]).item() for v in bars.values]
    room = [not bars.skill.reason[m] for m in at.families]
    return {
        **dict.fromkeys(_RANKS),
        "model": label,
        **dict.fromkeys(_SKILL, np.nan),
        "skill": skill if sum(room) >= MIN_FAMILIES else np.nan,
        "n_seeds": n_seeds,
        "n_conditions": sum(len(v[field]) for v in bars.values),
        "n_informative": None,
        "beat_rate": _average(beats) if label == REPLICATE else np.nan,
        **dict.fromkeys(track.numbers, np.nan),
        "control_sd": np.nan,
        "n_fallback": None,
        "wall_s": np.nan,
        "parameters": None,
        "run_ids": "",
    }


def _bar_numbers(track: Track, bars: Summary, field: str, skill: float) -> Floats:
    level = bars.levels[field]
    width = half_width(level.level, level.n, level.distinct)
    room = [not reason for reason in bars.skill.reason]
    return _numbers(track, level.theta[None], width[None], np.where(room, skill, np.nan)[None])


def _control_sd(row: Row, wanted: Sequence[int], scope: str) -> float:
    """Half the difference between the two control folds in the primary metric: what the choice of controls is worth."""
    folds = [entry for found in row.folds.values() for entry in found]
    if sorted(row.folds) != list(wanted) or row.seeds != list(wanted) or any(e.table is None for e in folds):
        return float("nan")
    primary = Places.of(row.track).primary

    def level(groups: Mapping[int, list[BoardEntry]]) -> float:
        return _average(
            _average(found.values.column(scope, "value", primary).tolist()) for seed in wanted for found in groups[seed]
        )

    return abs(level(row.by_seed) - level(row.folds)) / 2


def _average(values: Iterable[float]) -> float:
    return float(nanmean(np.array([*values, np.nan])))
