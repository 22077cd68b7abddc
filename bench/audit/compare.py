"""Recorded values beside recomputed ones: what is tolerated of each metric, and the first unit beyond it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: What two ways to add the same numbers may differ by, where nothing was rounded but records' values themselves.
EXACT = 1e-6


class Tolerance(NamedTuple):
    """How far a value may be off, relative to 1 or to itself where that is larger: of one unit, and of a row's mean."""

    unit: float
    mean: float


_SMOOTH, _RANKS = Tolerance(2e-3, 2e-4), Tolerance(1e-2, 5e-4)
#: Kept predictions are exact to 1/64 of a shift's root mean square, or finer. Where a metric counts genes or other
#: units, a value at the border may fall on either side: one step of what is counted. Rows that were published before
#: publishing judged them beside their board's others are off by up to twice what it asked for.
KEPT: dict[str, Tolerance] = {
    "pearson_delta": Tolerance(1e-3, 1e-4),
    "shift_ratio": Tolerance(1e-3, 2e-4),
    "shift_log_ratio": Tolerance(1e-3, 2e-4),
    "signed_rank_z": Tolerance(6e-3, 5e-4),
    "discrimination": Tolerance(0.26, 3e-3),
    "discrimination_raw": Tolerance(0.26, 1e-2),
    "pearson_delta@20": _RANKS,
    "pearson_delta_z": Tolerance(2e-3, 4e-4),
    "pearson_delta_pert_ref": Tolerance(1e-2, 1e-3),
    "shift_magnitude": _SMOOTH,
    "calibration_slope": _RANKS,
    "spearman_de": Tolerance(1e-2, 2e-3),
    "de_recall@20": Tolerance(0.11, 1e-2),
    "de_recall_sig@20": Tolerance(0.11, 1e-2),
    "de_recall@50": Tolerance(0.05, 5e-3),
    "de_recall_sig@50": Tolerance(0.05, 5e-3),
    "auprc_de": Tolerance(0.1, 1e-2),
    "direction_accuracy": Tolerance(0.21, 1e-2),
    "wmse": _SMOOTH,
    "top20_de_mse": _SMOOTH,
    "r2": _SMOOTH,
    "r2_delta": _RANKS,
    "gears_mse": _SMOOTH,
    "gears_mse_de": _SMOOTH,
    "gears_pearson": _SMOOTH,
    "gears_pearson_de": _RANKS,
    "gears_pearson_delta": _SMOOTH,
    "gears_pearson_delta_de": _RANKS,
    "legacy_cell_mse": _SMOOTH,
    "legacy_r2_top50": Tolerance(1e-2, 2e-3),
    "interaction_r": Tolerance(5e-2, 5e-3),  # what contexts differ by is a small part of a shift
    "signed_ap@50": Tolerance(4e-2, 2.5e-3),
    "epistasis_r": Tolerance(6e-3, 1.5e-3),
    "epistasis_kept_r": Tolerance(1e-2, 1e-3),
}
#: The same of what a unit moves the mean of a gallery by beyond its own value, of which intervals are made.
INFLUENCE = {"discrimination": Tolerance(KEPT["discrimination"].unit, 1e-2)}
#: The same of facts of a task, which are computed from cells alone. Genes that tie in the published t-test may change
#: places.
FROM_CELLS = {name: Tolerance(EXACT, EXACT) for name in KEPT} | {"legacy_r2_top50": KEPT["legacy_r2_top50"]}
_RECIPROCAL, _TOP, _RANK = Tolerance(0.11, 3e-3), Tolerance(0.21, 6e-3), Tolerance(1e-2, 5e-4)
_BY_DISTANCE = Tolerance(0.2, 3e-3)
#: The same of planning: kept coordinates of candidates are exact to 1/2048 of their root mean square, and where pairs
#: are thousands those of pairs to a tenth of theirs. Where two candidates are as near as that, one of ten bags may find
#: the other: .05 of a reciprocal rank, .1 of a hit. About twice the largest measured on 39 rows of three boards.
PLANS: dict[str, Tolerance] = {
    **{f"e{task}_mrr_{bag}": _RECIPROCAL for task in (1, 2) for bag in ("1", "5", "20", "100", "raw_20")},
    **{f"e{task}_hit{top}_20": _TOP for task in (1, 2) for top in (1, 5, 10)},
    "e1_rank_20": _RANK,
    "e2_rank_20": _RANK,
    "e2_seen_20": _TOP,
    **{name: Tolerance(0.4, 1.2e-2) for name in ("e3_mrr_20", "e3_mrr_raw_20", "e3_hit1_20", "e3_overlap1_20")},
    "e3_hit5_20": Tolerance(0.7, 2e-2),
    "e3_hit10_20": Tolerance(0.7, 4e-2),
    "e3_rank_20": Tolerance(4e-2, 2e-3),
    "e3_overlap10_20": Tolerance(0.12, 5e-3),
    **{f"e4_{what}": _BY_DISTANCE for what in ("regret", "regret_raw", "excess")},
    **{f"e5_{what}": _BY_DISTANCE for what in ("regret", "regret_raw", "excess")},
    **{f"e6_mrr_{calls}": Tolerance(0.4, 1.2e-2) for calls in (10, 50, 200)},
}
_LABEL, _LEAK = Tolerance(0.06, 3e-3), Tolerance(EXACT, 1e-3)
#: Of profiles of wells by label, from embeddings in float16: two wells as near as that may change places in a list, and
#: some labels have a list of five. About twice the largest measured on 89 records of 12 rows.
MATCHED: dict[str, Tolerance] = {
    "map": _LABEL,
    "map_normalised": _LABEL,
    "chance": Tolerance(EXACT, EXACT),
    "published_map": _LABEL,
    "plate_leak": _LEAK,
    "batch_leak": _LEAK,
}
#: The same from the features themselves.
MATCHED_FEATURES = {name: Tolerance(EXACT, EXACT) for name in MATCHED}
_LOOKED_UP, _PROBED, _LABELLED = Tolerance(0.02, 1e-3), Tolerance(0.21, 1e-2), Tolerance(0.05, 2e-2)
_MEASURES = ("top1", "top5", "mrr", "rank")
_POINTS = ("2", "5", "20", "all", "area")
#: Of frozen encoders, from cells alone: latents are single precision, so that another processor has other last digits.
ENCODERS: dict[str, Tolerance] = {
    **{f"{kind}_{of}_{n}": _LOOKED_UP for kind in ("retrieval", "cross_batch") for of in _MEASURES for n in (1, 20)},
    "silhouette_condition": Tolerance(1e-5, 1e-6),
    "probe_heldout_accuracy": _PROBED,
    "probe_heldout_top5": _PROBED,
    "knn_purity": Tolerance(5e-3, 2e-4),
    **{f"across_{kind}_{of}": _LABELLED for kind in ("perturbed", "which") for of in _POINTS},
    **{f"identify_{of}_{n}": _LOOKED_UP for of in _MEASURES for n in (1, 5, 20, 100)},
}
#: The same of numbers of the whole run; all others are counts and chance.
ENCODERS_RUN: dict[str, Tolerance] = {
    **{
        name: Tolerance(0.02, 0.02)
        for name in (
            "probe_seen_accuracy",
            "probe_seen_top5",
            "batch_probe_accuracy",
            "batch_probe_scaled",
            *(f"{kind}_{of}" for kind in ("across_batch", "context") for of in _POINTS),
        )
    },
    "retrieval_mrr_20_shuffled": Tolerance(1e-3, 1e-3),
    **{f"identify_mrr_{n}_same": Tolerance(1e-3, 1e-3) for n in (1, 5, 20, 100)},
    "silhouette_batch": Tolerance(1e-5, 1e-5),
    "effective_rank": Tolerance(1e-5, 1e-5),
}
_FOUND, _HITS = Tolerance(0.15, 1e-2), Tolerance(0.25, 2e-2)
#: Of frozen encoders whose latents are kept, in whole numbers of a tenth to a half of a latent's spread. A cell, or a
#: mean of 20, that is nearly as near to another unit may find that one; probes name some of a unit's cells otherwise.
LATENTS_KEPT: dict[str, Tolerance] = {
    **ENCODERS,
    **{
        f"{kind}_{of}_{n}": _HITS if of.startswith("top") else _FOUND
        for kind, numbers in (("retrieval", (1, 20)), ("cross_batch", (1, 20)), ("identify", (1, 5, 20, 100)))
        for of in _MEASURES
        for n in numbers
    },
    "silhouette_condition": Tolerance(1e-2, 1e-3),
    # Of rounded latents a probe names up to 7 of 80 cells otherwise, and up to four of a unit's ten.
    "probe_heldout_accuracy": Tolerance(0.5, 0.1),
    "probe_heldout_top5": Tolerance(0.5, 0.1),
    "knn_purity": Tolerance(2e-2, 2e-3),
    **{f"across_{kind}_{of}": Tolerance(0.1, 4e-2) for kind in ("perturbed", "which") for of in _POINTS},
}
#: The same of numbers of the whole run.
LATENTS_KEPT_RUN: dict[str, Tolerance] = {
    **{name: Tolerance(0.05, 0.05) for name in ENCODERS_RUN},
    "retrieval_mrr_20_shuffled": Tolerance(1e-2, 1e-2),
    **{f"identify_mrr_{n}_same": Tolerance(1e-2, 1e-2) for n in (1, 5, 20, 100)},
    "silhouette_batch": Tolerance(1e-3, 1e-3),
    "effective_rank": Tolerance(3e-2, 3e-2),
}
_KNOWN = (
    *("mcc_within", "mcc_pooled", "mcc_within_spearman", "mcc_pooled_spearman", "width", "r2_i", "r2_v"),
    *("leak_v", "leak_i", "label_i", "label_v", "mask_f1", "shd", "double_error"),
)
#: Of rows of known latents that follow from the cells: the same numbers added in another order. A cell on the border of
#: two conditions, or a size at a threshold, may fall on either side.
LATENTS = {name: Tolerance(1e-5, 1e-5) for name in _KNOWN} | {
    name: Tolerance(1e-2, 1e-2) for name in ("label_i", "label_v", "mask_f1")
}
_MOMENT = Tolerance(1e-3, 1e-3)
#: Of learned rows of known latents, from moments that are kept as whole numbers: about three times the largest measured
#: on 12 rows. Masks and graphs are kept so that no entry crosses a threshold.
MOMENTS = {name: _MOMENT for name in _KNOWN if name not in ("label_i", "label_v")} | {
    name: Tolerance(EXACT, EXACT) for name in ("width", "shd")
}
#: What the standard deviation over units of shifts' metrics may be off by, in what the mean may be.
SPREAD = 3.0
#: A part of a shift below this share of the whole one is what rounding leaves of none: half of the 64th.
UNRESOLVED = 1.0 / 128


