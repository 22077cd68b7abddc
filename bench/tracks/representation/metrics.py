"""What the protocol reports: numbers with a value per unit, numbers of a whole run, and how they are read.

A unit is a perturbation in a context; with one context it is a condition. "Units" below are those of the test
conditions that have enough cells. Nothing here computes anything: see :mod:`bench.tracks.representation.protocol`.
"""

from __future__ import annotations

from bench.core.track import Better, MetricInfo
from bench.tracks.representation import across_metrics
from bench.tracks.representation.across_metrics import ACROSS

#: Changes when the same encoder and cells would give other numbers.
VERSION = 2
#: What rows are sorted and ranked by: retrieval by means of 20 cells.
PRIMARY = "retrieval_mrr_20"

_HERE = "this benchmark"
_AUDIT = "this benchmark; the CellJEPA audit prints such numbers without defining them, so compare the shape only"
_COUNT = (0.0, float("inf"))

#: Measures of a retrieval: better end, formula, and what a random order of n entries gives.
_MEASURES: dict[str, tuple[Better, str, str]] = {
    "top1": ("high", "share of queries whose own entry is first", "1 / n"),
    "top5": ("high", "share of queries whose own entry is among the first five", "min(1, 5 / n)"),
    "mrr": ("high", "mean over queries of 1 / rank of the own entry", "(1 + 1/2 + ... + 1/n) / n"),
    "rank": (
        "low",
        "(rank of the own entry - 1) / (n - 1); median over a unit's queries, then mean over halvings",
        "1 / 2",
    ),
}
_TIED = "tied entries count by their mean over all orders, so that a constant embedding is exactly at chance"


def _retrieval(name: str, split: str, trap: str) -> dict[str, MetricInfo]:
    cells = {1: "single cells", 20: "means of 20 cells"}
    return {
        f"{name}_{measure}_{n}": MetricInfo(
            name=f"{name}_{measure}_{n}",
            better=better,
            range=(0.0, 1.0),
            formula=f"queries = {of}, entries = means of the units' other cells ({split}), cosine: {formula}",
            source=_AUDIT,
            trap=f"{trap}; {_TIED}",
            chance_text=f"{chance}, for n units",
        )
        for n, of in cells.items()
        for measure, (better, formula, chance) in _MEASURES.items()
    }


_HALVES = "20 random halvings of each unit, stratified by batch"
_BATCHES = "20 random halvings of the batches, the same for all units"

#: Numbers with a value per unit, by name.
METRICS: dict[str, MetricInfo] = {
    **_retrieval("retrieval", _HALVES, "batch effects are shared by both halves and help: compare with cross_batch"),
    **_retrieval(
        "cross_batch",
        _BATCHES,
        "no entry shares a batch with its query; a unit counts in halvings where both sides hold 5 of its cells",
    ),
    "silhouette_condition": MetricInfo(
        name="silhouette_condition",
        better="high",
        range=(-1.0, 1.0),
        formula="mean over a unit's cells of (b - a) / max(a, b): a, b = mean cosine distance to own and nearest unit",
        source="Rousseeuw 1987; sklearn.metrics.silhouette_samples",
        trap="mostly negative on real data, where units overlap: compare rows, not signs; cells at no distance get 0",
        chance_text="0 for a constant embedding",
    ),
    "probe_heldout_accuracy": MetricInfo(
        name="probe_heldout_accuracy",
        better="high",
        range=(0.0, 1.0),
        formula="recall of each unit by logistic regression on embeddings, fitted and reported on different cells",
        source="sklearn.linear_model.LogisticRegression",
        trap="its strength is chosen on a third set of cells; whole batches are kept apart where a unit has 3",
        chance_text="1 / n, for n units",
    ),
    "probe_heldout_top5": MetricInfo(
        name="probe_heldout_top5",
        better="high",
        range=(0.0, 1.0),
        formula="share of each unit's cells that have it among the five likeliest of the same regression",
        source="sklearn.linear_model.LogisticRegression",
        trap="tied scores count by their chance",
        chance_text="min(1, 5 / n), for n units",
    ),
    "knn_purity": MetricInfo(
        name="knn_purity",
        better="high",
        range=(0.0, 1.0),
        formula="mean over a unit's cells of the share of their 15 nearest neighbours that are of the unit (cosine)",
        source=_HERE,
        trap="cells of the query's own batch are no neighbours; with one batch, only the cell itself is none",
        chance_text="the unit's share of the cells that could be neighbours",
    ),
    **ACROSS,
}


def _number(
    name: str,
    formula: str,
    trap: str = "",
    better: Better = "none",
    span: tuple[float, float] = (0.0, 1.0),
    source: str = _HERE,
    chance: str = "",
) -> MetricInfo:
    return MetricInfo(
        name=name,
        better=better,
        range=span,
        formula=formula,
        source=source,
        trap=trap,
        chance_text=chance,
        ranked=False,
    )


_LOGISTIC = "sklearn.linear_model.LogisticRegression"
_SEEN = "the same for train conditions: cells that the encoder may have been trained on"
_CONTROLS = "control cells, five-fold logistic regression of their batch on embeddings"

