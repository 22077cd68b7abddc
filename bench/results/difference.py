"""Paired differences of two rows of a board, by metric and scope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bench.core.typing import Floats
from bench.results.estimates import Placed, place
from bench.results.rows import Row
from bench.results.skill import Bar, bars
from bench.results.summary import RowTables, average, estimates, plan_for
from bench.results.tables import ALL
from bench.stats.design import Design
from bench.stats.intervals import MIN_CONDITIONS, holm, nanmean
from bench.stats.jackknife import Estimate, quantile

#: In place of a metric: the mean skill of a row.
SKILL = "skill"
#: In place of a row: the best condition-blind answers, whose skill is 0.
FLOOR = "floor"


@dataclass(frozen=True)
class Difference:
    """Paired difference ``a - b`` of one metric in one scope.

    Attributes:
        metric: Its name, or ``skill``.
        scope: ``all``, a subgroup or a tertile.
        mean: Mean over seeds of the mean over conditions; NaN where undefined.
        error: Standard error: conditions that share genes, training noise and reference controls.
        df: Its degrees of freedom; NaN with under 8 effective genes.
        p_holm: Two-sided p that it is 0, adjusted over all pairs of the board's rows; NaN where not asked for.
        n: Distinct conditions.
        by_seed: The difference under each split seed.
        training_seeds: Fewest training seeds per split seed of a learned row among the two; 0 where neither is.
    """

    metric: str
    scope: str
    mean: float
    error: float
    df: float
    p_holm: float
    n: int
    by_seed: tuple[float, ...] = ()
    training_seeds: int = 0

    def width(self, level: float = 0.95) -> float:
        """Half width of an interval; NaN = none."""
        return float(quantile(np.array(self.df), level)) * self.error

    @property
    def low(self) -> float:
        """Lower 95% bound; NaN with too few genes."""
        return self.mean - self.width()

    @property
    def high(self) -> float:
        """Upper 95% bound."""
        return self.mean + self.width()

    @property
    def p(self) -> float:
        """Two-sided p that it is 0, by Student's t."""
        return min(1.0, 2 * self.beyond(0.0, 1 if self.mean > 0 else -1))

    def beyond(self, margin: float, sign: int) -> float:
        """One-sided p of the hypothesis that ``sign x difference`` is at most a margin; NaN without an interval."""
        from scipy.special import stdtr

        gap = sign * self.mean - margin
        if not np.isfinite(self.df) or not np.isfinite(gap):
            return float("nan")
        if self.error <= 1e-12:
            return 0.0 if gap > 1e-9 else 1.0
        return float(stdtr(self.df, -gap / self.error))

    @property
    def clear(self) -> bool:
        """Whether the interval excludes 0."""
        return bool(np.isfinite(self.low) and (self.low > 0 or self.high < 0))


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
        self._placed: dict[tuple[str, str], Placed] = {}
        self._levels: dict[tuple[str, str, str], Estimate] = {}
        self._plans: dict[str, tuple[Design, dict[str, Bar]]] = {}

    def plan(self, scope: str) -> tuple[Design, dict[str, Bar]]:
        """The units of a scope, and its bars."""
        if scope not in self._plans:
            first = next(iter(self.rows.values()))
            tables = [first.tables(seed)[0] for seed in self.seeds]
            plan = plan_for([[table] for table in tables], scope)
            whole = None if scope == ALL else self.plan(ALL)[1]
            self._plans[scope] = plan, bars(first.track, tables, scope, plan, whole)
        return self._plans[scope]

    def tables(self, label: str) -> RowTables:
        """Tables of a row by seed."""
        return [self.rows[label].tables(seed) for seed in self.seeds]

    def placed(self, label: str, scope: str) -> Placed:
        """A row between floor and ceiling; made once, however often it is asked for."""
        if (label, scope) not in self._placed:
            row = self.rows[label]
            self._placed[label, scope] = place(row.track, [self.tables(label)], scope, *self.plan(scope), [row.honest])
        return self._placed[label, scope]

    def estimate(self, label: str, scope: str, metric: str) -> Estimate:
        """One row's metric in a scope ``[1]``, or its mean skill."""
        if metric == SKILL:
            return self.placed(label, scope).headline
        if (label, scope, metric) not in self._levels:
            column = list(self.rows[label].track.metrics).index(metric)
            found = estimates([self.tables(label)], scope, "value", [column], self.plan(scope)[0])
            self._levels[label, scope, metric] = found
        return self._levels[label, scope, metric]

    def by_condition(self, a: str, b: str, metric: str, scope: str = ALL) -> dict[int, float]:
        """Difference of each distinct condition, averaged over its seeds, by its place in the shared plan."""
        gaps = nanmean(self._grid(a, scope, metric) - self._grid(b, scope, metric))
        return {int(i): float(gaps[i]) for i in np.flatnonzero(np.isfinite(gaps))}

    def _grid(self, label: str, scope: str, metric: str) -> Floats:
        """Values of one metric by seed and distinct unit ``[S, N]``; NaN where a seed does not test a unit."""
        plan = self.plan(scope)[0]
        out = np.full((len(self.seeds), plan.distinct), np.nan)
        column = list(self.rows[label].track.metrics).index(metric)
        for row, ids, heads in zip(out, plan.ids, self.tables(label), strict=True):
            row[ids] = average(heads, scope, "value", column)
        return out

    def difference(self, a: str, b: str, scope: str, metric: str, tested: bool = True) -> Difference:
        """Compare two rows.

        Args:
            a: One row.
            b: The other, or ``floor`` where the mean skill is compared.
            scope: See :class:`Difference`.
            metric: Metric name, or ``skill``.
            tested: Whether to adjust p over all pairs of the rows.
        """
        found = self._gap(a, b, scope, metric)
        adjusted = float("nan")
        if tested:
            others = [(x, y) for x, y in combinations(self.rows, 2) if {x, y} != {a, b}]
            p = [found.p, *(self._gap(x, y, scope, metric).p for x, y in others)]
            adjusted = holm(p)[0]
        n = int(
            np.isfinite(self._grid(a, scope, self.rows[a].track.primary if metric == SKILL else metric)).any(0).sum()
        )
        return Difference(
            metric,
            scope,
            found.mean,
            found.error,
            found.df,
            adjusted,
            n,
            self._by_seed(a, b, scope, metric),
            self._training_seeds(a, b),
        )

    def _gap(self, a: str, b: str, scope: str, metric: str) -> Difference:
        gap = self.estimate(a, scope, metric)
        if b != FLOOR:
            gap = gap - self.estimate(b, scope, metric)
        return Difference(
            metric, scope, float(gap.value[0]), float(np.sqrt(gap.variance[0])), float(gap.df[0]), float("nan"), 0
        )

    def _by_seed(self, a: str, b: str, scope: str, metric: str) -> tuple[float, ...]:
        """The difference under each split seed; none of a mean skill, whose floor is one for all seeds."""
        if metric == SKILL:
            return ()
        left, right = self._grid(a, scope, metric), self._grid(b, scope, metric)
        return tuple(float(value) for value in nanmean((left - right).T))

    def _training_seeds(self, a: str, b: str) -> int:
        return min(
            (self.rows[name].training_seeds for name in (a, b) if name != FLOOR and self.rows[name].learned), default=0
        )


def no_claim(rows: Sequence[Row]) -> str:
    """Say why nothing may be claimed from these rows; empty where something may."""
    first = rows[0].records[0]
    if first.evidence == "smoke":
        return "smoke data: too few conditions"
    if alien := [row.label for row in rows if not row.honest]:
        return f"predictions not made from the input controls: {', '.join(alien)}"
    if doubted := [f"{row.label} ({record.doubts[0]})" for row in rows for record in row.records if record.doubts]:
        return f"a warning about its provenance: {doubted[0]}"
    for row in rows:
        if not row.has_values:
            return f"{row.label} has no values by unit"
        informed = sum(entry.informed for entry in row.entries)
        if informed < MIN_CONDITIONS:
            return f"{row.label} fell back on all but {informed} conditions"
    return ""
