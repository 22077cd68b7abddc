"""Rows whose replicates are split seeds, each of which is another draw of the data: means, differences, claims.

Training seeds are averaged within a seed, as they say nothing about another draw; what remains are S numbers, and the
interval is that of a t distribution with S - 1 degrees of freedom. Differences are taken within a seed first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.track import Track
from bench.core.typing import Floats
from bench.results.claim import Claim
from bench.results.difference import Difference
from bench.results.records import Record
from bench.results.rows import Row
from bench.results.tables import ALL
from bench.results.tested import Tested, p_of
from bench.stats.jackknife import quantile


@dataclass(frozen=True)
class Interval:
    """A mean over seeds, and the ends of its 95% interval; NaN where there is none."""

    mean: float
    low: float
    high: float


def interval(values: Floats) -> Interval:
    """Mean of some seeds' values with its t interval ``[S]``; undefined ones are left out."""
    mean, error, df = _student(values)
    half = float(quantile(np.array(df))) * error
    return Interval(mean, mean - half, mean + half)


def by_seed(records: Sequence[Record], name: str) -> dict[int, float]:
    """A number of one row by split seed, mean over its training seeds; NaN where a record lacks it."""
    found: dict[int, list[float]] = defaultdict(list)
    for record in records:
        value = record.numbers.get(name)
        found[record.spec.split_seed].append(np.nan if value is None else value)
    return {seed: float(np.mean(values)) for seed, values in sorted(found.items())}


def gaps(a: Mapping[int, float], b: Mapping[int, float]) -> Floats:
    """Difference of two rows within each seed that both have ``[S]``."""
    return np.array([a[seed] - b[seed] for seed in sorted(set(a) & set(b))])


def paired(a: Mapping[int, float], b: Mapping[int, float]) -> Interval:
    """Mean of :func:`gaps` with its interval."""
    return interval(gaps(a, b))


def tested_by_seed(track: Track, claim: Claim, seeds: Sequence[int], rows: Mapping[str, Row]) -> Tested:
    """Test one claim about rows without values by unit.

    Args:
        track: The track that it is about.
        claim: The claim; of its fields ``min_conditions`` is about units, and says nothing here.
        seeds: Split seeds that every row must have.
        rows: Rows of the board by label.
    """
    info = track.metrics[claim.metric]
    margin, sign = info.margin if claim.margin is None else claim.margin, -1 if info.better == "low" else 1
    names = [claim.better, *claim.worse]
    if reason := _missing(claim, names, seeds, rows):
        return Tested(claim, tuple(seeds), margin, sign, reason)
    found = {name: _difference(claim, rows[claim.better], rows[name], seeds) for name in claim.worse}
    ready = [name for name in claim.beside if name in rows and set(seeds) <= set(rows[name].by_seed)]
    beside = {name: _difference(claim, rows[claim.better], rows[name], seeds) for name in ready}
    reason = _no_claim([rows[name] for name in names])
    if undefined := [name for name, gap in found.items() if not np.isfinite(gap.df)]:
        reason = reason or f"the difference to {undefined[0]} is undefined, or has no interval: two seeds are needed"
    p = float("nan") if reason else max(p_of(claim, gap, margin, sign) for gap in found.values())
    over = _over([rows[name] for name in names])
    return Tested(claim, tuple(seeds), margin, sign, reason, p, found, beside, over)


def _student(values: Floats) -> tuple[float, float, float]:
    """Mean, standard error and degrees of freedom of some seeds' values; NaN where there is none."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return float(known.mean()) if len(known) else np.nan, np.nan, np.nan
    return float(known.mean()), float(known.std(ddof=1) / np.sqrt(len(known))), len(known) - 1.0


def _difference(claim: Claim, a: Row, b: Row, seeds: Sequence[int]) -> Difference:
    """Paired difference of two rows; its ``n`` are seeds. One that is undefined under a seed is undefined."""
    each = [by_seed(row.records, claim.metric) for row in (a, b)]
    values = np.array([each[0][seed] - each[1][seed] for seed in seeds])
    mean, error, df = _student(values) if np.isfinite(values).all() else (np.nan, np.nan, np.nan)
    training = min((row.training_seeds for row in (a, b) if row.learned), default=0)
    n = int(np.isfinite(values).sum())
    return Difference(claim.metric, ALL, mean, error, df, np.nan, n, tuple(values.tolist()), training)


def _missing(claim: Claim, names: Sequence[str], seeds: Sequence[int], rows: Mapping[str, Row]) -> str:
    if missing := [name for name in names if name not in rows]:
        return f"no record of {', '.join(missing)}"
    for name in names:
        if lacking := sorted(set(seeds) - set(rows[name].by_seed)):
            return f"{name} lacks seed {', '.join(map(str, lacking))}"
    return "" if claim.subgroup == ALL else f"no condition in '{claim.subgroup}'"


def _no_claim(rows: Sequence[Row]) -> str:
    """Say why nothing may be claimed from these rows; empty where something may."""
    for row in rows:
        for record in row.records:
            if record.unanswerable:
                return record.unanswerable
            if record.doubts:
                return f"a warning about its provenance: {row.label} ({record.doubts[0]})"
    return ""


def _over(rows: Sequence[Row]) -> str:
    """Say what a claim generalises over, and what it is about alone."""
    few = min((row.training_seeds for row in rows if row.learned), default=0)
    said = f"over draws of the data ({min(len(row.by_seed) for row in rows)})"
    if few > 1:
        said += f", {few} training seeds averaged in each"
    return f"{said}; of one generator{', one training seed' if few == 1 else ''}"