_NUMBERS = (
    *(
        _number(f"{kind}_{measure}_chance", f"expected {measure} of a random order: {chance}", "mean over units")
        for kind in ("retrieval", "cross_batch")
        for measure, (_, _, chance) in _MEASURES.items()
    ),
    _number(
        "retrieval_mrr_20_shuffled",
        "retrieval_mrr_20 once labels are permuted within batch",
        "must be at chance: above it, something other than the perturbation is recognised",
        chance="retrieval_mrr_chance",
    ),
    _number("cross_batch_n_conditions", "mean number of units in a halving of the batches", span=_COUNT),
    _number(
        "silhouette_batch",
        "silhouette as of silhouette_condition, with batches in place of units; mean over batches",
        "high where batches lie apart",
        better="low",
        span=(-1.0, 1.0),
        source="Rousseeuw 1987; sklearn.metrics.silhouette_samples",
    ),
    _number("probe_heldout_majority", "accuracy of always naming one unit: 1 / n"),
    _number("probe_heldout_top5_majority", "the same for five units: min(1, 5 / n)"),
    _number(
        "probe_seen_accuracy",
        f"mean recall of probe_heldout_accuracy; {_SEEN}",
        "no measure of generalisation",
        "high",
        source=_LOGISTIC,
        chance="probe_seen_majority",
    ),
    _number(
        "probe_seen_top5",
        f"as probe_heldout_top5; {_SEEN}",
        "no measure of generalisation",
        "high",
        source=_LOGISTIC,
        chance="probe_seen_top5_majority",
    ),
    _number("probe_seen_majority", "accuracy of always naming one train condition: 1 / n"),
    _number("probe_seen_top5_majority", "the same for five conditions: min(1, 5 / n)"),
    _number(
        "batch_probe_accuracy",
        f"share right: {_CONTROLS}",
        "controls only: perturbations cannot help",
        "low",
        source=_LOGISTIC,
        chance="batch_probe_majority",
    ),
    _number("batch_probe_majority", "share of the largest batch among these controls"),
    _number(
        "batch_probe_scaled",
        "(accuracy - majority) / (1 - majority)",
        "negative = worse than the largest batch",
        "low",
        span=(-float("inf"), 1.0),
        source=_LOGISTIC,
        chance="0",
    ),
    _number("knn_purity_chance", "mean over units of their share of the cells that could be neighbours"),
    _number(
        "effective_rank",
        "exp(entropy of the singular values' shares) of the standardised embeddings",
        "1 = collapsed onto a line; noise alone gives the full width, so that high is not good by itself",
        span=(1.0, float("inf")),
        source="Roy and Vetterli 2007",
    ),
    _number("width", "dimensions of the embedding", span=_COUNT),
    _number("n_conditions", "units that are looked at", span=_COUNT),
    _number("n_conditions_left_out", "units with too few cells", span=_COUNT),
    _number("n_cells", "perturbed cells that are looked at", span=_COUNT),
    _number("n_controls", "reference controls that are looked at", span=_COUNT),
    _number("n_batches", "batches of these cells; batches of two contexts are different ones", span=_COUNT),
)
#: Numbers of a whole run, by name.
NUMBERS: dict[str, MetricInfo] = {**{info.name: info for info in _NUMBERS}, **across_metrics.NUMBERS}

_RETRIEVED = tuple(f"{measure}_{n}" for n in ("1", "20", "chance") for measure in _MEASURES)
#: Every number, in the order of the CSV's columns.
NAMES = (
    *(f"retrieval_{name}" for name in _RETRIEVED),
    "retrieval_mrr_20_shuffled",
    *(f"cross_batch_{name}" for name in (*_RETRIEVED, "n_conditions")),
    "silhouette_condition",
    "silhouette_batch",
    *(f"probe_{of}_{name}" for of in ("heldout", "seen") for name in ("accuracy", "top5", "majority", "top5_majority")),
    "batch_probe_accuracy",
    "batch_probe_majority",
    "batch_probe_scaled",
    "knn_purity",
    "knn_purity_chance",
    "effective_rank",
    "width",
    "n_conditions",
    "n_conditions_left_out",
    "n_cells",
    "n_controls",
    "n_batches",
    *ACROSS,
    *across_metrics.NUMBERS,
)
#: Which number is the chance level of which.
CHANCE = {
    **{
        f"{kind}_{measure}_{n}": f"{kind}_{measure}_chance"
        for kind in ("retrieval", "cross_batch")
        for measure in _MEASURES
        for n in (1, 20)
    },
    "retrieval_mrr_20_shuffled": "retrieval_mrr_chance",
    **{
        f"probe_{of}_{name}": f"probe_{of}_{chance}"
        for of in ("heldout", "seen")
        for name, chance in (("accuracy", "majority"), ("top5", "top5_majority"))
    },
    "batch_probe_accuracy": "batch_probe_majority",
    "knn_purity": "knn_purity_chance",
    **across_metrics.CHANCE,
}
