"""Two rows of a board against each other: the paired difference by metric and subgroup, and where they differ most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from rich.table import Table as View
from rich.text import Text

from bench.core.console import answer, console, seed_text
from bench.core.errors import BenchError, unknown
from bench.core.typing import Floats
from bench.results.rows import FAMILIES, NAMES, PRIMARY, Found, Row, gather
from bench.results.summary import Summary, plan_for, summarise
from bench.results.tables import ALL
from bench.stats.intervals import MIN_CONDITIONS, half_width, holm, sign_flips
from bench.tracks.response.metrics import METRICS

#: One comparison asks for the same summaries again and again: for every metric, and for Holm's other pairs.
_SUMMARIES: dict[tuple[tuple[Path, ...], str], Summary] = {}


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

    def winner(self, a: str, b: str) -> str:
        """Which of two rows is clearly better; empty where neither is."""
        if not self.clear:
            return ""
        return a if (self.mean > 0) == (METRICS[self.metric].better != "low") else b


def pair(rows: dict[str, Row], a: str, b: str) -> list[int]:
    """Return the split seeds that two rows share.

    Raises:
        BenchError: Unknown rows, or none in common.
    """
    for name in (a, b):
        if name not in rows:
            raise unknown("row", name, rows)
    shared = sorted(set(rows[a].by_seed) & set(rows[b].by_seed))
    if not shared:
        raise BenchError(f"'{a}' and '{b}' have no split seed in common.")
    return shared


def _summary(row: Row, seeds: Sequence[int], scope: str) -> Summary:
    key = (tuple(found.path for seed in seeds for found in row.by_seed[seed]), scope)
    if key not in _SUMMARIES:
        by_seed = [[found.table for found in row.by_seed[seed]] for seed in seeds]
        _SUMMARIES[key] = summarise(by_seed, scope, plan_for(by_seed, scope))
    return _SUMMARIES[key]


def _grid(summary: Summary, metric: str) -> Floats:
    """Values of one metric by seed and distinct condition ``[S, N]``; NaN where a seed does not test a condition."""
    out = np.full((len(summary.values), summary.plan.distinct), np.nan)
    for row, ids, values in zip(out, summary.plan.ids, summary.values, strict=True):
        row[ids] = values["value"][:, NAMES.index(metric)]
    return out


def _gaps(left: Floats, right: Floats) -> Floats:
    """Difference of each distinct condition ``[..., N]``, averaged over the seeds in which both have it."""
    gap = left - right
    known = np.isfinite(gap)
    count = known.sum(axis=-2)
    return np.where(count > 0, np.where(known, gap, 0.0).sum(axis=-2) / np.maximum(count, 1), np.nan)


def by_condition(one: Summary, other: Summary, metric: str) -> dict[int, float]:
    """Difference of each distinct condition, averaged over its seeds, by its place in the shared plan."""
    gaps = _gaps(_grid(one, metric), _grid(other, metric))
    return {int(i): float(gaps[i]) for i in np.flatnonzero(np.isfinite(gaps))}


def difference(a: Row, b: Row, seeds: Sequence[int], scope: str, metric: str, others: Sequence[Row] = ()) -> Difference:
    """Compare two rows.

    Args:
        a: One row.
        b: The other.
        seeds: Split seeds that both have.
        scope: See :class:`Difference`.
        metric: Metric name.
        others: The board's other rows, for Holm's adjustment over all pairs with these seeds.
    """
    one, other = _summary(a, seeds, scope), _summary(b, seeds, scope)
    m = NAMES.index(metric)
    left, right = one.levels["value"], other.levels["value"]
    gap: Floats = left.paired[:, [m]] - right.paired[:, [m]]
    width = float(half_width(gap, left.n[[m]], left.distinct[[m]])[0])
    mean = float(left.theta[m] - right.theta[m])
    pairs = [(_grid(one, metric), _grid(other, metric))]
    complete = {row.label: row for row in others if set(seeds) <= set(row.by_seed)}
    grids = {label: _grid(_summary(row, seeds, scope), metric) for label, row in complete.items()}
    pairs += [(grids[x], grids[y]) for x, y in combinations(sorted(grids), 2) if {x, y} != {a.label, b.label}]
    family = sign_flips(np.stack([_gaps(x, y) for x, y in pairs]))
    p, adjusted = float(family[0]), holm(family.tolist())[0]
    return Difference(metric, scope, mean, mean - width, mean + width, p, adjusted, int(left.distinct[m]))


def no_claim(rows: Sequence[Row]) -> str:
    """Say why nothing may be claimed from these rows; empty where something may."""
    first = rows[0].records[0]
    if first.evidence == "smoke":
        return "smoke data: too few conditions"
    if alien := [row.label for row in rows if not row.honest]:
        return f"predictions not made from the input controls: {', '.join(alien)}"
    for row in rows:
        informed = sum(record.n_conditions - record.n_fallback for record in row.records)
        if informed < MIN_CONDITIONS:
            return f"{row.label} fell back on all but {informed} conditions"
    return ""


def _rows(items: Sequence[Found], a: str, b: str) -> tuple[dict[str, Row], list[int]]:
    """The rows of a board, and the seeds that two of them share."""
    if a == b:
        raise BenchError(f"'{a}' is compared with itself; name two rows.")
    _, rows = gather(items)
    every = gather(items, sorted({item.record.spec.split_seed for item in items}))[1]
    rows = {**every, **rows}
    return rows, pair(rows, a, b)


def differences(items: Sequence[Found], a: str, b: str) -> list[Difference]:
    """Compare two rows in the metric of every family, and in the primary one within each subgroup.

    Args:
        items: Records of one data set and split.
        a: One row's name.
        b: The other's.

    Raises:
        BenchError: Unknown rows, one row twice, or no split seed in common.
    """
    rows, seeds = _rows(items, a, b)
    scopes = [ALL, *sorted(set(rows[a].by_seed[seeds[0]][0].table.conditions) - {ALL})]
    return [
        difference(rows[a], rows[b], seeds, scope, metric, list(rows.values()))
        for scope in scopes
        for metric in (FAMILIES.values() if scope == ALL else (PRIMARY,))
    ]


def show(items: Sequence[Found], a: str, b: str, most: int = 8) -> None:
    """Print a comparison to standard output, and what to distrust of it to standard error.

    Args:
        items: Records of one data set and split.
        a: One row's name.
        b: The other's.
        most: How many conditions to name.

    Raises:
        BenchError: As for :func:`differences`.
    """
    rows, seeds = _rows(items, a, b)
    first = rows[a].records[0].spec
    answer.print(
        Text(f"{a} less {b} | {first.dataset} | {first.split} | {seed_text(seeds)} | paired by condition", style="bold")
    )
    view = View(box=None, pad_edge=False, header_style="bold")
    for title in ("metric", "scope"):
        view.add_column(title, no_wrap=True)
    for title in ("difference [95% CI]", "p", "Holm", "n", ""):
        view.add_column(title, justify="right" if title in ("p", "Holm", "n") else "left")
    for found in differences(items, a, b):
        view.add_row(found.metric, found.scope, *_cells(found, a, b))
    answer.print(view)
    one, other = (_summary(rows[name], seeds, ALL) for name in (a, b))
    gaps = by_condition(one, other, PRIMARY)
    names = sorted({c for seed in seeds for c in rows[a].by_seed[seed][0].table.conditions[ALL]})
    ordered = sorted(gaps, key=lambda i: -abs(gaps[i]))[:most]
    listed = ", ".join(f"{names[i]} {gaps[i]:+.2f}" for i in ordered)
    answer.print(Text(f"They differ most, in {PRIMARY}, on: {listed}."))
    if reason := no_claim([rows[a], rows[b]]):
        console.print(Text(f"No claim: {reason}.", style="yellow"))


def _cells(found: Difference, a: str, b: str) -> tuple[str, ...]:
    if not np.isfinite(found.mean):
        return "undefined", "-", "-", str(found.n), ""
    bounds = f" [{found.low:+.3f}, {found.high:+.3f}]" if np.isfinite(found.low) else " (no interval)"
    winner = f"{name} is better" if (name := found.winner(a, b)) else ""
    return f"{found.mean:+.3f}{bounds}", _probability(found.p), _probability(found.p_holm), str(found.n), winner


def _probability(p: float) -> str:
    return "<.001" if p < 0.001 else f"{p:.3f}".replace("0.", ".", 1)
