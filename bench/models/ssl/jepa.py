"""JEPA: predict the averaged encoder's latents of hidden genes from the visible ones (BioJEPAC's objective)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import nn

from bench.core.arguments import NonNegativeFloat, OpenFraction, PositiveInt, checked
from bench.data.datamodule import CellsBatch
from bench.models.pretrained import PretrainedModel
from bench.models.response import ResponseConfig
from bench.nn.encoder import EncoderConfig
from bench.nn.masking import bernoulli_mask, exact_mask, take
from bench.nn.predictor import TokenMaskedPredictor, VectorMaskedPredictor
from bench.objectives.jepa import latent_l1, pooled_regulariser, report_regulariser
from bench.training.objective import Encoders, Objective
from bench.training.pretraining import PretrainConfig

Regularised = Literal["cells", "tokens"]
Context = Literal["all", "pooled"]


class LatentPrediction(Objective):
    """Predict the latents of the whole cell, as the EMA teacher sees it, from a cell whose genes are partly hidden.

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
    """

    search: ClassVar = {"mask": (0.15, 0.3, 0.45, 0.6, 0.75), "variance": (5.0, 25.0), "covariance": (1.0, 10.0)}

    def __init__(
        self,
        mask: OpenFraction = 0.6,  # BioJEPAC report v0.4
        predictor_depth: PositiveInt = 2,
        predictor_context: Context = "all",
        invariance: NonNegativeFloat = 25.0,  # 25, 25 and 1: Bardes et al. 2022
        variance: NonNegativeFloat = 25.0,
        covariance: NonNegativeFloat = 1.0,
        regularised: Regularised = "cells",
    ) -> None:
        super().__init__()
        self.mask, self.predictor_depth, self.predictor_context = mask, predictor_depth, predictor_context
        self.weights, self.regularised = (invariance, variance, covariance), regularised

    def make_heads(self, encoders: Encoders) -> dict[str, nn.Module]:
        """The masked predictor."""
        sizes = encoders.architecture
        if sizes.encoder == "mlp":
            return {"predictor": VectorMaskedPredictor(sizes.width, encoders.genes, sizes.hidden)}
        return {
            "predictor": TokenMaskedPredictor(
                sizes.width,
                self.predictor_depth,
                sizes.heads,
                encoders.genes,
                sizes.token_identity,
                self.predictor_context,
                checkpoint_activations=encoders.checkpoint_activations,
            )
        }

    def losses(self, batch: CellsBatch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Predict the teacher's latents of what is hidden."""
        cells, mlp = batch.cells, self.architecture.encoder == "mlp"
        with torch.no_grad():
            target = self.teacher(cells)
        if self.architecture.token_identity == "report" and not mlp:
            hidden = bernoulli_mask(len(cells), cells.shape[1], self.mask, generator).to(cells.device)
            context = self.student(cells, hidden)
            invariance = latent_l1(self.heads["predictor"](context, hidden), target.tokens, hidden)
        else:
            mask = exact_mask(len(cells), cells.shape[1], self.mask, generator).to(cells.device)
            context = self.student(cells, mask)
            wanted = target.tokens if mlp else take(target.tokens, mask.masked)
            invariance = latent_l1(self.heads["predictor"](context, mask), wanted)
        spread = (
            pooled_regulariser(context.pooled) if self.regularised == "cells" else report_regulariser(context.tokens)
        )
        w = self.weights
        return {
            "invariance": w[0] * invariance,
            "variance": w[1] * spread.variance,
            "covariance": w[2] * spread.covariance,
        }


class JEPA(PretrainedModel):
    """Joint-embedding prediction with an EMA teacher that sees the whole cell."""

    @checked
    def __init__(
        self,
        objective: LatentPrediction,
        architecture: EncoderConfig,
        training: PretrainConfig,
        response: ResponseConfig,
    ) -> None:
        super().__init__(objective, architecture, training, response)
