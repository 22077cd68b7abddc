"""LeJEPA: views of a cell predict the mean of its global views, and embeddings are to be an isotropic Gaussian."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from torch import nn

from bench.core.arguments import (
    FractionBelowOne,
    NonNegativeFloat,
    NonNegativeInt,
    OpenFraction,
    PositiveInt,
    Range,
    checked,
)
from bench.data.datamodule import CellsBatch
from bench.models.pretrained import PretrainedModel
from bench.models.response import ResponseConfig
from bench.nn.encoder import EncoderConfig
from bench.nn.projector import projector
from bench.nn.views import view
from bench.objectives.lejepa import directions, prediction, sigreg
from bench.training.objective import Encoders, Objective
from bench.training.pretraining import PretrainConfig


class GaussianViews(Objective):
    """Every view of a cell predicts the mean of its global views; SIGReg makes each view's embeddings Gaussian.

    ``loss = (1 - trade_off) prediction + trade_off SIGReg``. Without a teacher, a stopped gradient or a predictor: what
    keeps embeddings apart is SIGReg alone. The averaged weights that are frozen afterwards (``export``) are those of
    every objective here; the loss never sees them.

    What is adapted to cells: a crop is a set of genes that stay visible. A global view hides ``global_mask`` of the
    genes, a local view ``mask``, drawn independently; counts are thinned and jittered in both alike, as colours are
    in the paper. There are fewer local views and slices than the paper starts from (8 and 1024), so that a step has
    1.2 times the operations of VICReg's: four local views decoded no more of ``simulated``'s val shifts than two
    (220 steps), and as directions are drawn anew in every step, few are enough (section 4.3). Without the projector
    nothing more became decodable than before training: SIGReg on the latents themselves leaves them as they were.

    Source: Balestriero and LeCun 2025 (arXiv 2511.08544), algorithms 1 and 2.

    Args:
        mask: Share of genes hidden in a local view.
        global_mask: Share of genes hidden in a global view.
        global_views: Number of global views.
        local_views: Number of local views.
        least_kept: Smallest share of molecules that thinning keeps.
        jitter: SD of Gaussian noise on log1p expression.
        trade_off: Weight of SIGReg; prediction has one minus it.
        slices: Directions along which a view's embeddings are compared with a Gaussian, anew in every step.
        expander: Width of the projector's hidden layers, as a multiple of the latent width.
        embedding: Width of the projector's output.
    """

    search: ClassVar = {"mask": (0.45, 0.6, 0.8), "global_mask": (0.15, 0.3), "trade_off": (0.02, 0.05, 0.2)}

    def __init__(
        self,
        mask: OpenFraction = 0.8,  # the reference implementation's local crops show 5 to 30%
        global_mask: FractionBelowOne = 0.3,  # its global crops show 30 to 100%
        global_views: PositiveInt = 2,  # section 6.1
        local_views: NonNegativeInt = 2,
        least_kept: Annotated[float, Range(0, 1, low_open=True)] = 0.5,
        jitter: NonNegativeFloat = 0.05,
        trade_off: OpenFraction = 0.05,  # section 6.1
        slices: PositiveInt = 256,  # algorithm 1
        expander: PositiveInt = 4,
        embedding: PositiveInt = 64,
    ) -> None:
        super().__init__()
        self.mask, self.global_mask = mask, global_mask
        self.global_views, self.local_views = global_views, local_views
        self.least_kept, self.jitter = least_kept, jitter
        self.trade_off, self.slices = trade_off, slices
        self.expander, self.embedding = expander, embedding

    def make_heads(self, encoders: Encoders) -> dict[str, nn.Module]:
        """The projector, of three layers as in the reference implementation's example."""
        width, wide = encoders.architecture.width, self.expander * encoders.architecture.width
        return {"projector": projector(width, wide, wide, self.embedding)}

    def views(self, cells: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Embedded views ``[V, B, embedding]``, the global ones first."""
        embedded = []
        for hidden in [self.global_mask] * self.global_views + [self.mask] * self.local_views:
            seen, mask = view(cells, hidden, self.least_kept, self.jitter, generator)
            embedded.append(self.heads["projector"](self.student(seen, mask).pooled))
        return torch.stack(embedded)

    def losses(self, batch: CellsBatch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Predict the global views, and compare every view with a Gaussian along the same directions."""
        views = self.views(batch.cells, generator)
        along = directions(self.embedding, self.slices, generator)
        apart = torch.stack([sigreg(embedded, along) for embedded in views]).mean()
        return {
            "prediction": (1 - self.trade_off) * prediction(views, self.global_views),
            "sigreg": self.trade_off * apart,
        }


class LeJEPA(PretrainedModel):
    """Joint-embedding prediction without heuristics: views of a cell agree, and all cells together are Gaussian."""

    @checked
    def __init__(
        self,
        objective: GaussianViews,
        architecture: EncoderConfig,
        training: PretrainConfig,
        response: ResponseConfig,
    ) -> None:
        super().__init__(objective, architecture, training, response)
