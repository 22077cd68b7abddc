"""Which cells a representation is judged by while it is learned, and by which a width may be chosen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bench.data.datamodule import PerturbationDataModule
from bench.training.embedding import Rows, spread_rows

#: Train cells that the decoder of a look is fitted on, val cells that it is tried on, and controls.
FIT_CELLS, HELD_CELLS, CONTROLS = 3_000, 1_500, 500


class Looked(NamedTuple):
    """Cells that are looked at.

    Attributes:
        of: What is decoded, in words.
        fit: Rows that scale and decoder are fitted on.
        held: Rows whose shifts are decoded.
        controls: Rows of input controls.
        condition: Condition of each held row, numbered from 0.
        start: Group of each held row, and of each control: shifts start from the controls of their own group.
    """

    of: str
    fit: Rows
    held: Rows
    controls: Rows
    condition: Rows
    start: tuple[Rows, Rows]


def looked_at(datamodule: PerturbationDataModule) -> Looked:
    """Draw them: val cells, or a tenth of the train cells where there are none."""
    rows = spread_rows(datamodule.representation_rows("train"), FIT_CELLS + HELD_CELLS, datamodule.seed)
    held = spread_rows(datamodule.representation_rows("val"), HELD_CELLS, datamodule.seed)
    of = "val shifts"
    if not len(held):
        of = "shifts of held-out train cells"
        perturbed = np.setdiff1d(rows, datamodule.control_rows)
        held = perturbed[::10] if len(perturbed) else rows[::10]
        rows = np.setdiff1d(rows, held)
    controls = spread_rows(datamodule.control_rows, CONTROLS, datamodule.seed)
    start = _starts(datamodule, held, controls)
    if len(np.unique(start[0])) > 1:
        of = f"{of}, each from its batch's controls"
    return Looked(
        of,
        spread_rows(rows, FIT_CELLS, datamodule.seed),
        held,
        controls,
        np.unique(datamodule.dataset.condition[held], return_inverse=True)[1].astype(np.int64),
        start,
    )


def _starts(datamodule: PerturbationDataModule, held: Rows, controls: Rows) -> tuple[Rows, Rows]:
    """What shifts start from: all controls, as predicted shifts do; without any label, those of the same batch.

    Where nothing is labelled, each held row is a condition of its own and lies in one batch. From all controls its
    shift would hold the batch's effect, and who keeps the batch would be chosen.
    """
    batch = datamodule.dataset.batch
    if not datamodule.split.train and batch is not None:
        own, theirs = batch[held].astype(np.int64), batch[controls].astype(np.int64)
        if np.isin(own, theirs).all():
            return own, theirs
    return np.zeros(len(held), np.int64), np.zeros(len(controls), np.int64)
