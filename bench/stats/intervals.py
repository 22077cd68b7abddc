"""Means, Holm's correction and beat rates, as pure functions; intervals are made by :mod:`bench.stats.jackknife`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.core.typing import Floats

#: With fewer distinct conditions there is no claim.
MIN_CONDITIONS = 8


def nanmean(stack: Floats) -> Floats:
    """Mean over the first axis of what is defined; NaN where nothing is."""
    known = np.isfinite(stack)
    total = np.where(known, stack, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p values by Holm's step-down method; NaN stay NaN.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=np.float64)
    out, known = values.copy(), np.isfinite(values)
    out[known] = holm_array(values[known])
    return [round(float(value), 12) for value in out]


def holm_array(p: Floats) -> Floats:
    """The same of many p values ``[P]``, all defined."""
    order = np.argsort(p, kind="stable")
    steps = np.minimum(1.0, p[order] * (len(p) - np.arange(len(p))))
    out = np.empty(len(p))
    out[order] = np.maximum.accumulate(steps)
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
