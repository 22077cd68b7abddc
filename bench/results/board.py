"""One board: rows of one track, data set and split with means, intervals, skill and shared ranks.

No row's means, intervals or skill depend on which other rows are there. A rank does: it is 1 + the number of rows that
are clearly better, and with more rows to be compared a difference must be clearer.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bench.core.track import Track
from bench.core.typing import Floats
from bench.results.entries import BoardEntry
from bench.results.estimates import Placed, place
from bench.results.generated import rounded
from bench.results.rows import Row, anchors, gather, share_tasks
from bench.results.skill import MIN_FAMILIES, Bar, bars
from bench.results.summary import average, estimates, places, plan_for
from bench.results.tables import ALL, Table
from bench.stats.design import Design
from bench.stats.intervals import beat_rate, nanmean
from bench.stats.jackknife import Estimate, join
from bench.stats.ranks import ranks

__all__ = ["BARS", "CEILING", "FLOOR", "REPLICATE", "BoardEntry", "Row", "board", "gather"]

CEILING, REPLICATE, FLOOR = "ceiling", "replicate", "floor"
#: Rows that are no predictors, and in which order they stand below.
BARS = (CEILING, REPLICATE, FLOOR)
_RANKS = ("rank", "rank_high")
_SKILL = ("skill", "skill_ci_low", "skill_ci_high")
_COUNTS = (
    *_RANKS,
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
#: Rows placed at once: bounds memory.
_CHUNK = 512

Line = dict[str, Any]


def metric_columns(track: Track) -> list[str]:
    """Columns of a track's metrics: level, bounds, and skill of those that stand for a family."""
    return [f"{name}{end}" for name in track.metrics for end in _ends(track, name)]


def _ends(track: Track, name: str) -> tuple[str, ...]:
    return ("", *BOUNDS, *(["_skill"] if name in track.families.values() else []))


