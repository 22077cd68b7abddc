"""The track that asks whether a model's latents are the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.core.track import Column, Track
from bench.tracks.identifiability.metrics import METRICS, NUMBERS, PRIMARY, VERSION

if TYPE_CHECKING:
    import pandas as pd

    from bench.results.records import Record


def _board(records: Sequence[Record]) -> pd.DataFrame:
    """The board with its intervals over data seeds; statistics are not imported before one is made."""
    from bench.tracks.identifiability import claim

    return claim.table(records)


TRACK = Track(
    name="identifiability",
    verb="identify",
    question="Are a model's latents the true ones?",
    suffix="__identify",
    file="identify",
    takes="latents",
    folds=(0,),
    version=VERSION,
    metrics=METRICS,
    numbers=NUMBERS,
    primary=PRIMARY,
    baseline="",
    floor_text="0: latents drawn at random",
    ceiling_text="1: the true latents, in any order and scale",
    columns=(
        Column("MCC", PRIMARY, meaning="Correlation of true latents and their matches within a perturbation's cells."),
        Column("pooled", "mcc_pooled", meaning="The same over all cells, where the perturbation's mean counts too."),
        Column("R2 i", "r2_i", meaning="How much of the latents that nothing moves is in the invariant block."),
        Column("R2 v", "r2_v", meaning="How much of the latents that perturbations move is in the other."),
        Column("leak", "leak_v", meaning="How much of these is in the invariant block, which should be 0."),
        Column("mask", "mask_f1", meaning="F1 of which latents each perturbation hits."),
        Column("SHD", "shd", meaning="Wrong edges of the causal graph.", optional=True),
        Column("2x", "double_error", meaning="Error of predicted shifts of doubles; 1 = nothing.", optional=True),
    ),
    board=_board,
    legend=(
        "Look first at MCC, within conditions, against true_regression (what can be read), random_rotation (all of the "
        "information and no axis) and noise (0); pooled, a look-up of the perturbation does well. Intervals: t over "
        "data seeds, training seeds averaged within each. No row is wider than the truth."
    ),
)