def difference(
    recorded: Mapping[str, Floats],
    computed: Mapping[str, Floats],
    tolerances: Mapping[str, Tolerance],
    unresolved: Mapping[str, Floats] | None = None,
    share: float = 1.0,
    spread: float = np.inf,
) -> tuple[str, int]:
    """Find the metric that is off most.

    Args:
        recorded: Values of units ``[T]``, by metric.
        computed: The same, recomputed.
        tolerances: By metric.
        unresolved: What units have to have whose value cannot be told from what is kept, else NaN, by metric ``[T]``.
        share: How much of each tolerance is allowed.
        spread: What the standard deviation over units may be off by, in what the mean may be.

    Returns:
        What differs, in words (empty = nothing beyond what is tolerated), and how many values were compared.
    """
    worst, most_off, n = "", share, 0
    for name in sorted(set(recorded) & set(computed) & set(tolerances)):
        a, b = recorded[name], computed[name]
        if unresolved and name in unresolved:
            b = np.where(np.isfinite(unresolved[name] + b), unresolved[name], b)
        if not np.isfinite(a).any() and not np.isfinite(b).any():
            continue
        n += int(np.isfinite(a).sum())
        if (odd := np.isfinite(a) != np.isfinite(b)).any():
            if np.isinf(most_off):
                continue
            which = "has no value where one is recorded" if np.isfinite(a[odd][0]) else "has a value where none is"
            worst, most_off = f"{name} {which}, in {int(odd.sum())} of {len(a)} units", np.inf
            continue
        known = np.isfinite(a)
        gap = np.abs(a - b)[known] / np.maximum(1.0, np.abs(a[known]))
        level = max(1.0, abs(float(a[known].mean())))
        mean = abs(float(a[known].mean() - b[known].mean())) / level
        # Intervals are made of the spread: many small changes that leave the mean as it is would narrow them.
        apart = abs(float(a[known].std() - b[known].std())) / level
        allowed = tolerances[name]
        for what, off, most in (
            (f"{int((gap > allowed.unit).sum())} units: one of {name}", float(gap.max()), allowed.unit),
            (f"the mean of {name}", mean, allowed.mean),
            (f"the spread of {name} over units", apart, spread * allowed.mean),
        ):
            if off / most > most_off:
                worst, most_off = f"{what} is off by {off:.2g}, where {most:g} is tolerated", off / most
    return worst, n
