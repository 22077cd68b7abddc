"""Intervals, skill and paired tests over conditions, as pure functions of per-condition values.

Conditions are drawn by identity (constituent set) over the union of all seeds, so that a condition that is tested under
several seeds counts once. Every row of a table, its floor and its replicate share the same draws: a difference of two
rows is paired, and no row's numbers depend on which other rows are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.shifts import Floats

#: Bootstrap draws.
DRAWS = 2000
LEVEL = 0.95
#: With fewer distinct conditions there is no interval, and no claim.
MIN_CONDITIONS = 8
#: Skill is null unless the replicate is this many standard errors from the floor.
MIN_STANDARD_ERRORS = 3.0
#: Bounds of a family's skill in the mean over families.
SKILL_RANGE = (-1.0, 1.5)
#: With fewer families that are not null there is no mean skill, and no rank.
MIN_FAMILIES = 2


@dataclass(frozen=True)
class Design:
    """Which conditions were tested under which seed, and the bootstrap's draws of them.

    Attributes:
        ids: Index of each seed's conditions in the union of all, one array ``[n_s]`` per seed.
        weights: Times each condition of the union was drawn ``[B, N]``; multinomial.
        picks: Seeds drawn ``[B, S]``.
        n: Mean number of conditions per seed.
    """

    ids: tuple[NDArray[np.int64], ...]
    weights: Floats
    picks: NDArray[np.int64]
    n: float

    @property
    def distinct(self) -> int:
        """Number of distinct conditions."""
        return int(self.weights.shape[1])


def design(conditions: Sequence[Sequence[str]], draws: int = DRAWS) -> Design:
    """Draw conditions together over seeds.

    Args:
        conditions: Condition identities by seed, as canonical strings.
        draws: Number of draws ``B``.
    """
    union = sorted({name for names in conditions for name in names})
    position = {name: i for i, name in enumerate(union)}
    rng = np.random.default_rng([len(union), len(conditions), 0xB007])
    n = len(union)
    weights = (
        rng.multinomial(n, np.full(n, 1 / max(n, 1)), size=draws).astype(np.float64) if n else np.zeros((draws, 0))
    )
    return Design(
        ids=tuple(np.array([position[name] for name in names], dtype=np.int64) for names in conditions),
        weights=weights,
        picks=rng.integers(0, max(len(conditions), 1), size=(draws, len(conditions))),
        n=float(np.mean([len(names) for names in conditions])) if conditions else 0.0,
    )


@dataclass(frozen=True)
class Means:
    """Means over conditions and seeds, with their draws.

    Attributes:
        theta: ``[M]``: mean over seeds of the mean over conditions; NaN where no seed defines it.
        paired: Draws with the seeds as they are ``[B, M]``.
        level: Draws that resample the seeds too ``[B, M]``.
        n: Mean number of defined conditions per seed ``[M]``.
        distinct: Distinct conditions that define it ``[M]``.
    """

    theta: Floats
    paired: Floats
    level: Floats
    n: Floats
    distinct: NDArray[np.int64]


def means(plan: Design, values: Sequence[Floats]) -> Means:
    """Average values over conditions and seeds, once for real and once per draw.

    ``theta* = mean over seeds of (sum w v / sum w)``

    Args:
        plan: From :func:`design`.
        values: One array ``[n_s, M]`` per seed, in the order of ``plan.ids``; NaN = undefined because of the truth.
    """
    m = values[0].shape[1]
    real, drawn, counts = [], [], []
    seen = np.zeros((plan.distinct, m), dtype=bool)
    for ids, block in zip(plan.ids, values, strict=True):
        known = np.isfinite(block)
        filled = np.where(known, block, 0.0)
        np.logical_or.at(seen, ids, known)
        w = plan.weights[:, ids]
        with np.errstate(invalid="ignore", divide="ignore"):
            real.append(filled.sum(axis=0) / known.sum(axis=0))
            drawn.append((w @ filled) / (w @ known))
        counts.append(known.sum(axis=0))
    by_seed = np.stack(drawn)
    with np.errstate(invalid="ignore"):
        resampled = by_seed[plan.picks.T, np.arange(len(plan.picks))]
        return Means(
            theta=_nanmean(np.stack(real)),
            paired=_nanmean(by_seed),
            level=_nanmean(resampled),
            n=np.mean(counts, axis=0),
            distinct=seen.sum(axis=0),
        )


def _nanmean(stack: Floats) -> Floats:
    known = np.isfinite(stack)
    total = np.where(known, stack, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def half_width(draws: Floats, n: Floats, distinct: NDArray[np.int64]) -> Floats:
    """Half the width of the 95% interval: ``t(n - 1) sd(theta*) sqrt(n / (n - 1))``.

    Args:
        draws: ``[B, M]``.
        n: Mean number of conditions per seed ``[M]``.
        distinct: Distinct conditions ``[M]``; fewer than 8 give NaN: no interval.
    """
    from scipy.special import stdtrit

    enough = distinct >= MIN_CONDITIONS
    safe = np.where(enough, np.maximum(n, 2.0), np.nan)
    quantile = stdtrit(safe - 1, 0.5 + LEVEL / 2)  # Student's t, without importing scipy.stats
    with np.errstate(invalid="ignore"):
        return np.asarray(quantile * _sd(draws) * np.sqrt(safe / (safe - 1)))


def _sd(draws: Floats) -> Floats:
    known = np.isfinite(draws)
    count = np.maximum(known.sum(axis=0), 2)
    centre = np.where(known, draws, 0.0).sum(axis=0) / count
    return np.asarray(np.sqrt(np.where(known, (draws - centre) ** 2, 0.0).sum(axis=0) / (count - 1)))


@dataclass(frozen=True)
class Skill:
    """Where a predictor stands between the floor (0) and a replicate (1).

    Attributes:
        value: ``[M]``; NaN = null.
        paired: Linearised draws with the seeds as they are ``[B, M]``, for differences of two rows.
        level: Linearised draws that resample the seeds too ``[B, M]``, for the row's own interval.
        reason: Why it is null, ``""`` where it is not ``[M]``.
    """

    value: Floats
    paired: Floats
    level: Floats
    reason: tuple[str, ...]


def skill(model: Means, floor: Means, replicate: Means, direction: Sequence[int]) -> Skill:
    """Place a model between floor and replicate: ``(S - F) / (C - F)``, all scored against the same half truths.

    The averages come before the division, so that conditions without signal cannot blow up. A metric's sign cancels.
    Null where the replicate is not better than the floor, where the lower 95% bound of ``abs(C - F)`` is not above 0,
    or where that is under 3 of its standard errors. (Without the first, data so weak that a replicate loses to the
    floor would give skill 1 for being as bad.)

    Args:
        model: ``S``, from :func:`means`.
        floor: ``F``.
        replicate: ``C``.
        direction: 1 = higher is better, -1 = lower is, 0 = a metric without a best end has no skill ``[M]``.
    """
    room = replicate.theta - floor.theta
    room_draws = replicate.paired - floor.paired
    error = _sd(room_draws) * np.sqrt(np.maximum(floor.n, 2) / (np.maximum(floor.n, 2) - 1))
    width = half_width(room_draws, floor.n, floor.distinct)
    reasons = []
    for m in range(len(room)):
        if not np.isfinite(room[m]) or not np.isfinite(model.theta[m]):
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
    safe = np.where(null, np.nan, room)
    value = (model.theta - floor.theta) / safe
    # First-order: a ratio's own draws have no variance to speak of when its denominator comes near 0.
    paired = value + ((model.paired - floor.paired) - value * room_draws) / safe
    level = value + ((model.level - floor.level) - value * (replicate.level - floor.level)) / safe
    return Skill(value, paired, level, tuple(reasons))


def mean_skill(skill: Floats) -> Floats:
    """Average skill over families, each clipped to [-1, 1.5]; null families are left out.

    Args:
        skill: Skill of the families ``[..., 4]``, or draws of it; NaN = null.

    Returns:
        ``[...]``; NaN where fewer than 2 families are left: one alone is not a mean over families.
    """
    clipped = np.clip(skill, *SKILL_RANGE)  # NaN stays NaN
    enough = np.isfinite(skill).sum(axis=-1) >= MIN_FAMILIES
    return np.where(enough, _nanmean(np.moveaxis(clipped, -1, 0)), np.nan)


def sign_flip(differences: Floats, draws: int = 10_000) -> float:
    """Two-sided sign-flip test that the mean of paired differences is 0.

    Args:
        differences: One per condition ``[n]``; NaN are left out.
        draws: Random flips; up to 13 conditions all ``2^n`` are taken.

    Returns:
        p, never 0; NaN without differences.
    """
    d = differences[np.isfinite(differences)]
    if not len(d):
        return float("nan")
    if len(d) <= 13:
        signs = 1.0 - 2.0 * ((np.arange(2 ** len(d))[:, None] >> np.arange(len(d))) & 1)
        return float(np.mean(np.abs(signs @ d) >= abs(d.sum()) * (1 - 1e-12)))
    signs = np.random.default_rng(0x51).choice([-1.0, 1.0], size=(draws, len(d)))
    return float((1 + np.sum(np.abs(signs @ d) >= abs(d.sum()) * (1 - 1e-12))) / (draws + 1))


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p values by Holm's step-down method; NaN stay NaN.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    known = sorted((value, i) for i, value in enumerate(p) if np.isfinite(value))
    out, running = [float("nan")] * len(p), 0.0
    for step, (value, i) in enumerate(known):
        running = max(running, min(1.0, value * (len(known) - step)))
        out[i] = round(running, 12)
    return out


def beat_rate(values: Floats, floor: Floats, higher: bool = True) -> float:
    """Share of conditions on which a model beats the floor; ties count half.

    Args:
        values: ``[n]``.
        floor: ``[n]``.
        higher: Whether higher is better.
    """
    gap = (values - floor) * (1 if higher else -1)
    gap = gap[np.isfinite(gap)]
    # Rounding must not decide a tie: a model that is the floor beats it on half of the conditions.
    tie = np.abs(gap) <= 1e-9
    return float(np.mean(np.where(tie, 0.5, gap > 0))) if len(gap) else float("nan")
