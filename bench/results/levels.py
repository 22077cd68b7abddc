"""One run's metrics, each averaged over units: computed from its values, never stored."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from bench.core.track import Track
from bench.results.summary import summarise
from bench.results.tables import Table
from bench.stats.intervals import half_width

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
        floor: The same mean for the floor.
        replicate: Half of a unit's cells predicting the other half, averaged over halvings both ways.
        skill: Where the model stands between floor (0) and replicate (1).
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


def levels(track: Track, table: Table, honest: bool = True) -> dict[str, dict[str, Level]]:
    """Average a table over units, for all of them, each subgroup and each tertile of effect strength.

    Args:
        track: Its track.
        table: Values of one record.
        honest: Whether its predictions were made from the input controls; without that there is no skill.
    """
    out = {}
    for scope, units in table.conditions.items():
        total = summarise(track, [[table]], scope)
        value = total.levels["value"]
        width = half_width(value.level, value.n, value.distinct)
        flagged = table.field(scope, "degenerate").sum(axis=0)
        out[scope] = {
            name: Level(
                mean=_number(value.theta[m]),
                ci_low=_number(value.theta[m] - width[m]),
                ci_high=_number(value.theta[m] + width[m]),
                n=int(value.n[m]),
                n_undefined=len(units) - int(value.n[m]),
                n_degenerate=int(flagged[m]),
                floor=_number(total.levels["floor"].theta[m]),
                replicate=_number(total.levels["half_replicate"].theta[m]),
                skill=_number(total.skill.value[m]) if honest else None,
                skill_reason=total.skill.reason[m] or (None if honest else NOT_HONEST),
            )
            for m, name in enumerate(table.metrics)
        }
    return out


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
