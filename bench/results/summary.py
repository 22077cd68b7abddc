"""Per-condition tables of one model under one or more seeds -> levels, floors, replicates and skill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.track import Track
from bench.core.typing import Floats
from bench.results.skill import Scale, Skill, scale, skill
from bench.results.tables import FIELDS, Table
from bench.stats.intervals import Design, Means, design, means


@dataclass(frozen=True)
class Summary:
    """Everything that can be said of one model in one scope.

    Attributes:
        metrics: Metric names ``[M]``.
        plan: The draws that all rows of a board share.
        levels: Means by field (see :data:`bench.results.tables.FIELDS`).
        between: Floor and replicate, against half truths.
        skill: Against half truths ``[M]``.
        values: Mean over head and pretraining seeds, by split seed: ``[n_s, M]`` by field.
    """

    metrics: tuple[str, ...]
    plan: Design
    levels: dict[str, Means]
    between: Scale
    skill: Skill
    values: tuple[dict[str, Floats], ...]


def plan_for(by_seed: Sequence[Sequence[Table]], scope: str) -> Design:
    """Draw the conditions of a scope under all seeds; the same for every model of a board."""
    return design([seed[0].conditions.get(scope, ()) for seed in by_seed])


def average(heads: Sequence[Table], scope: str, field: str, metric: int | None = None) -> Floats:
    """Average the tables of several head seeds condition by condition; undefined where one is.

    Returns:
        ``[n, M]``, or ``[n]`` of one metric.
    """
    found = [table.field(scope, field) if metric is None else table.column(scope, field, metric) for table in heads]
    return found[0] if len(found) == 1 else np.asarray(np.mean(found, axis=0))


def summarise(track: Track, by_seed: Sequence[Sequence[Table]], scope: str, plan: Design | None = None) -> Summary:
    """Average one model's tables.

    Args:
        track: Their track.
        by_seed: Tables by split seed; several under one seed (head seeds) are averaged condition by condition.
        scope: ``all``, a subgroup or a tertile.
        plan: From :func:`plan_for`; made here where absent.
    """
    metrics = by_seed[0][0].metrics
    values = tuple({field: average(seed, scope, field) for field in FIELDS} for seed in by_seed)
    shared = plan or plan_for(by_seed, scope)
    levels = {field: means(shared, [block[field] for block in values]) for field in FIELDS}
    direction = [track.metrics[name].direction for name in metrics]
    between = scale(levels["half_floor"], levels["half_replicate"], direction)
    return Summary(metrics, shared, levels, between, skill(levels["half_value"].theta, between), values)
