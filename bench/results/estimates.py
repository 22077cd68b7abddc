"""Many rows of one task at once: levels with intervals, skill, mean skill with its draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.track import Track
from bench.core.typing import Floats
from bench.results.rows import Row
from bench.results.skill import mean_skill, skill_draws
from bench.results.summary import Summary, average
from bench.stats import bootstrap
from bench.stats.intervals import Means, beat_rate, centre, deviation, nanmean, width_of

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
        ranked_by: What rows are ranked by, higher is better: mean skill, or the primary metric of a track without
            families ``[R]``.
        paired: Its draws with the seeds as they are, for differences of two rows ``[R, B]``.
        beat_rate: In the primary metric, mean over seeds ``[R]``.
    """

    theta: Floats
    width: Floats
    skill: Floats
    mean_skill: Floats
    half_width: Floats
    ranked_by: Floats
    paired: Floats
    beat_rate: Floats


@dataclass(frozen=True)
class Places:
    """Where a track's primary metric and families stand among its metrics."""

    primary: int
    families: list[int]
    sign: int

    @classmethod
    def of(cls, track: Track) -> Places:
        """Those of a track."""
        names = list(track.metrics)
        sign = track.metrics[track.primary].direction or 1
        return cls(names.index(track.primary), [names.index(name) for name in track.families.values()], sign)


def place(rows: Sequence[Row], task: Summary, scope: str) -> Estimates:
    """Place rows of one task.

    Args:
        rows: Rows with records of the same split seeds, all with values by unit.
        task: Any summary under these seeds: its draws, floor and replicate are those of the task.
        scope: ``all``, a subgroup or a tertile.
    """
    track, at = rows[0].track, Places.of(rows[0].track)
    value, half = (_stacked(rows, scope, field) for field in ("value", "half_value"))
    theta, n = centre(value)
    sd, distinct = bootstrap.level_deviation(task.plan, _columns(value))
    placed = (centre(half)[0] - task.between.floor.theta) / task.between.room
    placed[[not row.honest for row in rows]] = np.nan
    middle = mean_skill(placed[:, at.families])
    width, paired = np.full(len(rows), np.nan), np.full((len(rows), len(task.plan.weights)), np.nan)
    some = [i for i, row in enumerate(rows) if np.isfinite(middle[i]) and row.label != track.floor]
    if some:
        families = [block[:, some][:, :, at.families] for block in half]
        paired[some], level = _draws(placed[np.ix_(some, at.families)], families, task, at.families)
        width[some] = level * unit_width(task, track)
    ranked_by = middle
    if not track.families:
        ranked_by = np.where([row.honest for row in rows], at.sign * theta[:, at.primary], np.nan)
        paired = at.sign * bootstrap.draws(task.plan, _columns([block[:, :, [at.primary]] for block in value]))[0]
    return Estimates(
        theta=theta,
        width=width_of(sd, n.ravel(), distinct).reshape(theta.shape),
        skill=placed,
        mean_skill=middle,
        half_width=width,
        ranked_by=ranked_by,
        paired=paired,
        beat_rate=_beat_rate(rows, value, scope, at),
    )


def unit_width(task: Summary, track: Track) -> float:
    """Half width per standard deviation of draws of what rows are ranked by; NaN = too few units."""
    level, primary = task.levels["half_floor" if track.families else "value"], Places.of(track).primary
    return float(width_of(np.ones(1), level.n[[primary]], level.distinct[[primary]])[0])


def _stacked(rows: Sequence[Row], scope: str, field: str) -> list[Floats]:
    """Values of all rows ``[n_s, R, M]`` per split seed, mean over head seeds."""
    return [np.stack([average(row.tables(seed), scope, field) for row in rows], axis=1) for seed in rows[0].seeds]


def _columns(blocks: Sequence[Floats]) -> Floats:
    """One seed after the other ``[K, R M]``."""
    whole = np.concatenate(blocks)
    return whole.reshape(len(whole), -1)


def _draws(value: Floats, families: Sequence[Floats], task: Summary, places: Sequence[int]) -> tuple[Floats, Floats]:
    """Paired draws of the mean skill ``[R, B]``, and the standard deviation of those that resample seeds ``[R]``.

    Clipping the families is not linear: these draws cannot be left out.
    """

    def bar(means: Means, kind: str) -> Floats:
        return np.ascontiguousarray(getattr(means, kind)[:, places].T)

    between, kinds = task.between, ("paired", "level")
    bars = {kind: (bar(between.floor, kind), bar(between.replicate, kind)) for kind in kinds}
    paired, deviations = [], []
    for i in range(0, len(value), _CHUNK):
        part = value[i : i + _CHUNK]
        made = bootstrap.draws(task.plan, _columns([block[:, i : i + _CHUNK] for block in families]))
        own, level = (
            mean_skill(skill_draws(part, drawn.reshape(*part.shape, -1), *bars[kind], between.room[places]), axis=1)
            for kind, drawn in zip(kinds, made, strict=True)
        )
        paired.append(own)
        deviations.append(deviation(level.T))
    return np.concatenate(paired), np.concatenate(deviations)


def _beat_rate(rows: Sequence[Row], value: Sequence[Floats], scope: str, at: Places) -> Floats:
    rates = []
    for seed, block in zip(rows[0].seeds, value, strict=True):
        floor = [average(row.tables(seed), scope, "floor", at.primary) for row in rows]
        rates.append(beat_rate(block[:, :, at.primary], np.stack(floor, axis=1), at.sign > 0))
    return nanmean(np.stack(rates))
