"""Rows of one task -> means over units and seeds with everything that their intervals need, many rows at once."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.core.track import Track
from bench.core.typing import Floats
from bench.results.tables import Table
from bench.stats.design import Design, design
from bench.stats.jackknife import Estimate, estimate, training_noise

#: Tables of one row: by split seed, then one per training seed.
RowTables = Sequence[Sequence[Table]]


def plan_for(by_seed: RowTables, scope: str) -> Design:
    """The units of a scope under all split seeds, and what they share; the same for every row of a board."""
    return design([seed[0].task.units.get(scope, ()) for seed in by_seed])


def average(heads: Sequence[Table], scope: str, field: str, metric: int | None = None) -> Floats:
    """Average the tables of several training seeds unit by unit; undefined where one is.

    Returns:
        ``[n, M]``, or ``[n]`` of one metric.
    """
    found = [table.field(scope, field) if metric is None else table.column(scope, field, metric) for table in heads]
    return found[0] if len(found) == 1 else np.asarray(np.mean(found, axis=0))


def averages(rows: Sequence[Sequence[Table]], scope: str, field: str, metrics: tuple[int, ...]) -> Floats:
    """The same of some metrics of many rows of one task, under one split seed ``[n, R, m]``.

    What rows have in all scopes is put side by side once: boards of subgroups follow on that of the whole.
    """
    task = rows[0][0].task
    if scope not in task.scopes:
        return np.zeros((0, len(rows), len(metrics)))
    side = _side_by_side(tuple(map(tuple, rows)), field, metrics)
    units, own = task.scopes[scope]
    found = np.take(side, units, axis=0)
    again = np.flatnonzero(task.gallery[list(metrics)])
    if own is not None and len(again):
        found[:, :, again] = side[np.ix_(own, np.arange(len(rows)), again)]
    return found


@functools.lru_cache(maxsize=32)  # of the boards in hand
def _side_by_side(rows: tuple[tuple[Table, ...], ...], field: str, metrics: tuple[int, ...]) -> Floats:
    """Averages of a field over training seeds ``[N, R, m]``, of all units."""

    def whole(table: Table) -> Floats:
        numbers = table.task.numbers if field in table.task.numbers else table.numbers
        return np.asarray(numbers[field][:, list(metrics)])

    blocks = [[whole(table) for table in heads] for heads in rows]
    return np.stack([heads[0] if len(heads) == 1 else np.mean(heads, axis=0) for heads in blocks], axis=1)


def places(track: Track) -> list[int]:
    """Where the metrics of the families stand among a track's metrics."""
    return [list(track.metrics).index(name) for name in track.families.values()]


def estimates(rows: Sequence[RowTables], scope: str, field: str, columns: Sequence[int], plan: Design) -> Estimate:
    """Means of some metrics of many rows.

    Args:
        rows: Tables of each row, all under the same split seeds.
        scope: ``all``, a subgroup or a tertile.
        field: ``value`` or ``half_value``.
        columns: Positions of the metrics.
        plan: From :func:`plan_for`.

    Returns:
        Row after row, metric after metric ``[R x M]``, with training noise where a row has several training seeds, and
        the draws that its records hold.
    """
    seeds = range(len(plan.ids))

    def values(name: str, metrics: Sequence[int]) -> Floats:
        blocks = [averages([row[s] for row in rows], scope, name, tuple(metrics)) for s in seeds]
        return np.concatenate(blocks).reshape(len(plan.unit), -1)

    # Only where other units enter a metric does a unit move the mean by more than its own value.
    gallery = rows[0][0][0].task.gallery
    again = [i for i, metric in enumerate(columns) if gallery[metric]]
    influence = values("influence", [columns[i] for i in again]) if again else None
    of = (np.arange(len(rows))[:, None] * len(columns) + np.array(again, np.int64)).ravel()
    found = estimate(plan, values(field, columns), influence, of)
    noise = [training_noise([_by_training(row[s], scope, field, columns) for s in seeds]) for row in rows]
    draws = _draws(rows, scope, columns)
    return replace(
        found,
        training=np.concatenate([variance for variance, _ in noise]),
        training_df=np.concatenate([df for _, df in noise]),
        draws=draws,
    )


def _by_training(heads: Sequence[Table], scope: str, field: str, columns: Sequence[int]) -> Floats:
    """Mean over units of each training seed ``[K, M]``; NaN where nothing is defined."""
    if len(heads) == 1:  # nothing to compare with
        return np.zeros((1, len(columns)))
    return np.stack([_nanmean(table.field(scope, field)[:, columns]) for table in heads])


def _nanmean(block: Floats) -> Floats:
    known = np.isfinite(block)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, block, 0.0).sum(axis=0) / known.sum(axis=0))


def _draws(rows: Sequence[RowTables], scope: str, columns: Sequence[int]) -> Floats:
    """Mean over split and training seeds of the draws of rows' metrics ``[B, R x M]``; 0 where a record has none."""
    names = [rows[0][0][0].metrics[column] for column in columns]
    out: dict[tuple[int, int], Floats] = {}
    for r, row in enumerate(rows):
        some = [[[table.draws.get((scope, name)) for name in names] for table in heads] for heads in row]
        known = [m for m in range(len(names)) if all(one[m] is not None for heads in some for one in heads)]
        if not known:
            continue
        by_seed = [np.array([[one[m] for m in known] for one in heads]) for heads in some]  # [K, M, B] each
        mean = np.mean([one[0] if len(one) == 1 else one.mean(axis=0) for one in by_seed], axis=0)
        out |= {(r, m): draw for m, draw in zip(known, mean)}
    size = max((len(draw) for draw in out.values()), default=0)
    whole = np.zeros((size, len(rows) * len(columns)))
    for (r, m), draw in out.items():
        whole[: len(draw), r * len(columns) + m] = draw
    return np.nan_to_num(whole)


def skill_noise(row: RowTables, scope: str, columns: Sequence[int], room: Floats) -> tuple[Floats, Floats]:
    """Training noise of the mean skill of one row: of each training seed's own mean over the families.

    Args:
        row: Its tables.
        scope: See :func:`estimates`.
        columns: Positions of the families' metrics ``[F]``.
        room: Ceiling less floor ``[F]``; NaN = null, left out.

    Returns:
        Variance and degrees of freedom ``[1]``.
    """
    some = [i for i, gap in enumerate(room.tolist()) if np.isfinite(gap)]
    if not some:
        return np.zeros(1), np.zeros(1)
    chosen = [columns[i] for i in some]
    by_seed = [_by_training(heads, scope, "half_value", chosen) / room[some] for heads in row]
    known = np.isfinite(np.concatenate(by_seed)).all(axis=0)  # a row may lack what the task has
    if not known.any():
        return np.zeros(1), np.zeros(1)
    return training_noise([block[:, known].mean(axis=1, keepdims=True) for block in by_seed])
