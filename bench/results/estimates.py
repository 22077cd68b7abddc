"""Many rows of one task at once: levels with intervals, skill, mean skill with its draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.typing import Floats
from bench.results.rows import FAMILIES, FLOOR, NAMES, PRIMARY, Row
from bench.results.skill import mean_skill, skill_draws
from bench.results.summary import Summary, average
from bench.stats import bootstrap
from bench.stats.intervals import Means, beat_rate, centre, deviation, nanmean, width_of

_PRIMARY = NAMES.index(PRIMARY)
_FAMILIES = [NAMES.index(name) for name in FAMILIES.values()]
#: Rows whose skill draws are made at once: small enough for a processor's cache.
_CHUNK = 16


@dataclass(frozen=True)
class Estimates:
    """Numbers of ``R`` rows and ``M`` metrics; NaN = undefined.

    Attributes:
        theta: Levels ``[R, M]``.
        width: Half widths of their intervals ``[R, M]``.
        skill: By metric ``[R, M]``.
        mean_skill: Over families ``[R]``.
        half_width: Of the mean skill's own interval ``[R]``.
        paired: Draws of the mean skill with the seeds as they are, for differences of two rows ``[R, B]``.
        beat_rate: In the primary metric, mean over seeds ``[R]``.
    """

    theta: Floats
    width: Floats
    skill: Floats
    mean_skill: Floats
    half_width: Floats
    paired: Floats
    beat_rate: Floats


def place(rows: Sequence[Row], task: Summary, scope: str) -> Estimates:
    """Place rows of one task.

    Args:
        rows: Rows with records of the same split seeds.
        task: Any summary under these seeds: its draws, floor and replicate are those of the task.
        scope: ``all``, a subgroup or a tertile.
    """
    value, half = (_stacked(rows, scope, field) for field in ("value", "half_value"))
    theta, n = centre(value)
    sd, distinct = bootstrap.level_deviation(task.plan, _columns(value))
    placed = (centre(half)[0] - task.between.floor.theta) / task.between.room
    placed[[not row.honest for row in rows]] = np.nan
    middle = mean_skill(placed[:, _FAMILIES])
    width, paired = np.full(len(rows), np.nan), np.full((len(rows), len(task.plan.weights)), np.nan)
    some = [i for i, row in enumerate(rows) if np.isfinite(middle[i]) and row.label != FLOOR]
    if some:
        families = [block[:, some][:, :, _FAMILIES] for block in half]
        paired[some], level = _draws(placed[np.ix_(some, _FAMILIES)], families, task)
        width[some] = level * unit_width(task)
    return Estimates(
        theta=theta,
        width=width_of(sd, n.ravel(), distinct).reshape(theta.shape),
        skill=placed,
        mean_skill=middle,
        half_width=width,
        paired=paired,
        beat_rate=_beat_rate(rows, value, scope),
    )


def unit_width(task: Summary) -> float:
    """Half width of a mean skill's interval per standard deviation of its draws; NaN = too few conditions."""
    floor = task.levels["half_floor"]
    return float(width_of(np.ones(1), floor.n[[_PRIMARY]], floor.distinct[[_PRIMARY]])[0])


def _stacked(rows: Sequence[Row], scope: str, field: str) -> list[Floats]:
    """Values of all rows ``[n_s, R, M]`` per split seed, mean over head seeds."""
    return [np.stack([average(row.tables(seed), scope, field) for row in rows], axis=1) for seed in rows[0].seeds]


def _columns(blocks: Sequence[Floats]) -> Floats:
    """One seed after the other ``[K, R M]``."""
    whole = np.concatenate(blocks)
    return whole.reshape(len(whole), -1)


def _draws(value: Floats, families: Sequence[Floats], task: Summary) -> tuple[Floats, Floats]:
    """Paired draws of the mean skill ``[R, B]``, and the standard deviation of those that resample seeds ``[R]``.

    Clipping the families is not linear: these draws cannot be left out.
    """

    def bar(means: Means, kind: str) -> Floats:
        return np.ascontiguousarray(getattr(means, kind)[:, _FAMILIES].T)

    between, kinds = task.between, ("paired", "level")
    bars = {kind: (bar(between.floor, kind), bar(between.replicate, kind)) for kind in kinds}
    paired, deviations = [], []
    for i in range(0, len(value), _CHUNK):
        part = value[i : i + _CHUNK]
        made = bootstrap.draws(task.plan, _columns([block[:, i : i + _CHUNK] for block in families]))
        own, level = (
            mean_skill(skill_draws(part, drawn.reshape(*part.shape, -1), *bars[kind], between.room[_FAMILIES]), axis=1)
            for kind, drawn in zip(kinds, made, strict=True)
        )
        paired.append(own)
        deviations.append(deviation(level.T))
    return np.concatenate(paired), np.concatenate(deviations)


def _beat_rate(rows: Sequence[Row], value: Sequence[Floats], scope: str) -> Floats:
    rates = []
    for seed, block in zip(rows[0].seeds, value, strict=True):
        floor = [average(row.tables(seed), scope, "floor", _PRIMARY) for row in rows]
        rates.append(beat_rate(block[:, :, _PRIMARY], np.stack(floor, axis=1)))
    return nanmean(np.stack(rates))