def board(items: Sequence[BoardEntry], scope: str = ALL, seeds: Sequence[int] | None = None) -> pd.DataFrame:
    """Make the table of one track, data set and split.

    Args:
        items: Its records.
        scope: ``all``, a subgroup or a tertile of effect strength.
        seeds: See :func:`bench.results.rows.gather`. Rows that lack one of them are listed without a rank.

    Returns:
        One row per model and variant, then ceiling, replicate and floor where the track has them; undefined numbers are
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
    base = [anchor[seed].values for seed in full]
    plan, limits = _task(track, base, scope)
    lines: list[Line] = []
    numbers: list[Floats] = []
    ranked: list[tuple[list[str], Estimate]] = []
    placeable = [row for row in rows.values() if row.has_values and set(row.seeds) & set(known)]
    for group in _groups(placeable):
        whole = group[0].seeds == wanted
        own = (plan, limits) if whole else _task(track, [anchor[seed].values for seed in group[0].seeds], scope)
        tables = [[row.tables(seed) for seed in row.seeds] for row in group]
        placed = place(track, tables, scope, *own, [row.honest for row in group])
        lines += [_line(row, i, placed, wanted, scope) for i, row in enumerate(group)]
        numbers.append(_numbers(track, placed.theta, placed.width, placed.skills(track)))
        if whole:
            chosen = [i for i, row in enumerate(group) if row.competes and np.isfinite(placed.headline.value[i])]
            ranked.append(([group[i].label for i in chosen], _comparable(placed.headline, group).take(chosen)))
    placed_labels = {row.label for row in placeable}
    for row in rows.values():
        if row.label not in placed_labels:
            lines.append(_unplaced(row))
            numbers.append(_run_numbers(row, scope))
    _rank(lines, ranked)
    if track.families:
        made = _bars(track, base, scope, plan, limits)
        lines += [line for line, _ in made]
        numbers += [block for _, block in made]
    table = _table(track, lines, np.concatenate(numbers))
    table.attrs["skill_reasons"] = {bar.metric: bar.reason for bar in limits.values()}
    table.attrs["floor_answers"] = {family: bar.answer for family, bar in limits.items()}
    return table


def _task(track: Track, tables: Sequence[Table], scope: str) -> tuple[Design, dict[str, Bar]]:
    """The units of a scope and its bars, under the split seeds of some tables."""
    if scope == ALL:
        return _whole_task(track, tuple(tables))
    plan = plan_for([[table] for table in tables], scope)
    return plan, bars(track, tables, scope, plan, _whole_task(track, tuple(tables))[1])


@functools.lru_cache(maxsize=8)  # boards of subgroups follow on that of the whole
def _whole_task(track: Track, tables: tuple[Table, ...]) -> tuple[Design, dict[str, Bar]]:
    plan = plan_for([[table] for table in tables], ALL)
    return plan, bars(track, tables, ALL, plan)


def _unplaced_board(rows: Mapping[str, Row], wanted: Sequence[int]) -> pd.DataFrame:
    """A board of records that have numbers of the whole run only."""
    track = next(iter(rows.values())).track
    lines = [_unplaced(row) for row in rows.values()]
    return _table(track, lines, np.concatenate([_run_numbers(row, ALL) for row in rows.values()]))


def _groups(rows: Iterable[Row]) -> list[list[Row]]:
    """Rows that have the same split seeds, not too many at once: they are measured by the same floor and ceiling."""
    by_seeds: dict[tuple[int, ...], list[Row]] = {}
    for row in rows:
        by_seeds.setdefault(tuple(row.seeds), []).append(row)
    return [group[i : i + _CHUNK] for group in by_seeds.values() for i in range(0, len(group), _CHUNK)]


def _comparable(headline: Estimate, group: Sequence[Row]) -> Estimate:
    """What rows are ranked by, where a learned row of one training seed borrows the training noise of the others.

    Its own noise is not known, and nothing would keep it from being told apart from its like by luck.
    """
    noise, df = headline.training, headline.training_df
    lent = np.array([row.learned and row.training_seeds > 1 for row in group], dtype=np.bool_) & (df > 0)
    lacking = np.array([row.learned and row.training_seeds == 1 for row in group], dtype=np.bool_)
    if not lent.any() or not lacking.any():
        return headline
    # A variance over K training seeds is that of one, over K.
    seeds = np.array([max(row.training_seeds, 1) for row in group])
    one = float((noise * seeds)[lent].mean())
    return replace(headline, training=np.where(lacking, one, noise), training_df=np.where(lacking, df[lent].sum(), df))


def _rank(lines: Sequence[Line], parts: Sequence[tuple[list[str], Estimate]]) -> None:
    """Write ranks into the lines of rows that have one; a part holds labels and what they are ranked by."""
    labels = [label for part in parts for label in part[0]]
    if not labels:
        return
    whole = join([part[1] for part in parts if part[0]])
    by_label = dict(zip(labels, ranks(whole).tolist(), strict=True))
    for line in lines:
        line.update(zip(_RANKS, by_label.get(str(line["model"]), [None] * len(_RANKS)), strict=True))


def _table(track: Track, lines: Sequence[Line], numbers: Floats) -> pd.DataFrame:
    """Join the lines' own columns and the metrics' ``[R, columns]``, best row first.

    Rows are sorted by what a CSV shows of them, then by name: rounding must not decide their order.
    """
    plain = pd.DataFrame(list(lines))
    counts = [name for name in _COUNTS if name in plain and name not in track.numbers]
    plain[counts] = plain[counts].astype("Int64")
    columns = metric_columns(track)
    level = numbers[:, columns.index(track.primary)] * (track.metrics[track.primary].direction or 1)
    order = pd.DataFrame(
        {
            "bar": plain["model"].map({name: 1 + i for i, name in enumerate(BARS)} if track.families else {}).fillna(0),
            "kind": [line["kind"] == "reference" for line in lines],
            "unranked": plain["rank"].isna(),
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
    """Level, bounds and, of families, skill of each metric ``[R, columns]``, in the order of the columns."""
    parts = []
    for m, name in enumerate(track.metrics):
        low, high = theta[:, m] - width[:, m], theta[:, m] + width[:, m]
        parts += [theta[:, m], low, high, skill[:, m]][: len(_ends(track, name))]
    return np.stack(parts, axis=1)


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
    return {**dict.fromkeys(_RANKS), "model": row.label, "kind": kind}


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


def _line(row: Row, i: int, placed: Placed, wanted: Sequence[int], scope: str) -> Line:
    """Every column of a row but the metrics' and the ranks; ``i`` is its place in its group."""
    first = [row.by_seed[seed][0].values for seed in row.seeds]
    n = sum(len(table.conditions.get(scope, ())) for table in first)
    fell = sum(int((table.fallbacks(scope) > 0).sum()) for table in first)
    low, high = placed.bounds()
    bounds = (placed.headline.value[i], low[i], high[i]) if row.track.families else ()
    return {
        **_head(row, fell, n),
        **dict(zip(_SKILL, bounds)),
        "n_seeds": len(first),
        "n_training_seeds": row.training_seeds if row.learned else None,
        "n_contexts": len({unit.context for table in first for unit in table.task.units.get(scope, ())}),
        "n_conditions": n,
        "n_informative": n - fell,
        **_tail(row, _beat_rate(row, scope), _control_sd(row, wanted, scope), fell),
    }


