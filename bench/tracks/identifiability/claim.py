"""From records to a board with intervals: a data set is one draw of a truth, so the replicates are data seeds.

Training seeds are averaged within a data seed, as they say nothing about another truth; what remains are S numbers, and
the interval is that of a t distribution with S - 1 degrees of freedom. Differences are taken within a data seed first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from bench.core.typing import Floats
from bench.results.records import Record
from bench.stats.jackknife import quantile
from bench.tracks.identifiability.metrics import METRICS, NUMBERS, PRIMARY

#: By how much MCC within conditions must be above the conditional VAE's.
MARGIN = 0.05
#: Rows are compared with this one.
AGAINST = "conditional_vae"
Verdict = Literal["true", "false", "undecided", "not evaluable"]
#: How a record says that its data allow no claim.
NO_CLAIM = "no claim:"
#: Warnings of a record that stand on its row.
NOTED = (NO_CLAIM, "the invariant latent has collapsed")


@dataclass(frozen=True)
class Interval:
    """A mean over data seeds, and the ends of its 95% interval; NaN where there is none."""

    mean: float
    low: float
    high: float


def interval(values: Floats) -> Interval:
    """Mean of some data seeds' values with its t interval ``[S]``; undefined ones are left out."""
    known = values[np.isfinite(values)]
    if not len(known):
        return Interval(np.nan, np.nan, np.nan)
    mean = float(known.mean())
    if len(known) < 2:
        return Interval(mean, np.nan, np.nan)
    half = float(quantile(np.array(len(known) - 1.0)) * known.std(ddof=1) / np.sqrt(len(known)))
    return Interval(mean, mean - half, mean + half)


def by_data_seed(records: Sequence[Record], name: str) -> dict[int, float]:
    """A number of one row by data seed, mean over its training seeds; NaN where a record lacks it."""
    found: dict[int, list[float]] = defaultdict(list)
    for record in records:
        value = record.numbers.get(name)
        found[record.spec.split_seed].append(np.nan if value is None else value)
    return {seed: float(np.mean(values)) for seed, values in sorted(found.items())}


def paired(a: Mapping[int, float], b: Mapping[int, float]) -> Interval:
    """Difference of two rows within each data seed that both have."""
    return interval(np.array([a[seed] - b[seed] for seed in sorted(set(a) & set(b))]))


def verdict(difference: Interval, unanswerable: str, margin: float = MARGIN) -> Verdict:
    """Whether a row is above another by more than a margin.

    Args:
        difference: From :func:`paired`.
        unanswerable: Why nothing can be claimed of these data; empty = it can.
        margin: What the whole interval must exceed.
    """
    if unanswerable or not np.isfinite(difference.low):
        return "not evaluable"
    if difference.low > margin:
        return "true"
    return "false" if difference.high <= margin else "undecided"


def unanswerable(records: Sequence[Record]) -> str:
    """Why nothing can be claimed of the data that records are about; empty = it can."""
    return next((word for record in records for word in record.warnings if word.startswith(NO_CLAIM)), "")


def table(records: Sequence[Record], against: str = AGAINST) -> pd.DataFrame:
    """Board of one data set: a row per model and variant, best first; head-room and controls below.

    Args:
        records: Of one data set, all rows and seeds.
        against: Label, or model, of the row that others are compared with.

    Returns:
        Columns ``model``, ``kind``, ``n_seeds``, ``n_training_seeds``; of each metric mean, ``_ci_low``, ``_ci_high``;
        ``above`` with its ends, ``claim`` and ``note``.
    """
    none = unanswerable(records)
    rows: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        rows[record.spec.label].append(record)
    # The row itself, or where it was made with another effort than usual, the first one of its name.
    against = next((label for label, own in rows.items() if against in (label, own[0].spec.model)), against)
    other = by_data_seed(rows[against], PRIMARY) if against in rows else {}
    lines = []
    for label, own in rows.items():
        seeds = by_data_seed(own, PRIMARY)
        line: dict[str, Any] = {
            "model": label,
            "kind": own[0].kind,
            "n_seeds": len(seeds),
            "n_training_seeds": min(sum(r.spec.split_seed == seed for r in own) for seed in seeds),
        }
        for name in (*METRICS, *NUMBERS):
            found = interval(np.array(list(by_data_seed(own, name).values())))
            line |= {name: found.mean} | (
                {f"{name}_ci_low": found.low, f"{name}_ci_high": found.high} if name in METRICS else {}
            )
        judged = own[0].kind == "model" and label != against and bool(other)
        difference = paired(seeds, other) if judged else Interval(np.nan, np.nan, np.nan)
        line |= {"above": difference.mean, "above_ci_low": difference.low, "above_ci_high": difference.high}
        line["claim"] = verdict(difference, none) if judged else ""
        line["fit_s"] = float(np.mean([r.budget.fit_s or 0.0 for r in own]))
        line["note"] = "; ".join(dict.fromkeys(w for r in own for w in r.warnings if w.startswith(NOTED)))
        lines.append(line)
    out = pd.DataFrame(lines)
    order = out["kind"].map({"head-room": 0, "model": 1, "control": 2})
    best = pd.DataFrame({"kind": order, "level": -out[PRIMARY].fillna(-np.inf).round(6), "model": out["model"]})
    return out.iloc[best.sort_values(["kind", "level", "model"]).index.to_numpy()].reset_index(drop=True)
