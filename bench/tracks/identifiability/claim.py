"""From records to a board with intervals: a data set is one draw of a truth, so the replicates are data seeds.

Training seeds are averaged within a data seed, as they say nothing about another truth; what remains are S numbers, and
the interval is that of a t distribution with S - 1 degrees of freedom. Differences are taken within a data seed first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from bench.results.by_seed import Interval, by_seed, interval, paired
from bench.results.records import NO_CLAIM, Record
from bench.tracks.identifiability.metrics import METRICS, NUMBERS, PRIMARY

#: By how much MCC within conditions must be above the conditional VAE's.
MARGIN = 0.05
#: Rows are compared with this one.
AGAINST = "conditional_vae"
Verdict = Literal["true", "false", "undecided", "not evaluable"]
#: Warnings of a record that stand on its row.
NOTED = (NO_CLAIM, "the invariant latent has collapsed")


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
    return next((record.unanswerable for record in records if record.unanswerable), "")


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
    other = by_seed(rows[against], PRIMARY) if against in rows else {}
    lines = []
    for label, own in rows.items():
        seeds = by_seed(own, PRIMARY)
        line: dict[str, Any] = {
            "model": label,
            "kind": own[0].kind,
            "n_seeds": len(seeds),
            "n_training_seeds": min(sum(r.spec.split_seed == seed for r in own) for seed in seeds),
        }
        for name in (*METRICS, *NUMBERS):
            found = interval(np.array(list(by_seed(own, name).values())))
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
