"""One board: rows of one track, data set and split with means, intervals, skill and shared ranks.

No row's means, intervals or skill depend on which other rows are there. A rank does: it is 1 + the number of rows that
are clearly better, and with more rows to be compared a difference must be clearer.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from bench.core.track import Track
from bench.core.typing import Floats
from bench.results.board_lines import (
    BARS,
    BOUNDS,
    CEILING,
    COUNTS,
    FLOOR,
    MAX_FALLBACK,
    RANKS,
    REPLICATE,
    Line,
    bar_lines,
    metric_columns,
    metric_numbers,
    row_lines,
    run_numbers,
    unplaced_line,
)
from bench.results.entries import BoardEntry
from bench.results.estimates import place
from bench.results.generated import rounded
from bench.results.rows import Row, anchors, gather, share_tasks
from bench.results.skill import Bar, bars
from bench.results.summary import plan_for
from bench.results.tables import ALL, Table
from bench.stats.design import Design
from bench.stats.jackknife import Estimate, join
from bench.stats.ranks import ranks

__all__ = [
    "BARS",
    "BOUNDS",
    "CEILING",
    "FLOOR",
    "MAX_FALLBACK",
    "REPLICATE",
    "BoardEntry",
    "Row",
    "board",
    "gather",
    "metric_columns",
]

#: Rows placed at once: bounds memory.
_CHUNK = 512


def board(
    items: Sequence[BoardEntry], scope: str = ALL, seeds: Sequence[int] | None = None, remarks: bool = True
) -> pd.DataFrame:
    """Make the table of one track, data set and split.

    Args:
        items: Its records.
        scope: ``all``, a subgroup or a tertile of effect strength.
        seeds: See :func:`bench.results.rows.gather`. Rows that lack one of them are listed without a rank.
        remarks: Whether to count, for what is said below a board, the units that each row answers as the mean does.

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
        lines += row_lines(group, placed, wanted, scope)
        numbers.append(metric_numbers(track, placed.theta, placed.width, placed.skills(track)))
        if whole:
            chosen = [i for i, row in enumerate(group) if row.competes and np.isfinite(placed.headline.value[i])]
            ranked.append(([group[i].label for i in chosen], _comparable(placed.headline, group).take(chosen)))
    placed_labels = {row.label for row in placeable}
    for row in rows.values():
        if row.label not in placed_labels:
            lines.append(unplaced_line(row))
            numbers.append(run_numbers(row, scope))
    _rank(lines, ranked)
    if track.families:
        made = bar_lines(track, base, scope, plan, limits)
        lines += [line for line, _ in made]
        numbers += [block for _, block in made]
    table = _table(track, lines, np.concatenate(numbers))
    table.attrs["skill_reasons"] = {bar.metric: bar.reason for bar in limits.values()}
    if remarks:
        table.attrs["as_mean"] = {row.label: n for row in placeable if (n := row.as_mean(scope))}
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
    lines = [unplaced_line(row) for row in rows.values()]
    return _table(track, lines, np.concatenate([run_numbers(row, ALL) for row in rows.values()]))


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
        line.update(zip(RANKS, by_label.get(str(line["model"]), [None] * len(RANKS)), strict=True))


def _table(track: Track, lines: Sequence[Line], numbers: Floats) -> pd.DataFrame:
    """Join the lines' own columns and the metrics' ``[R, columns]``, best row first.

    Rows are sorted by what a CSV shows of them, then by name: rounding must not decide their order.
    """
    columns = metric_columns(track)
    level = numbers[:, columns.index(track.primary)] * (track.metrics[track.primary].direction or 1)
    bars = {name: 1 + i for i, name in enumerate(BARS)} if track.families else {}

    def key(i: int) -> tuple[object, ...]:
        line, best = lines[i], (lines[i].get("skill", level[i]), level[i])
        shown = [-rounded(value) if np.isfinite(value) else np.inf for value in best]
        return bars.get(line["model"], 0), line["kind"] == "reference", line["rank"] is None, *shown, line["model"]

    order = sorted(range(len(lines)), key=key)
    counts = [name for name in COUNTS if name not in track.numbers]
    names = dict.fromkeys(name for line in lines for name in line)
    plain = {name: [lines[i].get(name) for i in order] for name in names}
    own = {name: pd.array(cells, dtype="Int64") if name in counts else cells for name, cells in plain.items()}
    at = list(own).index("beat_rate")
    # Made of whole columns at once: joining three frames of a board takes longer than making its numbers.
    first, rest = list(own.items())[:at], list(own.items())[at:]
    return pd.DataFrame({**dict(first), **dict(zip(columns, numbers[order].T)), **dict(rest)})
