"""VICReg: two augmented views of a cell, mapped to one vector, without its dimensions collapsing."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from torch import nn

from bench.core.arguments import FractionBelowOne, NonNegativeFloat, PositiveInt, Range, checked
from bench.data.datamodule import CellsBatch
from bench.models.pretrained import PretrainedModel
from bench.models.response import ResponseConfig
from bench.nn.encoder import EncoderConfig
from bench.nn.projector import projector
from bench.nn.views import view
from bench.objectives.vicreg import covariance, invariance, variance
from bench.training.objective import Encoders, Objective
from bench.training.pretraining import PretrainConfig


class TwoViews(Objective):
    """Variance, invariance and covariance of two views of a cell: hidden genes, thinned counts, jitter.

    ``loss = 25 invariance + 25 variance + 1 covariance`` on expanded vectors.

    Source: Bardes et al. 2022 (weights, expander).

    Args:
        mask: Share of genes hidden in each view, drawn independently.
        least_kept: Smallest share of molecules that thinning keeps.
        jitter: SD of Gaussian noise on log1p expression.
        expander: Width of the expander's layers, as a multiple of the latent width.
        invariance: Weight of the distance between views.
        variance: Weight of the variance hinge.
        covariance: Weight of the covariance term.
    """

    search: ClassVar = {"mask": (0.15, 0.3, 0.45, 0.6, 0.75), "jitter": (0.05, 0.2), "covariance": (1.0, 10.0)}

    def __init__(
        self,
        mask: FractionBelowOne = 0.3,
        least_kept: Annotated[float, Range(0, 1, low_open=True)] = 0.5,
        jitter: NonNegativeFloat = 0.05,
        expander: PositiveInt = 4,
        invariance: NonNegativeFloat = 25.0,  # 25, 25 and 1: Bardes et al. 2022
        variance: NonNegativeFloat = 25.0,
        covariance: NonNegativeFloat = 1.0,
    ) -> None:
        super().__init__()
        self.mask, self.least_kept, self.jitter, self.expander = mask, least_kept, jitter, expander
        self.weights = (invariance, variance, covariance)

    def make_heads(self, encoders: Encoders) -> dict[str, nn.Module]:
        """The expander, D-4D-4D-4D."""
        width, wide = encoders.architecture.width, self.expander * encoders.architecture.width
        return {"expander": projector(width, wide, wide, wide)}

    def view(self, cells: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """One augmented, encoded and expanded view ``[B, 4D]``."""
        seen, mask = view(cells, self.mask, self.least_kept, self.jitter, generator)
        expanded: torch.Tensor = self.heads["expander"](self.student(seen, mask).pooled)
        return expanded

    def losses(self, batch: CellsBatch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Compare two views."""
        a, b = self.view(batch.cells, generator), self.view(batch.cells, generator)
        w = self.weights
        return {
            "invariance": w[0] * invariance(a, b),
            "variance": w[1] * (variance(a) + variance(b)),
            "covariance": w[2] * (covariance(a) + covariance(b)),
        }


class VICReg(PretrainedModel):
    """Variance-invariance-covariance regularisation between two views."""

    version = 2

    @checked
    def __init__(
        self,
        objective: TwoViews,
        architecture: EncoderConfig,
        training: PretrainConfig,
        response: ResponseConfig,
    ) -> None:
        super().__init__(objective, architecture, training, response)
