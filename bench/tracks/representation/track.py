"""The track that asks whether a perturbation is recognised from a frozen encoder's embeddings of its cells."""

from __future__ import annotations

from bench.core.track import Column, Track
from bench.tracks.representation.metrics import METRICS, NUMBERS, PRIMARY, VERSION

TRACK = Track(
    name="representation",
    verb="frozen",
    question="What do frozen encoders tell of cells of held-out conditions?",
    suffix="__frozen",
    file="frozen",
    takes="encoder",
    folds=(0,),
    version=VERSION,
    metrics=METRICS,
    numbers=tuple(NUMBERS),
    number_info=NUMBERS,
    primary=PRIMARY,
    baseline="",
    floor_text="chance: the own unit stands anywhere among all units (retrieval_mrr_chance)",
    ceiling_text="1: every mean of 20 cells finds the other half of its own unit first",
    columns=(
        Column("MRR", PRIMARY, meaning="How soon a mean of 20 cells finds the other half of its own condition."),
        Column("top-1", "retrieval_top1_20", meaning="How often it finds it first."),
        Column("top-5", "retrieval_top5_20", meaning="How often it finds it among the first five."),
        Column("1 cell", "retrieval_mrr_1", meaning="MRR where single cells look."),
        Column("x-batch", "cross_batch_mrr_20", meaning="MRR where no entry shares a batch with its query."),
        Column("sil.", "silhouette_condition", meaning="How far cells of a condition lie from other conditions."),
        Column("batch", "silhouette_batch", meaning="How far cells of a batch lie from other batches; low is better."),
        Column("probe", "probe_heldout_accuracy", meaning="Share of cells whose condition a linear probe names."),
        Column("leak", "batch_probe_scaled", meaning="How well a linear probe names the batch of controls; 0 = not."),
        Column("kNN", "knn_purity", meaning="Share of a cell's 15 nearest neighbours that are of its condition."),
    ),
    legend=(
        "Look first at MRR (means of 20 cells look for the other half of their condition; ± 95% over conditions) "
        "against pca, random and chance; shuffled must be at chance. Rows that share a rank cannot be told apart. "
        "x-batch: across batches. sil. (by condition; batch: by batch) is mostly negative on real data: compare rows, "
        "not signs. leak: how well the batch of control cells is predicted, 0 = not at all."
    ),
    notes=(
        "CellJEPA audit: top-1 .0053 vs .0074, top-5 .0239 vs .0336, silhouette -.1893 vs -.1290. Chance depends on "
        "the number of conditions, and its retrieval is not defined: compare the shape only, not the numbers.",
    ),
)
