"""MAE: reconstruct the expression of hidden genes from the visible ones."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from bench.core.arguments import FractionBelowOne, OpenFraction, PositiveInt, checked
from bench.data.datamodule import CellsBatch
from bench.models.pretrained import PretrainedModel
from bench.models.response import ResponseConfig
from bench.nn.encoder import EncoderConfig
from bench.nn.masking import exact_mask
from bench.nn.predictor import TokenMaskedPredictor
from bench.objectives.mae import masked_mse
from bench.training.objective import Encoders, Objective
from bench.training.pretraining import PretrainConfig


class MaskedReconstruction(Objective):
    """Squared error of log-expression at the hidden genes.

    Source: He et al. 2022; the same mask and budget as JEPA.

    Args:
        mask: Share of genes hidden from the encoder.
        decoder_depth: Gene transformers: blocks of the decoder over hidden genes.
        zero_weight: Share of the loss that genes measured as zero have; 0 = every hidden gene counts alike.
    """

    search: ClassVar = {"mask": (0.15, 0.3, 0.45, 0.6, 0.75), "zero_weight": (0.0, 0.1, 0.3, 0.9)}

    def __init__(
        self, mask: OpenFraction = 0.6, decoder_depth: PositiveInt = 2, zero_weight: FractionBelowOne = 0.0
    ) -> None:
        super().__init__()
        self.mask, self.decoder_depth, self.zero_weight = mask, decoder_depth, zero_weight

    def make_heads(self, encoders: Encoders) -> dict[str, nn.Module]:
        """A decoder to one value per gene."""
        sizes = encoders.architecture
        if sizes.encoder == "mlp":
            # As large as JEPA's predictor: hidden layer, then one value per gene.
            layers = (nn.Linear(sizes.width, sizes.hidden), nn.GELU(), nn.Linear(sizes.hidden, encoders.genes))
            return {"decoder": nn.Sequential(*layers)}
        return {
            "fill": TokenMaskedPredictor(
                sizes.width,
                self.decoder_depth,
                sizes.heads,
                encoders.genes,
                "fixed",
                checkpoint_activations=encoders.checkpoint_activations,
            ),
            "decoder": nn.Linear(sizes.width, 1),
        }

    def losses(self, batch: CellsBatch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Reconstruct what is hidden."""
        cells = batch.cells
        mask = exact_mask(len(cells), cells.shape[1], self.mask, generator).to(cells.device)
        encoded = self.student(cells, mask)
        zero = self.zero_weight or None
        if self.architecture.encoder == "mlp":
            return {"reconstruction": masked_mse(self.heads["decoder"](encoded.pooled), cells, mask.hidden, zero)}
        values = self.heads["decoder"](self.heads["fill"](encoded, mask)).squeeze(-1)
        return {"reconstruction": masked_mse(values, cells.gather(1, mask.masked), None, zero)}


class MAE(PretrainedModel):
    """Masked autoencoding of log-expression."""

    @checked
    def __init__(
        self,
        objective: MaskedReconstruction,
        architecture: EncoderConfig,
        training: PretrainConfig,
        response: ResponseConfig,
    ) -> None:
        super().__init__(objective, architecture, training, response)
