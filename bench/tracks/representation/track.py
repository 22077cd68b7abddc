"""The track that asks whether a frozen encoder recognises a cell's perturbation."""

from __future__ import annotations

from bench.core.track import Column, MetricInfo, Track
from bench.tracks.representation.protocol import CHANCE, NAMES, PRIMARY, VERSION

_HERE = "this benchmark"
_LOW = ("silhouette_batch", "batch_probe", "retrieval_rank", "cross_batch_rank")
#: Numbers that are means over conditions.
_BY_UNIT = tuple(
    name
    for name in NAMES
    if (name in CHANCE and name.startswith(("retrieval_", "cross_batch_")) and not name.endswith("_shuffled"))
    or name in ("silhouette_condition", "knn_purity")
)


def _info(name: str) -> MetricInfo:
    return MetricInfo(
        name=name,
        better="low" if name.startswith(_LOW) else "high",
        range=(-1.0, 1.0) if name.startswith("silhouette") else (0.0, 1.0),
        formula="see bench.tracks.representation",
        source=_HERE,
        trap="batch effects help as long as cells of one batch are compared: see cross_batch",
        chance_text=CHANCE.get(name, ""),
    )


TRACK = Track(
    name="representation",
    verb="frozen",
    suffix="__frozen",
    file="frozen",
    version=VERSION,
    metrics={name: _info(name) for name in _BY_UNIT},
    numbers=tuple(name for name in NAMES if name not in _BY_UNIT),
    primary=PRIMARY,
    floor="",
    floor_text="chance: the own condition stands anywhere among all",
    ceiling_text="every mean of 20 cells finds the other half of its own condition first",
    columns=(
        Column("MRR", "retrieval_mrr_20", meaning="How soon a mean of 20 cells finds the other half of its condition."),
        Column("x-batch", "cross_batch_mrr_20", meaning="The same across batches."),
        Column("sil.", "silhouette_condition", meaning="How far cells of a condition lie from other conditions."),
        Column("kNN", "knn_purity", meaning="Share of a cell's nearest neighbours that are of its condition."),
    ),
)
