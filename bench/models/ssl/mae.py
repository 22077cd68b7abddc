"""MAE: reconstruct the expression of hidden genes from the visible ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bench.data.datamodule import CellsBatch, PerturbationDataModule
from bench.models.pretrained import PretrainedModel
from bench.nn.masking import exact_mask
from bench.nn.predictor import TokenMaskedPredictor
from bench.objectives.mae import masked_mse


class MAE(PretrainedModel):
    """Masked autoencoding: squared error of log-expression at the hidden genes.

    Source: He et al. 2022; the same mask and budget as JEPA.

    Args:
        mask: Share of genes hidden from the encoder.
        decoder_depth: Gene transformers: blocks of the decoder over hidden genes.
        zero_weight: Share of the loss that genes measured as zero have; 0 = every hidden gene counts alike.
        shared: Arguments of every pretrained model.
    """

    def __init__(self, mask: float = 0.6, decoder_depth: int = 2, zero_weight: float = 0.0, **shared: Any) -> None:
        super().__init__(**shared)
        if not 0 < mask < 1:
            raise ValueError("mask must be between 0 and 1")
        if not 0 <= zero_weight < 1:
            raise ValueError("zero_weight must be in [0, 1)")
        self.mask, self.decoder_depth, self.zero_weight = mask, decoder_depth, zero_weight

    def make_heads(self, datamodule: PerturbationDataModule) -> dict[str, nn.Module]:
        """A decoder to one value per gene."""
        genes = len(datamodule.genes)
        if self.kind == "mlp":
            # As large as JEPA's predictor: hidden layer, then one value per gene.
            return {
                "decoder": nn.Sequential(nn.Linear(self.width, self.hidden), nn.GELU(), nn.Linear(self.hidden, genes))
            }
        return {
            "fill": TokenMaskedPredictor(
                self.width,
                self.decoder_depth,
                self.heads,
                genes,
                "fixed",
                checkpoint_activations=self.checkpoint_activations,
            ),
            "decoder": nn.Linear(self.width, 1),
        }

    def losses(self, batch: CellsBatch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Reconstruct what is hidden."""
        cells = batch.cells
        mask = exact_mask(len(cells), cells.shape[1], self.mask, generator).to(cells.device)
        encoded = self.student(cells, mask)
        zero = self.zero_weight or None
        if self.kind == "mlp":
            return {"reconstruction": masked_mse(self.extra["decoder"](encoded.pooled), cells, mask.hidden, zero)}
        values = self.extra["decoder"](self.extra["fill"](encoded, mask)).squeeze(-1)
        return {"reconstruction": masked_mse(values, cells.gather(1, mask.masked), None, zero)}
