"""Many rows of one task at once: levels with intervals, skill by family, mean skill with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.core.track import Track
from bench.core.typing import Floats
from bench.results.skill import SKILL_RANGE, Bar, mean_skill, skill
from bench.results.summary import RowTables, estimates, places, skill_noise
from bench.stats.design import Design
from bench.stats.jackknife import Estimate


@dataclass(frozen=True)
class Placed:
    """Numbers of ``R`` rows and ``M`` metrics.

    Attributes:
        levels: Row after row, metric after metric ``[R x M]``.
        families: Skill by family ``[R]``; NaN = null.
        headline: Mean skill ``[R]``: its value is clipped, its variance is not. Without families: the primary metric,
            higher is better. What rows are ranked by.
    """

    levels: Estimate
    families: dict[str, Estimate]
    headline: Estimate

    @property
    def theta(self) -> Floats:
        """Levels ``[R, M]``."""
        return self.levels.value.reshape(len(self.headline.value), -1)

    @property
    def width(self) -> Floats:
        """Half widths of their intervals ``[R, M]``."""
        return self.levels.half_width().reshape(self.theta.shape)

    def skills(self, track: Track) -> Floats:
        """Skill in the metric of each family ``[R, M]``; NaN for other metrics."""
        out = np.full(self.theta.shape, np.nan)
        for family, m in zip(track.families, places(track), strict=True):
            out[:, m] = self.families[family].value
        return out

    def bounds(self) -> tuple[Floats, Floats]:
        """95% interval of the mean skill, clipped to where skill may lie ``[R]`` each."""
        width = np.where(np.isfinite(self.headline.value), self.headline.half_width(), np.nan)
        low, high = self.headline.value - width, self.headline.value + width
        return np.clip(low, *SKILL_RANGE), np.clip(high, *SKILL_RANGE)


def place(
    track: Track, rows: Sequence[RowTables], scope: str, plan: Design, bars: dict[str, Bar], honest: Sequence[bool]
) -> Placed:
    """Place rows of one task.

    Args:
        track: Their track.
        rows: Tables of each row, under the split seeds of the plan.
        scope: ``all``, a subgroup or a tertile.
        plan: The units.
        bars: From :func:`bench.results.skill.bars`.
        honest: Whether a row's predictions were made from the input controls: without, no skill.
    """
    levels = estimates(rows, scope, "value", range(len(track.metrics)), plan)
    at = places(track)
    if not at:
        primary = list(track.metrics).index(track.primary)
        chosen = levels.take(np.arange(len(rows)) * len(track.metrics) + primary)
        sign = track.metrics[track.primary].direction or 1
        value = np.where(honest, sign * chosen.value, np.nan)
        turned = replace(
            chosen,
            value=value,
            deleted=sign * chosen.deleted,
            units=sign * chosen.units,
            draws=sign * chosen.draws,
        )
        return Placed(levels, {}, turned)
    half = estimates(rows, scope, "half_value", at, plan)
    # What the reference controls do to a row is known of the whole truth; half truths share them.
    count = len(at)
    families = {}
    for f, (family, bar) in enumerate(bars.items()):
        own = skill(half.take(np.arange(len(rows)) * count + f), bar)
        families[family] = replace(own, value=np.where(honest, own.value, np.nan))
    headline = mean_skill(families)
    room = np.array([bar.room for bar in bars.values()])
    noise = [skill_noise(row, scope, at, room) for row in rows]
    headline = replace(
        headline,
        training=np.concatenate([variance for variance, _ in noise]),
        training_df=np.concatenate([df for _, df in noise]),
    )
    return Placed(levels, families, headline)
