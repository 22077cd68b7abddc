"""What is reported across contexts, where a split holds some out: how each number is read.

Nothing here computes anything: see :mod:`bench.tracks.representation.few_labels` and
:mod:`bench.tracks.representation.identify`.
"""

from __future__ import annotations

from bench.core.track import Better, MetricInfo

#: Labels per class and source context; after them, all.
LABELS = (2, 5, 20)
#: Points of a label curve, and the area under it.
POINTS = (*map(str, LABELS), "all", "area")
#: Cells of a bag; fewer where half of a unit has fewer.
BAGS = (1, 5, 20, 100)

_HERE = "this benchmark"
_LOGISTIC = "sklearn.linear_model.LogisticRegression"
_UNSEEN = "only where contexts are held out; the strength of the penalty is chosen on validation contexts"
_WITH = {
    "all": "all labels (fewer where there are very many)",
    "area": "area under the curve over log2 of the number of labels",
}
_MEASURES: dict[str, tuple[Better, str, str]] = {
    "top1": ("high", "share of bags whose own perturbation is first", "1 / C"),
    "top5": ("high", "share of bags whose own perturbation is among the first five", "min(1, 5 / C)"),
    "mrr": ("high", "mean over bags of 1 / rank of the own perturbation", "(1 + 1/2 + ... + 1/C) / C"),
    "rank": ("low", "median over a unit's bags of (rank of the own perturbation - 1) / (C - 1)", "1 / 2"),
}


def _labels(point: str) -> str:
    return _WITH.get(point, f"{point} labels") + " per class and source context"


ACROSS: dict[str, MetricInfo] = {
    **{
        f"across_perturbed_{point}": MetricInfo(
            name=f"across_perturbed_{point}",
            better="high",
            range=(0.0, 1.0),
            formula=f"a unit's cells against unseen controls of its context, balanced accuracy of perturbed or not by "
            f"logistic regression on source contexts: {_labels(point)}",
            source=_LOGISTIC,
            trap=f"{_UNSEEN}; where treated and control cells are different libraries, these are told apart too",
            chance_text="1 / 2",
        )
        for point in POINTS
    },
    **{
        f"across_which_{point}": MetricInfo(
            name=f"across_which_{point}",
            better="high",
            range=(0.0, 1.0),
            formula=f"share of a unit's cells whose perturbation is named by logistic regression on source contexts: "
            f"{_labels(point)}",
            source=_LOGISTIC,
            trap=f"{_UNSEEN}; null with fewer than two perturbations in common",
            chance_text="1 / K, for K perturbations in common",
        )
        for point in POINTS
    },
    **{
        f"identify_{measure}_{n}": MetricInfo(
            name=f"identify_{measure}_{n}",
            better=better,
            range=(0.0, 1.0),
            formula=f"queries = mean latent of bags of {n} cells less that of their context's input controls, "
            f"entries = the same differences in source contexts, averaged over these, cosine: {formula}",
            source=_HERE,
            trap="a bag holds at most half of a unit's cells; tied entries count by their mean over all orders; null "
            "with fewer than two perturbations in common",
            chance_text=f"{chance}, for C perturbations in common",
        )
        for n in BAGS
        for measure, (better, formula, chance) in _MEASURES.items()
    },
}


def _number(name: str, formula: str, better: Better = "none", trap: str = "", chance: str = "") -> MetricInfo:
    return MetricInfo(
        name=name,
        better=better,
        range=(0.0, float("inf")) if name.startswith("n_") or name.endswith("_labels") else (0.0, 1.0),
        formula=formula,
        source=_LOGISTIC if name.startswith(("across", "context")) else _HERE,
        trap=trap,
        chance_text=chance,
        ranked=False,
    )


_NUMBERS = (
    *(
        _number(
            f"across_batch_{point}",
            f"balanced accuracy of the batch (donor) of unseen controls of held-out contexts: {_labels(point)}",
            "low",
            "should not be readable; null where source and target contexts have no two batches in common",
            "across_batch_chance",
        )
        for point in POINTS
    ),
    *(
        _number(
            f"context_{point}",
            f"balanced accuracy of the context (cell type) of unseen controls of source contexts: {_labels(point)}",
            "high",
            "within source contexts: a context that is held out has no label",
            "context_chance",
        )
        for point in POINTS
    ),
    _number("across_perturbed_chance", "balanced accuracy of a guess: 1 / 2"),
    _number("across_which_chance", "accuracy of a guess: 1 / K"),
    _number("across_batch_chance", "accuracy of a guess: 1 / batches in common"),
    _number("context_chance", "accuracy of a guess: 1 / source contexts"),
    _number("across_perturbed_labels", "labels per class and source context in across_perturbed_all"),
    _number("across_which_labels", "labels per class and source context in across_which_all"),
    *(
        _number(f"identify_{measure}_chance", f"expected {measure} of a random order: {chance}")
        for measure, (_, _, chance) in _MEASURES.items()
    ),
    *(
        _number(
            f"identify_mrr_{n}_same",
            f"identify_mrr_{n} with a gallery of the other halves of the units of the same context",
            "high",
            "what the cells of the context itself allow: a ceiling",
            "identify_mrr_chance",
        )
        for n in BAGS
    ),
    _number("n_source_contexts", "contexts that probes and galleries learn from"),
    _number("n_target_contexts", "contexts that are held out and asked"),
)
#: Numbers of a whole run, by name.
NUMBERS: dict[str, MetricInfo] = {info.name: info for info in _NUMBERS}
#: Which number is the chance level of which.
CHANCE = {
    **{f"{kind}_{p}": f"{kind}_chance" for kind in ("across_perturbed", "across_which") for p in POINTS},
    **{f"{kind}_{p}": f"{kind}_chance" for kind in ("across_batch", "context") for p in POINTS},
    **{f"identify_{measure}_{n}": f"identify_{measure}_chance" for measure in _MEASURES for n in BAGS},
}
