"""A model with a frozen encoder, asked in its own latents: of query cells, and of what it predicts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.core.units import Unit
from bench.data.datamodule import PerturbationDataModule
from bench.models.base import PerturbationModel
from bench.models.encoder_model import EncoderModel
from bench.results.latents import OwnLatents
from bench.training.embedding import embed_rows

#: Control cells that latents are predicted from, the same for all candidates; and cells of a train unit that the mean
#: shift is taken from.
START_CELLS, TRAIN_CELLS = 32, 64


def own_latents(
    model: PerturbationModel, module: PerturbationDataModule, rows: NDArray[np.int64], units: Sequence[Unit]
) -> OwnLatents | None:
    """Encode cells without their labels, and predict latents of units.

    Args:
        model: Fitted.
        module: The task, and the units.
        rows: Cells that are encoded, sorted.
        units: Units whose latents are predicted.

    Returns:
        None of a model without latents of single cells: a closed form; one that has to be told the perturbation of a
        cell to encode it; one that knows latents of given cells only.
    """
    if not isinstance(model, EncoderModel) or not model.maker.encodes_any:
        return None
    data, shifts = module.dataset, dict[Unit, Floats]()
    for context, cells in enumerate(module.input_rows):
        here = [unit for unit in units if unit.context == data.contexts[context]]
        if here:
            controls = torch.from_numpy(data.x[cells[:START_CELLS]].toarray()).to(model.device)
            asked = [data.conditions.index(unit.perturbation) for unit in here]
            moved = model.latent_shifts(controls, asked, context).double().cpu().numpy()
            shifts |= dict(zip(here, moved, strict=True))
    encoded = embed_rows(model.own_latents, data.x, rows)
    return OwnLatents(rows, encoded.astype(np.float64), shifts, _centre(model, module))


def _centre(model: EncoderModel, module: PerturbationDataModule) -> Floats:
    """Mean over train units of how far they are from the input cells of their context ``[D]``."""
    data = module.dataset

    def mean(rows: NDArray[np.int64]) -> Floats:
        return np.asarray(embed_rows(model.own_latents, data.x, rows).mean(axis=0, dtype=np.float64))

    start = {context: mean(rows) for context, rows in zip(data.contexts, module.input_rows, strict=True) if len(rows)}
    train = [unit for unit in module.task.units_of("train") if unit.context in start]
    return np.asarray(
        np.mean([mean(data.unit_rows(unit)[:TRAIN_CELLS]) - start[unit.context] for unit in train], axis=0)
    )
