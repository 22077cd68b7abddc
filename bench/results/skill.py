"""Skill: where a predictor stands between the best blind answer (0) and what the cells allow (1).

Definitions: docs/board.md. In each family ``skill = (S - F) / (C - F)``, all scored against half truths: ``F`` is the
best mean among answers that do not know what is asked (the condition or, where contexts are held out, the context),
``C`` what a prediction without noise would reach (or a replicate, where a metric has no such form).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.core.track import MetricInfo, Track
from bench.core.typing import Floats
from bench.results.tables import ALL, BLIND, Table
from bench.stats.design import Design
from bench.stats.jackknife import MIN_EFFECTIVE, Estimate, estimate, same_draws

#: Skill is null unless the replicate is this many standard errors above the floor.
MIN_STANDARD_ERRORS = 3.0
#: A smaller difference of two means is what rounding left of none.
ROUNDING = 1e-12
#: Bounds of a family's skill: beyond what the cells allow nothing is credited.
SKILL_RANGE = (-1.0, 1.0)
#: What draws of the ceiling are kept as.
REPLICATE = "replicate"
#: With fewer families that are not null there is no mean skill, and no rank.
MIN_FAMILIES = 2
#: A subgroup of fewer units takes the floor of the whole board: the best of several means of few units is luck.
MIN_OWN_FLOOR = 20


@dataclass(frozen=True)
class Bar:
    """What lies between the floor and the ceiling of one family.

    Attributes:
        metric: Its metric.
        answer: The condition-blind answer that is the floor.
        floor: Its mean ``[1]``.
        floor_deleted: The best answer's mean without each gene, then each context ``[g]``: it is chosen again.
        ceiling: Mean of what a prediction can reach ``[1]``.
        replicate: Mean of half a unit's cells predicting the other half ``[1]``.
        room: Ceiling less floor; NaN where skill is null.
        reason: Why it is null, ``""`` where it is not.
    """

    metric: str
    answer: str
    floor: Estimate
    floor_deleted: Floats
    ceiling: Estimate
    replicate: Estimate
    room: float
    reason: str


def bars(
    track: Track, tables: Sequence[Table], scope: str, plan: Design, whole: dict[str, Bar] | None = None
) -> dict[str, Bar]:
    """Make floor and ceiling of each family of a track, by family.

    Args:
        track: The track.
        tables: One table of each split seed: what is read of it are facts of the task.
        scope: ``all``, a subgroup or a tertile.
        plan: The units of the scope.
        whole: The bars of the whole board, whose floors a scope of few units takes over.
    """
    few = scope != ALL and plan.distinct < MIN_OWN_FLOOR
    blind = _blind(tables, scope)
    asked = {family: _asked(track, name, tables, scope, blind) for family, name in track.families.items()}
    if not asked:
        return {}
    # All at once: most columns are defined for the same units.
    found = estimate(plan, np.concatenate([block for _, block in asked.values()], axis=1))
    out, begin = {}, 0
    for family, (names, block) in asked.items():
        metric = track.metrics[track.families[family]]
        draws = _draws(tables, scope, metric.name, [*names, REPLICATE, REPLICATE])
        made = _bar(metric, names, replace(found.take(slice(begin, begin + block.shape[1])), draws=draws))
        begin += block.shape[1]
        if few and whole is not None:
            made = _with_floor(made, whole[family], plan)
        out[family] = _judged(metric, made)
    return out


def _asked(
    track: Track, name: str, tables: Sequence[Table], scope: str, blind: dict[str, Floats]
) -> tuple[list[str], Floats]:
    """Names of a metric's condition-blind answers, and what they score, then ceiling and replicate ``[K, A + 2]``."""
    m = list(track.metrics).index(name)
    known = {answer: int(np.isfinite(block[:, m]).sum()) for answer, block in blind.items()}
    most = max(known.values(), default=0)
    columns = {answer: blind[answer][:, m] for answer, count in known.items() if most and count == most}
    if not columns:  # a track without condition-blind answers has one floor
        columns = {"floor": _column(tables, scope, "half_floor", m)}
    replicate = _column(tables, scope, "half_replicate", m)
    noise_free = track.metrics[name].ceiling == "noise_free"
    reach = np.sqrt(np.maximum(replicate, 0.0)) if noise_free else replicate
    return list(columns), np.stack([*columns.values(), reach, replicate], axis=1)


def _column(tables: Sequence[Table], scope: str, field: str, m: int) -> Floats:
    return np.concatenate([table.column(scope, field, m) for table in tables])


def _blind(tables: Sequence[Table], scope: str) -> dict[str, Floats]:
    """What the condition-blind answers score in all metrics ``[K, M]``, seed after seed, by name."""
    names = sorted({name for table in tables for name in table.task.blind})
    here = [name for name in names if "@" not in name or name.endswith(f"@{scope}")]

    def of(table: Table, name: str) -> Floats:
        if BLIND + name in table.task.numbers:
            return table.field(scope, BLIND + name)
        return np.full((len(table.conditions.get(scope, ())), len(table.metrics)), np.nan)

    return {name: np.concatenate([of(table, name) for table in tables]) for name in here}


