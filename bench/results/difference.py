"""Paired differences of two rows of a board, by metric and scope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bench.core.typing import Floats
from bench.results.rows import Row
from bench.results.summary import Summary, plan_for, summarise
from bench.results.tables import ALL
from bench.stats.intervals import MIN_CONDITIONS, Design, half_width, holm, sign_flips


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


def _grid(summary: Summary, metric: str) -> Floats:
    """Values of one metric by seed and distinct condition ``[S, N]``; NaN where a seed does not test a condition."""
    out = np.full((len(summary.values), summary.plan.distinct), np.nan)
    for row, ids, values in zip(out, summary.plan.ids, summary.values, strict=True):
        row[ids] = values["value"][:, summary.metrics.index(metric)]
    return out


def _gaps(left: Floats, right: Floats) -> Floats:
    """Difference of each distinct condition ``[..., N]``, averaged over the seeds in which both have it."""
    gap = left - right
    known = np.isfinite(gap)
    count = known.sum(axis=-2)
    return np.where(count > 0, np.where(known, gap, 0.0).sum(axis=-2) / np.maximum(count, 1), np.nan)


def _by_condition(one: Summary, other: Summary, metric: str) -> dict[int, float]:
    """Difference of each distinct condition, averaged over its seeds, by its place in the shared plan."""
    gaps = _gaps(_grid(one, metric), _grid(other, metric))
    return {int(i): float(gaps[i]) for i in np.flatnonzero(np.isfinite(gaps))}


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
        self._summaries: dict[tuple[str, str], Summary] = {}
        self._plans: dict[str, Design] = {}

    def summary(self, label: str, scope: str) -> Summary:
        """Everything about one row in one scope; made once, however often it is asked for."""
        if (label, scope) not in self._summaries:
            by_seed = [self.rows[label].tables(seed) for seed in self.seeds]
            plan = self._plans.setdefault(scope, plan_for(by_seed, scope))
            self._summaries[label, scope] = summarise(self.rows[label].track, by_seed, scope, plan)
        return self._summaries[label, scope]

    def by_condition(self, a: str, b: str, metric: str, scope: str = ALL) -> dict[int, float]:
        """Difference of each distinct condition, averaged over its seeds, by its place in the shared plan."""
        return _by_condition(self.summary(a, scope), self.summary(b, scope), metric)

    def difference(self, a: str, b: str, scope: str, metric: str, tested: bool = True) -> Difference:
        """Compare two rows.

        Args:
            a: One row.
            b: The other.
            scope: See :class:`Difference`.
            metric: Metric name.
            tested: Whether to test the difference, and adjust p over all pairs of the rows.
        """
        one, other = self.summary(a, scope), self.summary(b, scope)
        m = one.metrics.index(metric)
        left, right = one.levels["value"], other.levels["value"]
        gap: Floats = left.paired[:, [m]] - right.paired[:, [m]]
        width = float(half_width(gap, left.n[[m]], left.distinct[[m]])[0])
        mean = float(left.theta[m] - right.theta[m])
        p, adjusted = self._tests(a, b, scope, metric) if tested else (float("nan"), float("nan"))
        return Difference(metric, scope, mean, mean - width, mean + width, p, adjusted, int(left.distinct[m]))

    def _tests(self, a: str, b: str, scope: str, metric: str) -> tuple[float, float]:
        grids = {label: _grid(self.summary(label, scope), metric) for label in self.rows}
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