def _beat_rate(row: Row, scope: str) -> float:
    """Share of units on which the row is better than the track's baseline in the primary metric, mean over seeds."""
    track = row.track
    if row.label == track.baseline:
        return float("nan")
    m, higher = list(track.metrics).index(track.primary), track.metrics[track.primary].direction >= 0
    rates = [
        beat_rate(average(heads, scope, "value", m), average(heads, scope, "floor", m), higher)
        for heads in (row.tables(seed) for seed in row.seeds)
    ]
    return float(nanmean(np.stack(rates)))


def _unplaced(row: Row) -> Line:
    """The line of a row of whose units nothing is known here."""
    return {
        **_head(row),
        **(dict.fromkeys(_SKILL, np.nan) if row.track.families else {}),
        "n_seeds": len(row.seeds),
        "n_training_seeds": row.training_seeds if row.learned else None,
        "n_contexts": None,
        "n_conditions": 0 if row.has_values else None,
        "n_informative": 0 if row.has_values else None,
        **_tail(row, np.nan, np.nan, 0 if row.has_values else None),
    }


def _bars(
    track: Track, tables: Sequence[Table], scope: str, plan: Design, limits: Mapping[str, Bar]
) -> list[tuple[Line, Floats]]:
    """Lines of ceiling, replicate and floor, from the task's own numbers; families only, but for the replicate."""
    rows = [[[table] for table in tables]]
    whole = estimates(rows, scope, "half_replicate", range(len(track.metrics)), plan)
    families = dict(zip(places(track), limits.values(), strict=True))
    n = sum(len(table.conditions.get(scope, ())) for table in tables)
    contexts = len({unit.context for unit in plan.units})
    known = sum(not bar.reason for bar in limits.values())
    made = []
    for label in BARS:
        theta, width, skills = (np.full((1, len(track.metrics)), np.nan) for _ in range(3))
        if label == REPLICATE:
            theta[0], width[0] = whole.value, whole.half_width()
        for m, bar in families.items():
            found = {CEILING: bar.ceiling, REPLICATE: bar.replicate, FLOOR: bar.floor}[label]
            theta[0, m], width[0, m] = found.value[0], found.half_width()[0]
            skills[0, m] = (found.value[0] - bar.floor.value[0]) / bar.room
        middle = np.nanmean(skills) if known >= MIN_FAMILIES else np.nan
        line: Line = {
            **dict.fromkeys(_RANKS),
            "model": label,
            "kind": "bar",
            **dict.fromkeys(_SKILL, np.nan),
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
        made.append((line, _numbers(track, theta, width, skills)))
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