def _bar(metric: MetricInfo, names: Sequence[str], found: Estimate) -> Bar:
    """The bar of a family, of the means of its condition-blind answers, of ceiling and replicate ``[A + 2]``."""
    count = len(names)
    answers = found.take(slice(0, count))
    sign = metric.direction or 1
    level = np.nan_to_num(sign * answers.value, nan=-np.inf)
    # Rounding must not choose between answers that are as good as each other.
    best = int(np.flatnonzero(level >= level.max() - 1e-9)[0])
    without = sign * (answers.value + answers.deleted)
    return Bar(
        metric=metric.name,
        answer=names[best].split("@")[0],
        floor=answers.take([best]),
        floor_deleted=sign * without.max(axis=1, initial=-np.inf) if len(without) else np.zeros(0),
        ceiling=found.take([count]),
        replicate=found.take([count + 1]),
        room=float("nan"),
        reason="",
    )


def _draws(tables: Sequence[Table], scope: str, metric: str, answers: Sequence[str]) -> Floats:
    """Mean over split seeds of the draws of some answers ``[B, A]``; an answer that lacks some does not move."""
    found = [[table.task.draws.get((scope, metric, name)) for table in tables] for name in answers]
    sizes = {len(row) for seeds in found for row in seeds if row is not None}
    if not sizes:
        return np.zeros((0, len(answers)))
    size = max(sizes)
    zero = np.zeros(size)
    whole = np.array([[zero if row is None else row for row in seeds] for seeds in found])
    return np.asarray(np.nan_to_num(whole).mean(axis=1).T)


def _with_floor(bar: Bar, whole: Bar, plan: Design) -> Bar:
    """The bar with the floor of the whole board, which is a constant here."""
    value = whole.floor.value
    fixed = replace(
        bar.floor,
        value=value,
        deleted=np.zeros_like(bar.floor.deleted),
        units=np.zeros_like(bar.floor.units),
        draws=np.zeros((0, 1)),
    )
    return replace(bar, answer=whole.answer, floor=fixed, floor_deleted=np.full(plan.clusters.shape[1], value[0]))


def _judged(metric: MetricInfo, bar: Bar) -> Bar:
    """Tell whether there is room for skill: null where the replicate is not clear of the floor."""
    gap = bar.replicate - bar.floor
    above, error = float(gap.value[0]) * metric.direction, float(np.sqrt(gap.variance[0]))
    room = float(bar.ceiling.value[0] - bar.floor.value[0])
    if not np.isfinite(above) or not np.isfinite(room):
        reason = "undefined"
    elif not metric.direction:
        reason = "no direction"
    elif bar.replicate.effective[0] < MIN_EFFECTIVE:
        reason = f"the conditions hold only {bar.replicate.effective[0]:.1f} effective genes"
    elif above <= ROUNDING or room * metric.direction <= ROUNDING:
        reason = "replicate not better than the floor"
    elif above < MIN_STANDARD_ERRORS * error:
        reason = "replicate not clear of the floor"
    else:
        reason = ""
    return replace(bar, room=float("nan") if reason else room, reason=reason)


def skill(half: Estimate, bar: Bar) -> Estimate:
    """Place rows between floor and ceiling in one family.

    The averages come before the division, so that conditions without signal cannot blow up. Without a gene, the floor
    is chosen again.

    Args:
        half: Their means against half truths ``[R]``.
        bar: The family's bar.
    """
    floor, ceiling, room = bar.floor.value[0], bar.ceiling.value[0], bar.room
    value = (half.value - floor) / room
    left = bar.floor_deleted[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        deleted = (half.value + half.deleted - left) / (ceiling + bar.ceiling.deleted - left) - value
    own, low, high = same_draws(half.draws, bar.floor.draws, bar.ceiling.draws)
    return replace(
        half,
        value=value,
        deleted=np.where(np.isfinite(deleted), deleted, 0.0),
        units=(half.units - bar.floor.units - value * (bar.ceiling.units - bar.floor.units)) / room,
        effective=np.minimum(half.effective, bar.ceiling.effective[0]),
        training=half.training / room**2,
        draws=(own - low - value * (high - low)) / room,
    )


def mean_skill(families: dict[str, Estimate]) -> Estimate:
    """Average skill over the families that are not null.

    The value is the mean of families clipped to [-1, 1]; everything else, of which intervals are made, is not clipped.

    Args:
        families: Skill of rows ``[R]`` in each family; NaN = null. Of a track that has ``pattern`` and ``identity``
            both must be there.

    Returns:
        NaN where fewer than 2 families are left, or pattern and identity are both null.
    """
    blocks = list(families.values())
    known = np.array([np.isfinite(block.value) for block in blocks])  # [F, R]
    count = known.sum(axis=0)
    weight = known / np.maximum(count, 1)

    def mean(parts: Sequence[Floats]) -> Floats:
        size = max(len(part) for part in parts)
        total = np.zeros((size, len(count)))
        for part, share in zip(parts, weight, strict=True):
            if len(part) == size:
                total += np.where(share > 0, part, 0.0) * share
        return total

    clipped = np.array([np.clip(np.nan_to_num(block.value), *SKILL_RANGE) for block in blocks])
    value = (clipped * weight).sum(axis=0)
    enough = count >= MIN_FAMILIES
    knowing = [known[i] for i, family in enumerate(families) if family in ("pattern", "identity")]
    if knowing:
        enough &= np.any(knowing, axis=0)
    effective = np.where(known, [block.effective for block in blocks], np.inf).min(axis=0)
    return replace(
        blocks[0],
        value=np.where(enough, value, np.nan),
        deleted=mean([block.deleted for block in blocks]),
        units=mean([block.units for block in blocks]),
        effective=np.where(np.isfinite(effective), effective, 0.0),
        # The noise of another training seed moves all families at once: see bench.results.estimates.
        training=np.zeros(len(count)),
        training_df=np.zeros(len(count)),
        draws=mean([block.draws for block in blocks]),
    )
