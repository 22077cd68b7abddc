"""Intervals of the corrected values: by perturbed genes for means over units, by resampling for everything else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.core.units import Unit
from bench.evaluations.biojepac.row import number
from bench.stats.design import design
from bench.stats.jackknife import estimate

#: Resamples of an interval.
DRAWS = 200


class Interval(NamedTuple):
    """A value and its 95% bounds (NaN = none), and how many units it is over."""

    value: float
    low: float
    high: float
    n: int

    @property
    def numbers(self) -> tuple[float | None, float | None, float | None]:
        """Value and bounds as a row has them: ``None`` for what there is not."""
        return number(self.value), number(self.low), number(self.high)

    def within(self, least: float, most: float) -> Interval:
        """The same with its bounds cut off where no value can lie."""
        return self._replace(low=float(np.clip(self.low, least, most)), high=float(np.clip(self.high, least, most)))


def over_units(units: Sequence[Unit], values: Floats) -> Interval:
    """Mean over units ``[T]``, those that share a perturbed gene not being independent; NaN values are left out.

    Source: delete-one-gene jackknife, see :mod:`bench.stats.jackknife`; no bounds under 8 effective genes.
    """
    plan = design([units])
    # The design sorts units; values come in the order of the caller, which `ids` maps.
    found = estimate(plan, np.asarray(values, dtype=np.float64)[:, None])
    mean, half = float(found.value[0]), float(found.half_width()[0])
    return Interval(mean, mean - half, mean + half, int(np.isfinite(values).sum()))


def resampled(statistic: Callable[[NDArray[np.int64]], float], n: int, seed: int = 0) -> Interval:
    """A statistic of ``n`` independent units with the percentile interval of a bootstrap over them.

    Args:
        statistic: Of units by position ``[n]``, some of them repeated; NaN where it has no value.
        n: Units.
        seed: Of the draws.

    Source: Efron and Tibshirani 1993, chapter 13.
    """
    rng = np.random.default_rng([seed, 0xB007])
    value = statistic(np.arange(n))
    found = np.array([statistic(np.sort(rng.integers(0, n, n))) for _ in range(DRAWS)])
    known = found[np.isfinite(found)]
    if len(known) < DRAWS // 2:
        return Interval(value, np.nan, np.nan, n)
    low, high = np.quantile(known, [0.025, 0.975])
    return Interval(value, float(low), float(high), n)


def share(right: int, n: int) -> Interval:
    """A share of ``n`` independent trials with its Wilson interval."""
    if not n:
        return Interval(np.nan, np.nan, np.nan, 0)
    z = 1.959963984540054
    p = right / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return Interval(p, float(centre - half), float(centre + half), n)
