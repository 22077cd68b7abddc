"""Skill: where a predictor stands between the floor (0) and a replicate (1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.typing import Floats
from bench.stats.intervals import MIN_CONDITIONS, Means, deviation, half_width

#: Skill is null unless the replicate is this many standard errors from the floor.
MIN_STANDARD_ERRORS = 3.0
#: A smaller difference of two means is what rounding left of none.
ROUNDING = 1e-12
#: Bounds of a family's skill in the mean over families.
SKILL_RANGE = (-1.0, 1.5)
#: With fewer families that are not null there is no mean skill, and no rank.
MIN_FAMILIES = 2


@dataclass(frozen=True)
class Scale:
    """What lies between floor and replicate on one task.

    Attributes:
        floor: ``F``, from :func:`bench.stats.intervals.means`.
        replicate: ``C``.
        room: ``C - F`` ``[M]``; NaN where skill is null.
        reason: Why it is null, ``""`` where it is not ``[M]``.
    """

    floor: Means
    replicate: Means
    room: Floats
    reason: tuple[str, ...]


@dataclass(frozen=True)
class Skill:
    """Where one predictor stands.

    Attributes:
        value: ``[M]``; NaN = null.
        reason: Why it is null, ``""`` where it is not ``[M]``.
    """

    value: Floats
    reason: tuple[str, ...]


def scale(floor: Means, replicate: Means, direction: Sequence[int]) -> Scale:
    """Tell where there is room for skill.

    Null where the replicate is not better than the floor, where the lower 95% bound of ``abs(C - F)`` is not above 0,
    or where that is under 3 of its standard errors. (Without the first, data so weak that a replicate loses to the
    floor would give skill 1 for being as bad.)

    Args:
        floor: ``F``.
        replicate: ``C``.
        direction: 1 = higher is better, -1 = lower is, 0 = a metric without a best end has no skill ``[M]``.
    """
    room = replicate.theta - floor.theta
    room = np.where(np.abs(room) < ROUNDING, 0.0, room)
    draws = replicate.paired - floor.paired
    error = deviation(draws) * np.sqrt(np.maximum(floor.n, 2) / (np.maximum(floor.n, 2) - 1))
    width = half_width(draws, floor.n, floor.distinct)
    reasons = []
    for m in range(len(room)):
        if not np.isfinite(room[m]):
            reasons.append("undefined")
        elif floor.distinct[m] < MIN_CONDITIONS:
            reasons.append(f"only {floor.distinct[m]} conditions")
        elif not direction[m]:
            reasons.append("no direction")
        elif room[m] * direction[m] <= 0:
            reasons.append("replicate not better than the floor")
        elif abs(room[m]) - width[m] <= 0 or abs(room[m]) < MIN_STANDARD_ERRORS * error[m]:
            reasons.append("replicate not clear of the floor")
        else:
            reasons.append("")
    null = np.array([bool(reason) for reason in reasons])
    return Scale(floor, replicate, np.where(null, np.nan, room), tuple(reasons))


def skill(model: Floats, between: Scale) -> Skill:
    """Place a model between floor and replicate: ``(S - F) / (C - F)``, all scored against the same half truths.

    The averages come before the division, so that conditions without signal cannot blow up. A metric's sign cancels.

    Args:
        model: ``S`` ``[M]``, means over conditions and seeds.
        between: From :func:`scale`.
    """
    reason = tuple("undefined" if np.isnan(s) else why for s, why in zip(model, between.reason, strict=True))
    return Skill((model - between.floor.theta) / between.room, reason)


def skill_draws(value: Floats, model: Floats, floor: Floats, replicate: Floats, room: Floats) -> Floats:
    """Draws of skill to first order: a ratio's own have no variance to speak of when its denominator comes near 0.

    Args:
        value: Skill ``[R, M]`` of ``R`` models.
        model: Draws of ``S`` ``[R, M, B]``.
        floor: Draws of ``F`` ``[M, B]``.
        replicate: Draws of ``C`` ``[M, B]``.
        room: ``C - F`` ``[M]``.

    Returns:
        ``[R, M, B]``.
    """
    # value + ((S - F) - value (C - F)) / room, with what no row changes taken first: few passes over [R, M, B].
    out = (model - floor) / room[:, None]
    out += value[..., None] * (1 - (replicate - floor) / room[:, None])
    return np.asarray(out)


def mean_skill(skill: Floats, axis: int = -1) -> Floats:
    """Average skill over families, each clipped to [-1, 1.5]; null families are left out.

    Args:
        skill: Skill of the families ``[..., 4, ...]``, or draws of it; NaN = null.
        axis: Which axis the families are.

    Returns:
        Without that axis; NaN where fewer than 2 families are left: one alone is not a mean over families.
    """
    families = np.moveaxis(skill, axis, 0)
    known = np.isfinite(families)
    count = known.sum(axis=0)
    total = np.where(known, np.clip(families, *SKILL_RANGE), 0.0).sum(axis=0)
    return np.where(count >= MIN_FAMILIES, total / np.maximum(count, 1), np.nan)
