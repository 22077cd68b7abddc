"""Supervised encoder: told the condition of each train cell; a control on every board, not an objective of its own."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional

from bench.core.arguments import FractionBelowOne, checked
from bench.data.datamodule import UNLABELLED, CellsBatch
from bench.models.pretrained import PretrainedModel
from bench.models.response import ResponseConfig
from bench.nn.encoder import EncoderConfig
from bench.nn.masking import exact_mask
from bench.training.objective import Encoders, Objective
from bench.training.pretraining import PretrainConfig


class ConditionClassification(Objective):
    """Cross-entropy of a cell's train condition.

    Args:
        mask: Share of genes hidden, as regularisation.
        smoothing: Label smoothing: most cells of a weak perturbation look like any other.
    """

    search: ClassVar = {"mask": (0.15, 0.3, 0.45, 0.6, 0.75), "smoothing": (0.0, 0.1, 0.3)}

    def __init__(self, mask: FractionBelowOne = 0.3, smoothing: FractionBelowOne = 0.1) -> None:
        super().__init__()
        self.mask, self.smoothing = mask, smoothing

    def make_heads(self, encoders: Encoders) -> dict[str, nn.Module]:
        """A linear classifier over all conditions; those that are not in train never occur."""
        return {"classes": nn.Linear(encoders.architecture.width, encoders.conditions)}

    def losses(self, batch: CellsBatch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Cross-entropy of the condition."""
        pooled = self.student(
            batch.cells, exact_mask(len(batch.cells), batch.cells.shape[1], self.mask, generator).to(batch.cells.device)
        ).pooled
        logits = self.heads["classes"](pooled)
        if not (batch.condition != UNLABELLED).any():
            return {"cross_entropy": logits.sum() * 0}
        loss = functional.cross_entropy(
            logits, batch.condition, ignore_index=UNLABELLED, label_smoothing=self.smoothing
        )
        return {"cross_entropy": loss}


class Supervised(PretrainedModel):
    """Classify the train condition of a cell, with the encoder, cells and budget of the objectives."""

    @checked
    def __init__(
        self,
        objective: ConditionClassification,
        architecture: EncoderConfig,
        training: PretrainConfig,
        response: ResponseConfig,
    ) -> None:
        super().__init__(objective, architecture, training, response)
