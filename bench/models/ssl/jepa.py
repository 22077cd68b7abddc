"""JEPA: predict the averaged encoder's latents of hidden genes from the visible ones (BioJEPAC's objective)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from bench.data.datamodule import CellsBatch, PerturbationDataModule
from bench.models.pretrained import PretrainedModel
from bench.nn.masking import bernoulli_mask, exact_mask, take
from bench.nn.predictor import TokenMaskedPredictor, VectorMaskedPredictor
from bench.objectives.jepa import latent_l1, pooled_regulariser, report_regulariser

Regularised = Literal["cells", "tokens"]
Context = Literal["all", "pooled"]


class JEPA(PretrainedModel):
    """Joint-embedding prediction with an EMA teacher that sees the whole cell.

    ``loss = 25 L1(predicted, teacher) + 25 variance + 1 covariance``, the latter two over cells (over tokens, as
    published, gene-to-gene variation hides a collapse of cells). Gene transformers predict the latents of hidden genes;
    the mlp encoder, whose latent is one vector, that of the whole cell.

    Source: Assran et al. 2023 (I-JEPA); weights, mask and momentum: BioJEPAC report v0.4; terms: Bardes et al. 2022.

    Args:
        mask: Share of genes hidden from the student.
        predictor_depth: Blocks of the masked predictor.
        predictor_context: Gene transformers: hidden genes attend to ``all`` visible ones, or to a few ``pooled``
            tokens.
        invariance: Weight of the prediction error.
        variance: Weight of the variance hinge.
        covariance: Weight of the covariance term.
        regularised: Variance and covariance over ``cells``, or over ``tokens`` (as published).
        shared: Arguments of every pretrained model.
    """

    def __init__(
        self,
        mask: float = 0.6,
        predictor_depth: int = 2,
        predictor_context: Context = "all",
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        regularised: Regularised = "cells",
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if not 0 < mask < 1:
            raise ValueError("mask must be between 0 and 1")
        self.mask, self.predictor_depth, self.predictor_context = mask, predictor_depth, predictor_context
        self.weights, self.regularised = (invariance, variance, covariance), regularised

    def make_heads(self, datamodule: PerturbationDataModule) -> dict[str, nn.Module]:
        """The masked predictor."""
        genes = len(datamodule.genes)
        if self.kind == "mlp":
            return {"predictor": VectorMaskedPredictor(self.width, genes, self.hidden)}
        return {
            "predictor": TokenMaskedPredictor(
                self.width,
                self.predictor_depth,
                self.heads,
                genes,
                self.token_identity,
                self.predictor_context,
                checkpoint_activations=self.checkpoint_activations,
            )
        }

    def losses(self, batch: CellsBatch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Predict the teacher's latents of what is hidden."""
        cells = batch.cells
        with torch.no_grad():
            target = self.teacher(cells)
        if self.token_identity == "report" and self.kind != "mlp":
            hidden = bernoulli_mask(len(cells), cells.shape[1], self.mask, generator).to(cells.device)
            context = self.student(cells, hidden)
            invariance = latent_l1(self.extra["predictor"](context, hidden), target.tokens, hidden)
        else:
            mask = exact_mask(len(cells), cells.shape[1], self.mask, generator).to(cells.device)
            context = self.student(cells, mask)
            wanted = target.tokens if self.kind == "mlp" else take(target.tokens, mask.masked)
            invariance = latent_l1(self.extra["predictor"](context, mask), wanted)
        spread = (
            pooled_regulariser(context.pooled) if self.regularised == "cells" else report_regulariser(context.tokens)
        )
        w = self.weights
        return {
            "invariance": w[0] * invariance,
            "variance": w[1] * spread.variance,
            "covariance": w[2] * spread.covariance,
        }
