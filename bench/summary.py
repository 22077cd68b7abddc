"""Per-condition tables of one model under one or more seeds -> levels, floors, replicates and skill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.intervals import Design, Means, Skill, design, means, skill
from bench.metrics import METRICS
from bench.shifts import Floats
from bench.tables import FIELDS, Table

#: What depends on the task alone, not on the model.
TASK_FIELDS = ("floor", "half_floor", "half_replicate")


@dataclass(frozen=True)
class Summary:
    """Everything a board says of one model in one scope.

    Attributes:
        metrics: Metric names ``[M]``.
        plan: The draws that all rows of a board share.
        levels: Means by field (see :data:`bench.tables.FIELDS`).
        skill: Against half truths ``[M]``.
        values: Mean over head and pretraining seeds, by split seed: ``[n_s, M]`` by field.
    """

    metrics: tuple[str, ...]
    plan: Design
    levels: dict[str, Means]
    skill: Skill
    values: tuple[dict[str, Floats], ...]


def plan_for(by_seed: Sequence[Sequence[Table]], scope: str) -> Design:
    """Draw the conditions of a scope under all seeds; the same for every model of a board."""
    return design([seed[0].conditions.get(scope, ()) for seed in by_seed])


def summarise(
    by_seed: Sequence[Sequence[Table]],
    scope: str,
    plan: Design | None = None,
    task: Mapping[str, Means] | None = None,
) -> Summary:
    """Average one model's tables.

    Args:
        by_seed: Tables by split seed; several under one seed (head seeds) are averaged condition by condition.
        scope: ``all``, a subgroup or a tertile.
        plan: From :func:`plan_for`; made here where absent.
        task: Levels of another model under the same seeds: the floor's and the replicate's are those of the task.
    """
    first = by_seed[0][0]
    empty = {field: np.empty((0, len(first.metrics))) for field in FIELDS}
    values = tuple(
        {field: np.mean([table.fields.get(scope, empty)[field] for table in seed], axis=0) for field in FIELDS}
        for seed in by_seed
    )
    shared = plan or plan_for(by_seed, scope)
    known = {field: task[field] for field in TASK_FIELDS} if task else {}
    levels = known | {
        field: means(shared, [block[field] for block in values]) for field in FIELDS if field not in known
    }
    direction = [{"high": 1, "low": -1}.get(METRICS[name].better, 0) for name in first.metrics]
    placed = skill(levels["half_value"], levels["half_floor"], levels["half_replicate"], direction)
    return Summary(first.metrics, shared, levels, placed, values)
