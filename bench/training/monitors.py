"""What is watched while a representation is learned: collapse, and how much of a cell it keeps.

A look decides which step is kept; what is watched beside it (RankMe, LiDAR, probes) decides nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from bench.core.errors import BenchError
from bench.data.datamodule import PerturbationDataModule
from bench.nn.ema import update
from bench.nn.masking import exact_mask
from bench.training.embedding import Cells, Decoded, Singles, decodable, embed_rows, spread_rows
from bench.training.looked import looked_at
from bench.training.objective import MASK
from bench.training.probe import Probe
from bench.training.ranks import effective_rank, lidar, mean_cosine, rankme

#: A representation has collapsed when its effective rank is under this share of its width in ``PATIENCE`` looks.
MIN_RANK_SHARE = 0.05
#: Narrow representations have collapsed below this: one dimension, and noise.
MIN_RANK = 1.05
PATIENCE = 3
#: LiDAR's surrogate classes and the views in each (published: 1,000 and 50, which would cost more than the training).
SURROGATES, VIEWS = 256, 8


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


class Monitor(Callback):
    """Looks at held-out cells' latents: cells, not tokens, whose differences between genes would hide a collapse.

    As a callback it only keeps, in the checkpoint, how many looks in a row found a collapse.

    Args:
        encoder: The encoder whose weights will be frozen.
        student: The encoder that is trained.
        datamodule: The task; val cells are looked at, or a tenth of the train cells where there are none.
        mask: Share of genes hidden in the views that LiDAR compares.

    Attributes:
        of: What is decoded, in words.
        decoded: What the last look decoded.
    """

    def __init__(
        self, encoder: nn.Module, student: nn.Module, datamodule: PerturbationDataModule, mask: float = MASK
    ) -> None:
        self.encoder, self.student, self.x = encoder, student, datamodule.dataset.x
        self.mask, self.seed = mask, datamodule.seed
        self.of, self.rows, self.held, self.controls, self.condition, self.start = looked_at(datamodule)
        self.surrogates = spread_rows(self.held, SURROGATES, datamodule.seed)
        self.probe = Probe(datamodule.dataset, self.rows, self.controls, self.held, datamodule.seed)
        self.seen: dict[str, Singles] = {}
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
        cells, fit, control = self._cells(self.held), self._cells(self.rows), self._cells(self.controls)
        held = cells[0]
        self.seen = {"fit": fit[0], "control": control[0], "held": held}
        decoded = decodable(fit, control, cells, self.condition, self.start)
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

    def watch(self) -> dict[str, float]:
        """Measure what decides nothing, at the weights of the last look; names as they are logged.

        RankMe and LiDAR of held-out cells, and linear probes for labels (:class:`bench.training.probe.Probe`). LiDAR's
        classes are held-out cells, each by views that hide other genes; the same views at every look.
        """
        seen = self.seen
        numbers = {"monitor/rankme": rankme(seen["held"])}
        if len(self.surrogates) > 1:
            numbers["monitor/lidar"] = lidar(self._views())
        found = self.probe(np.concatenate([seen["fit"], seen["control"], seen["held"]]))
        return numbers | {f"online_probe/{target}": accuracy for target, accuracy in found.items()}

    @torch.no_grad()
    def _views(self) -> Singles:
        """Latents of masked views ``[classes, views, D]``."""
        training, device = self.encoder.training, next(self.encoder.parameters(), torch.empty(0)).device
        generator = torch.Generator().manual_seed(self.seed)
        cells = torch.from_numpy(self.x[self.surrogates].toarray())
        self.encoder.eval()
        drawn = (exact_mask(len(cells), cells.shape[1], self.mask, generator) for _ in range(VIEWS))
        views = [self.encoder(cells.to(device), mask.to(device)).pooled for mask in drawn]
        self.encoder.train(training)
        return np.stack([z.float().cpu().numpy() for z in views], axis=1)
