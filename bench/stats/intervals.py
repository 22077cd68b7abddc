"""Intervals and paired tests over conditions, as pure functions of per-condition values.

Conditions are drawn by identity (constituent set) over the union of all seeds, so that a condition that is tested under
several seeds counts once. Every row of a table, its floor and its replicate share the same draws: a difference of two
rows is paired, and no row's numbers depend on which other rows are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats

#: Bootstrap draws.
DRAWS = 2000
LEVEL = 0.95
#: With fewer distinct conditions there is no interval, and no claim.
MIN_CONDITIONS = 8


@dataclass(frozen=True, eq=False)
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
    """Means over conditions and seeds, and their draws, which are made when they are asked for.

    Attributes:
        plan: The draws.
        values: One array ``[n_s, M]`` per seed; NaN = undefined because of the truth.
        theta: ``[M]``: mean over seeds of the mean over conditions; NaN where no seed defines it.
        n: Mean number of defined conditions per seed ``[M]``.
        distinct: Distinct conditions that define it ``[M]``.
    """

    plan: Design
    values: tuple[Floats, ...]
    theta: Floats
    n: Floats
    distinct: NDArray[np.int64]

    @cached_property
    def paired(self) -> Floats:
        """Draws with the seeds as they are ``[B, M]``, for differences of two rows."""
        return nanmean(self._by_seed())

    @cached_property
    def level(self) -> Floats:
        """Draws that resample the seeds too ``[B, M]``, for a row's own interval."""
        picks = self.plan.picks
        return nanmean(self._by_seed()[picks.T, np.arange(len(picks))])

    def _by_seed(self) -> Floats:
        """``sum w v / sum w`` of every seed ``[S, B, M]``; NaN where a draw holds no defined condition."""
        drawn = []
        for ids, block in zip(self.plan.ids, self.values, strict=True):
            known = np.isfinite(block)
            w = self.plan.weights[:, ids]
            with np.errstate(invalid="ignore", divide="ignore"):
                drawn.append((w @ np.where(known, block, 0.0)) / (w @ known))
        return np.stack(drawn)


def means(plan: Design, values: Sequence[Floats]) -> Means:
    """Average values over conditions and seeds: ``theta = mean over seeds of the mean over conditions``.

    Args:
        plan: From :func:`design`.
        values: One array ``[n_s, M]`` per seed, in the order of ``plan.ids``; NaN = undefined because of the truth.
    """
    seen = np.zeros((plan.distinct, values[0].shape[1]), dtype=bool)
    for ids, block in zip(plan.ids, values, strict=True):
        np.logical_or.at(seen, ids, np.isfinite(block))
    return Means(plan, tuple(values), *centre(values), seen.sum(axis=0))


def centre(values: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Mean over seeds of the mean over conditions, and the mean number of defined conditions per seed.

    Args:
        values: One array ``[n_s, ...]`` per seed; NaN = undefined.

    Returns:
        Two arrays ``[...]``; a mean is NaN where no seed defines it.
    """
    real, counts = [], []
    for block in values:
        known = np.isfinite(block)
        counts.append(known.sum(axis=0))
        with np.errstate(invalid="ignore"):
            real.append(np.where(known, block, 0.0).sum(axis=0) / counts[-1])
    return nanmean(np.stack(real)), np.mean(counts, axis=0)


def nanmean(stack: Floats) -> Floats:
    """Mean over the first axis of what is defined; NaN where nothing is."""
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
    return width_of(deviation(draws), n, distinct)


def width_of(sd: Floats, n: Floats, distinct: NDArray[np.int64]) -> Floats:
    """The same from the standard deviation over the draws ``[...]``; see :func:`half_width`."""
    from scipy.special import stdtrit

    enough = distinct >= MIN_CONDITIONS
    safe = np.where(enough, np.maximum(n, 2.0), np.nan)
    quantile = stdtrit(safe - 1, 0.5 + LEVEL / 2)  # Student's t, without importing scipy.stats
    return np.asarray(quantile * sd * np.sqrt(safe / (safe - 1)))


def deviation(draws: Floats) -> Floats:
    """Standard deviation over draws ``[B, ...]``, leaving out those that are NaN."""
    known = np.isfinite(draws)
    count = np.maximum(known.sum(axis=0), 2)
    middle = np.where(known, draws, 0.0).sum(axis=0) / count
    return np.asarray(np.sqrt(np.where(known, (draws - middle) ** 2, 0.0).sum(axis=0) / (count - 1)))


@cache
def _signs(n: int, draws: int) -> Floats:
    """Random sign flips of ``n`` differences ``[draws, n]``; up to 13 differences all ``2^n`` of them."""
    if n <= 13:
        return np.asarray(1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1))
    return np.random.default_rng(0x51).choice([-1.0, 1.0], size=(draws, n))


def sign_flips(differences: Floats, draws: int = 10_000) -> Floats:
    """Two-sided sign-flip tests that means of paired differences are 0, many at once.

    Args:
        differences: One row per test, one column per condition ``[P, n]``; NaN are left out.
        draws: Random flips; up to 13 conditions all ``2^n`` are taken.

    Returns:
        p ``[P]``, never 0; NaN without differences.
    """
    known = np.isfinite(differences)
    out = np.full(len(differences), np.nan)
    for pattern in np.unique(known, axis=0):
        n = int(pattern.sum())
        if not n:
            continue
        rows = np.flatnonzero((known == pattern).all(axis=1))
        d = differences[rows][:, pattern]
        signs = _signs(n, draws)
        beyond = (np.abs(signs @ d.T) >= np.abs(d.sum(axis=1)) * (1 - 1e-12)).sum(axis=0)
        out[rows] = beyond / len(signs) if n <= 13 else (1 + beyond) / (draws + 1)
    return out


def sign_flip(differences: Floats, draws: int = 10_000) -> float:
    """One :func:`sign_flips` test, of differences ``[n]``."""
    return float(sign_flips(np.asarray(differences, dtype=np.float64)[None], draws)[0])


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


def beat_rate(values: Floats, floor: Floats, higher: bool = True) -> Floats:
    """Share of conditions on which a model beats the floor; ties count half.

    Args:
        values: ``[n, ...]``.
        floor: ``[n, ...]``.
        higher: Whether higher is better.

    Returns:
        ``[...]``; NaN where no condition has both.
    """
    gap = (values - floor) * (1 if higher else -1)
    # Rounding must not decide a tie: a model that is the floor beats it on half of the conditions.
    won = np.where(np.abs(gap) <= 1e-9, 0.5, gap > 0)
    return nanmean(np.where(np.isfinite(gap), won, np.nan))
