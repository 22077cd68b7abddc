"""PCA encoder: principal component scores of a cell, fitted on train cells."""

from __future__ import annotations

import torch
from torch import nn

from bench.core.arguments import PositiveInt, checked
from bench.data.datamodule import PerturbationDataModule
from bench.models.base import PerturbationModel
from bench.models.encoder_maker import EncoderMaker
from bench.models.encoder_model import EncoderModel
from bench.models.response import ResponseConfig
from bench.nn.encoder import Encoded
from bench.stats.cellspace import principal_axes
from bench.training.embedding import spread_rows

#: Train cells from which the axes are taken.
PCA_CELLS = 4_000


class _Projection(nn.Module):
    """``(x - mean) axes^T``."""

    mean: torch.Tensor
    axes: torch.Tensor

    def __init__(self, mean: torch.Tensor, axes: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("axes", axes)

    def forward(self, x: torch.Tensor) -> Encoded:
        pooled = (x - self.mean) @ self.axes.T
        return Encoded(pooled[:, None], pooled)


class PrincipalComponents(EncoderMaker):
    """Scores on the train cells' principal axes.

    Args:
        components: Number of components.
    """

    def __init__(self, components: PositiveInt = 50) -> None:
        self.components = components

    def make(self, datamodule: PerturbationDataModule, model: PerturbationModel) -> nn.Module:
        """Fit the axes on (a sample of) the train cells and input controls."""
        rows = spread_rows(datamodule.representation_rows("train"), PCA_CELLS, datamodule.seed)
        mean, axes = principal_axes(datamodule.dataset.x[rows].toarray(), self.components)
        model.fit_report.cells_seen += len(rows)
        return _Projection(torch.from_numpy(mean).float(), torch.from_numpy(axes).float())


class PCAEncoder(EncoderModel):
    """The shared response on principal components."""

    @checked
    def __init__(self, maker: PrincipalComponents, response: ResponseConfig) -> None:
        super().__init__(maker, response)
