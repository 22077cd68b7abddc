"""Paired differences of two rows of a board, by metric and scope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bench.core.typing import Floats
from bench.results.rows import Row
from bench.results.summary import average, plan_for
from bench.results.tables import ALL
from bench.stats.intervals import MIN_CONDITIONS, Design, Means, half_width, holm, means, sign_flips


@dataclass(frozen=True)
class Difference:
    """Paired difference ``a - b`` of one metric in one scope.

    Attributes:
        metric: Its name.
        scope: ``all``, a subgroup or a tertile.
        mean: Mean over seeds of the mean over conditions; NaN where undefined.
        low: Lower 95% bound; NaN with fewer than 8 distinct conditions.
        high: Upper 95% bound.
        p: Sign-flip test over condition means.
        p_holm: Adjusted over all pairs of the board's rows.
        n: Distinct conditions.
    """

    metric: str
    scope: str
    mean: float
    low: float
    high: float
    p: float
    p_holm: float
    n: int

    @property
    def clear(self) -> bool:
        """Whether the interval excludes 0."""
        return bool(np.isfinite(self.low) and (self.low > 0 or self.high < 0))


def _grid(found: Means) -> Floats:
    """Values of one metric by seed and distinct condition ``[S, N]``; NaN where a seed does not test a condition."""
    out = np.full((len(found.values), found.plan.distinct), np.nan)
    for row, ids, values in zip(out, found.plan.ids, found.values, strict=True):
        row[ids] = values[:, 0]
    return out


def _gaps(left: Floats, right: Floats) -> Floats:
    """Difference of each distinct condition ``[..., N]``, averaged over the seeds in which both have it."""
    gap = left - right
    known = np.isfinite(gap)
    count = known.sum(axis=-2)
    return np.where(count > 0, np.where(known, gap, 0.0).sum(axis=-2) / np.maximum(count, 1), np.nan)


class Comparison:
    """Rows of one board under the seeds that they share.

    Args:
        rows: The rows by label; those that lack a seed, or values by unit, take no part.
        seeds: Split seeds.
    """

    def __init__(self, rows: dict[str, Row], seeds: Sequence[int]) -> None:
        self.seeds = list(seeds)
        self.rows = {
            label: row for label, row in sorted(rows.items()) if set(seeds) <= set(row.by_seed) and row.has_values
        }
        self._means: dict[tuple[str, str, str], Means] = {}
        self._plans: dict[str, Design] = {}

    def means(self, label: str, scope: str, metric: str) -> Means:
        """One row's values of a metric in a scope and their draws; made once, however often they are asked for."""
        key = (label, scope, metric)
        if key not in self._means:
            row = self.rows[label]
            by_seed = [row.tables(seed) for seed in self.seeds]
            if scope not in self._plans:
                self._plans[scope] = plan_for(by_seed, scope)
            m = list(row.track.metrics).index(metric)
            values = [average(heads, scope, "value", m)[:, None] for heads in by_seed]
            self._means[key] = means(self._plans[scope], values)
        return self._means[key]

    def by_condition(self, a: str, b: str, metric: str, scope: str = ALL) -> dict[int, float]:
        """Difference of each distinct condition, averaged over its seeds, by its place in the shared plan."""
        gaps = _gaps(_grid(self.means(a, scope, metric)), _grid(self.means(b, scope, metric)))
        return {int(i): float(gaps[i]) for i in np.flatnonzero(np.isfinite(gaps))}

    def difference(self, a: str, b: str, scope: str, metric: str, tested: bool = True) -> Difference:
        """Compare two rows.

        Args:
            a: One row.
            b: The other.
            scope: See :class:`Difference`.
            metric: Metric name.
            tested: Whether to test the difference, and adjust p over all pairs of the rows.
        """
        left, right = self.means(a, scope, metric), self.means(b, scope, metric)
        gap: Floats = left.paired - right.paired
        width = float(half_width(gap, left.n, left.distinct)[0])
        mean = float(left.theta[0] - right.theta[0])
        p, adjusted = self._tests(a, b, scope, metric) if tested else (float("nan"), float("nan"))
        return Difference(metric, scope, mean, mean - width, mean + width, p, adjusted, int(left.distinct[0]))

    def _tests(self, a: str, b: str, scope: str, metric: str) -> tuple[float, float]:
        grids = {label: _grid(self.means(label, scope, metric)) for label in self.rows}
        pairs = [(grids[a], grids[b])]
        pairs += [(grids[x], grids[y]) for x, y in combinations(grids, 2) if {x, y} != {a, b}]
        family = sign_flips(np.stack([_gaps(x, y) for x, y in pairs]))
        return float(family[0]), holm(family.tolist())[0]


def no_claim(rows: Sequence[Row]) -> str:
    """Say why nothing may be claimed from these rows; empty where something may."""
    first = rows[0].records[0]
    if first.evidence == "smoke":
        return "smoke data: too few conditions"
    if alien := [row.label for row in rows if not row.honest]:
        return f"predictions not made from the input controls: {', '.join(alien)}"
    for row in rows:
        if not row.has_values:
            return f"{row.label} has no values by unit"
        informed = sum(entry.informed for entry in row.entries)
        if informed < MIN_CONDITIONS:
            return f"{row.label} fell back on all but {informed} conditions"
    return ""
