"""SimCLR: find the other view of the same cell among the views of all cells of a batch."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from torch import nn

from bench.core.arguments import FractionBelowOne, NonNegativeFloat, PositiveFloat, PositiveInt, Range, checked
from bench.data.datamodule import CellsBatch
from bench.models.pretrained import PretrainedModel
from bench.models.response import ResponseConfig
from bench.nn.encoder import EncoderConfig
from bench.nn.projector import projector
from bench.nn.views import view
from bench.objectives.simclr import nt_xent
from bench.training.objective import Encoders, Objective
from bench.training.pretraining import PretrainConfig


class Contrast(Objective):
    """Contrast of two views of a cell with the views of all other cells of the batch.

    Views are those of VICReg: hidden genes, thinned counts, jitter. Other cells of the same condition are negatives
    too: to know them would use labels.

    Source: Chen et al. 2020.

    Args:
        mask: Share of genes hidden in each view, drawn independently.
        least_kept: Smallest share of molecules that thinning keeps.
        jitter: SD of Gaussian noise on log1p expression.
        projection: Width of the vectors that are compared.
        temperature: By which cosines are divided.
    """

    search: ClassVar = {"mask": (0.15, 0.3, 0.45, 0.6, 0.75), "jitter": (0.05, 0.2), "temperature": (0.1, 0.5)}

    def __init__(
        self,
        mask: FractionBelowOne = 0.3,
        least_kept: Annotated[float, Range(0, 1, low_open=True)] = 0.5,
        jitter: NonNegativeFloat = 0.05,
        projection: PositiveInt = 128,  # Chen et al. 2020, section 2.1
        temperature: PositiveFloat = 0.5,  # Chen et al. 2020, appendix B.9: their choice for small images
    ) -> None:
        super().__init__()
        self.mask, self.least_kept, self.jitter = mask, least_kept, jitter
        self.projection, self.temperature = projection, temperature

    def make_heads(self, encoders: Encoders) -> dict[str, nn.Module]:
        """The projection head: one hidden layer as wide as the latent (Chen et al. 2020, section 2.1)."""
        width = encoders.architecture.width
        return {"projector": projector(width, width, self.projection)}

    def view(self, cells: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """One augmented, encoded and projected view ``[B, projection]``."""
        seen, mask = view(cells, self.mask, self.least_kept, self.jitter, generator)
        projected: torch.Tensor = self.heads["projector"](self.student(seen, mask).pooled)
        return projected

    def losses(self, batch: CellsBatch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Contrast two views."""
        a, b = self.view(batch.cells, generator), self.view(batch.cells, generator)
        return {"contrast": nt_xent(a, b, self.temperature)}


class SimCLR(PretrainedModel):
    """Contrastive learning between two views."""

    @checked
    def __init__(
        self,
        objective: Contrast,
        architecture: EncoderConfig,
        training: PretrainConfig,
        response: ResponseConfig,
    ) -> None:
        super().__init__(objective, architecture, training, response)
