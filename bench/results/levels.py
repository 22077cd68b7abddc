"""One run's metrics, each averaged over units: computed from its values, never stored."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from bench.core.track import Track
from bench.core.typing import Floats
from bench.results.estimates import Placed, place
from bench.results.skill import Bar, bars
from bench.results.summary import plan_for
from bench.results.tables import ALL, Table

#: Why predictions that were not made from the input controls alone have no skill.
NOT_HONEST = "not made from the input controls alone"


class Level(BaseModel):
    """One metric of one run, averaged over units. ``None`` = undefined.

    Attributes:
        mean: Mean over the units where it is defined.
        ci_low: Lower 95% bound over units.
        ci_high: Upper 95% bound.
        n: Units in the mean.
        n_undefined: Units left out because of the truth (the same for every model).
        n_degenerate: Units that got the chance value because of the prediction.
        floor: The same mean for the best condition-blind answer (in a family), or for the track's floor.
        replicate: Half of a unit's cells predicting the other half, averaged over halvings both ways.
        skill: Where the model stands between floor (0) and ceiling (1); in the metrics of families only.
        skill_reason: Why skill is ``None``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    mean: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int
    n_undefined: int
    n_degenerate: int
    floor: float | None
    replicate: float | None
    skill: float | None = None
    skill_reason: str | None = None


class Headline(NamedTuple):
    """Mean skill of one run, or the primary metric of a track without families; ``None`` = undefined.

    Attributes:
        value: The mean.
        low: Lower 95% bound.
        high: Upper 95% bound.
    """

    value: float | None
    low: float | None
    high: float | None


def headline(track: Track, table: Table, honest: bool = True) -> Headline:
    """What a run is ranked by, over all units.

    Args:
        track: Its track.
        table: Values of one record.
        honest: Whether the predictions were made from the input controls: without, there is no skill.
    """
    plan = plan_for([[table]], ALL)
    placed = place(track, [[[table]]], ALL, plan, bars(track, [table], ALL, plan, None), [honest])
    low, high = placed.bounds()
    return Headline(_number(placed.headline.value[0]), _number(low[0]), _number(high[0]))


def levels(track: Track, table: Table, honest: bool = True) -> dict[str, dict[str, Level]]:
    """Average a table over units, for all of them, each subgroup and each tertile of effect strength.

    Args:
        track: Its track.
        table: Values of one record.
        honest: Whether the predictions were made from the input controls: without, there is no skill.
    """
    out: dict[str, dict[str, Level]] = {}
    whole: dict[str, Bar] | None = None
    for scope in [ALL, *(name for name in table.conditions if name != ALL)]:
        plan = plan_for([[table]], scope)
        limits = bars(track, [table], scope, plan, whole)
        whole = whole or limits
        placed = place(track, [[[table]]], scope, plan, limits, [honest])
        out[scope] = _levels(track, table, scope, placed, limits, honest)
    return out


def _levels(
    track: Track, table: Table, scope: str, placed: Placed, limits: dict[str, Bar], honest: bool
) -> dict[str, Level]:
    by_metric = {bar.metric: bar for bar in limits.values()}
    width, skills = placed.width[0], placed.skills(track)[0]
    flagged = table.field(scope, "degenerate").sum(axis=0)
    defined = np.isfinite(table.field(scope, "value")).sum(axis=0)
    floor, replicate = (_mean(table.field(scope, name)) for name in ("floor", "half_replicate"))
    found = {}
    for m, name in enumerate(table.metrics):
        bar = by_metric.get(name)
        reason = None if bar is None else bar.reason or (None if honest else NOT_HONEST)
        found[name] = Level(
            mean=_number(placed.theta[0, m]),
            ci_low=_number(placed.theta[0, m] - width[m]),
            ci_high=_number(placed.theta[0, m] + width[m]),
            n=int(defined[m]),
            n_undefined=len(table.conditions[scope]) - int(defined[m]),
            n_degenerate=int(flagged[m]),
            floor=_number(bar.floor.value[0] if bar else floor[m]),
            replicate=_number(replicate[m]),
            skill=_number(skills[m]),
            skill_reason=reason,
        )
    return found


def _mean(block: Floats) -> Floats:
    known = np.isfinite(block)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, block, 0.0).sum(axis=0) / known.sum(axis=0))


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
