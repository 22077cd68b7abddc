"""Supervised encoder: told the condition of each train cell; a control on every board, not an objective of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from bench.data.datamodule import CellsBatch, PerturbationDataModule
from bench.models.pretrained import PretrainedModel
from bench.nn.masking import exact_mask


class Supervised(PretrainedModel):
    """Classify the train condition of a cell, with the same encoder, cells and budget as the objectives without labels.

    Args:
        mask: Share of genes hidden, as regularisation.
        smoothing: Label smoothing: most cells of a weak perturbation look like any other.
        shared: Arguments of every pretrained model.
    """

    def __init__(self, mask: float = 0.3, smoothing: float = 0.1, **shared: Any) -> None:
        super().__init__(**shared)
        if not 0 <= mask < 1 or not 0 <= smoothing < 1:
            raise ValueError("mask and smoothing must be in [0, 1)")
        self.mask, self.smoothing = mask, smoothing

    def make_heads(self, datamodule: PerturbationDataModule) -> dict[str, nn.Module]:
        """A linear classifier over all conditions; those that are not in train never occur."""
        return {"classes": nn.Linear(self.width, len(datamodule.dataset.conditions))}

    def losses(self, batch: CellsBatch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Cross-entropy of the condition."""
        pooled = self.student(
            batch.cells, exact_mask(len(batch.cells), batch.cells.shape[1], self.mask, generator).to(batch.cells.device)
        ).pooled
        logits = self.extra["classes"](pooled)
        return {"cross_entropy": functional.cross_entropy(logits, batch.condition, label_smoothing=self.smoothing)}
