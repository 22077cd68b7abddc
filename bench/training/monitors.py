"""What is watched while a representation is learned: collapse, and how much of a cell it keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from bench.core.errors import BenchError
from bench.data.datamodule import PerturbationDataModule
from bench.nn.ema import update
from bench.training.embedding import Cells, Decoded, Singles, decodable, embed_rows, spread_rows

#: Train cells that the decoder of a look is fitted on, val cells that it is tried on, and controls.
FIT_CELLS, HELD_CELLS, CONTROLS = 3_000, 1_500, 500
#: A representation has collapsed when its effective rank is under this share of its width in ``PATIENCE`` looks.
MIN_RANK_SHARE = 0.05
#: Narrow representations have collapsed below this: one dimension, and noise.
MIN_RANK = 1.05
PATIENCE = 3


class EMATeacher(Callback):
    """Average the student's weights into the teacher after every optimiser step.

    The teacher is a submodule of the model, so its weights are in every checkpoint.

    Args:
        momentum: Share of the teacher that stays.
    """

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Update the teacher."""
        update(pl_module.teacher, pl_module.student, self.momentum)


def effective_rank(z: Singles) -> float:
    """Exponential of the entropy of the normalised singular values of centred latents ``[N, D]``; 1 to D.

    Source: Roy and Vetterli 2007.
    """
    s = np.linalg.svd(z.astype(np.float64) - z.mean(axis=0), compute_uv=False)
    if s.sum() <= 1e-12:
        return 1.0
    p = s / s.sum()
    return float(np.exp(-(p * np.log(np.maximum(p, 1e-300))).sum()))


def mean_cosine(z: Singles) -> float:
    """Mean cosine between different cells' latents ``[N, D]``; 1 = all cells look alike."""
    unit = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
    n = len(unit)
    return float(((unit.sum(axis=0, dtype=np.float64) ** 2).sum() - n) / max(n * (n - 1), 1))


class Monitor(Callback):
    """Looks at held-out cells' latents: cells, not tokens, whose differences between genes would hide a collapse.

    As a callback it only keeps, in the checkpoint, how many looks in a row found a collapse.

    Args:
        encoder: The encoder whose weights will be frozen.
        student: The encoder that is trained.
        datamodule: The task; val cells are looked at, or a tenth of the train cells where there are none.

    Attributes:
        of: What is decoded, in words.
        decoded: What the last look decoded.
    """

    def __init__(self, encoder: nn.Module, student: nn.Module, datamodule: PerturbationDataModule) -> None:
        self.encoder, self.student, self.x = encoder, student, datamodule.dataset.x
        rows = spread_rows(datamodule.representation_rows("train"), FIT_CELLS + HELD_CELLS, datamodule.seed)
        held = spread_rows(datamodule.representation_rows("val"), HELD_CELLS, datamodule.seed)
        self.of = "val shifts"
        if not len(held):
            self.of = "shifts of held-out train cells"
            perturbed = np.setdiff1d(rows, datamodule.control_rows)
            held = perturbed[::10] if len(perturbed) else rows[::10]
            rows = np.setdiff1d(rows, held)
        self.rows, self.held = spread_rows(rows, FIT_CELLS, datamodule.seed), held
        self.controls = spread_rows(datamodule.control_rows, CONTROLS, datamodule.seed)
        self.condition = np.unique(datamodule.dataset.condition[held], return_inverse=True)[1].astype(np.int64)
        self.low = 0
        self.decoded: Decoded | None = None
        self.last: dict[str, float] = {}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"low": self.low}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.low = int(state_dict["low"])

    def _cells(self, rows: Any) -> Cells:
        return self._latents(self.encoder, rows), self.x[rows]

    def _latents(self, module: nn.Module, rows: Any) -> Singles:
        training = module.training
        module.eval()
        device = next(module.parameters(), torch.empty(0)).device
        z = embed_rows(lambda cells: module(cells.to(device)).pooled, self.x, rows)
        module.train(training)
        return z

    def look(self) -> float:
        """Measure; return the share of held-out cells' shifts that is *not* decodable, by which the step is chosen.

        Raises:
            BenchError: If the representation has collapsed.
        """
        cells = self._cells(self.held)
        held = cells[0]
        decoded = decodable(self._cells(self.rows), self._cells(self.controls), cells, self.condition)
        self.decoded = decoded
        rank, spread = effective_rank(held), float(held.std(axis=0).mean())
        self.last = {
            "decodable_shifts": decoded.by_shift,
            "decodable_cells": decoded.by_cell,
            "latent_sd": spread,
            "effective_rank": rank,
            "mean_cosine": mean_cosine(held),
            "teacher_distance": float(np.linalg.norm(held - self._latents(self.student, self.held), axis=1).mean()),
        }
        least = max(MIN_RANK_SHARE * held.shape[1], MIN_RANK)
        self.low = self.low + 1 if rank < least or spread < 1e-6 else 0
        if self.low >= PATIENCE:
            raise BenchError(
                f"the representation has collapsed: effective rank {rank:.1f} of {held.shape[1]} over held-out cells, "
                f"{PATIENCE} looks in a row (mean cosine {self.last['mean_cosine']:.3f}). Lower the learning rate, or "
                "raise the weights of the variance and covariance terms."
            )
        # Shifts of latents and of expression start from the same controls. Halves of them chose the same step on
        # norman_slice with 50 (mae and jepa, one seed): left as it is.
        return 1 - decoded.by_shift
