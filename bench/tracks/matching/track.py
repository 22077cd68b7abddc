"""The track that asks whether replicates, targets and modalities are matched by profiles of wells."""

from __future__ import annotations

from bench.core.track import Column, Track
from bench.tracks.matching.metrics import METRICS, NUMBERS, PRIMARY, VERSION

TRACK = Track(
    name="matching",
    verb="profiles",
    question="Do profiles of wells find their replicates, and those of the same target?",
    suffix="__profiles",
    file="profiles",
    takes="profiles",
    statuses=True,
    folds=(0,),
    version=VERSION,
    metrics=METRICS,
    numbers=tuple(NUMBERS),
    primary=PRIMARY,
    baseline="",
    floor_text="0: a random order of a profile's pairs",
    ceiling_text="1: every profile finds all of its partners before any other",
    columns=(
        Column("mAP*", PRIMARY, meaning="Mean average precision between chance (0) and perfect (1)."),
        Column("mAP", "map", meaning="Mean average precision over the labels of the design."),
        Column("found", "retrieved", meaning="Share of the labels of the design with q below the threshold."),
        Column("mAP pub.", "published_map", meaning="Mean average precision over the labels that the gate leaves."),
        Column("found pub.", "published_fraction", meaning="Share of these that are found."),
        Column("plate", "plate_leak", meaning="How well controls find those of their plate; 0 = not at all."),
    ),
    legend=(
        "Look first at mAP*: 0 = a random order, 1 = perfect, over all labels of the design (± 95% over perturbations "
        "or targets). 'pub.' is what the published scripts print, over the labels that the gate leaves: others in "
        "every row. plate: how well negative controls find those of their own plate, which should be 0."
    ),
)
