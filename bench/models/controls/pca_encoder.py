"""PCA encoder: principal component scores of a cell, fitted on train cells."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from bench.core.arguments import NonNegativeInt, checked
from bench.data.datamodule import PerturbationDataModule
from bench.models.base import PerturbationModel
from bench.models.encoder_maker import EncoderMaker
from bench.models.encoder_model import EncoderModel
from bench.models.response import ResponseConfig
from bench.nn.encoder import Encoded
from bench.stats.cellspace import principal_axes
from bench.training.embedding import Cells, Rows, Singles, decodable, spread_rows
from bench.training.looked import looked_at

#: Train cells from which the axes are taken.
PCA_CELLS = 4_000
#: Widths that are tried where the width is to be chosen.
WIDTHS = (5, 10, 20, 50)


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
        components: Number of components; 0 = that of 5, 10, 20 and 50 of which val shifts are decoded best: what the
            step of every objective is chosen by too.
    """

    def __init__(self, components: NonNegativeInt = 50) -> None:
        self.components = components

    def make(self, datamodule: PerturbationDataModule, model: PerturbationModel) -> nn.Module:
        """Fit the axes on (a sample of) the train cells and input controls."""
        rows = spread_rows(datamodule.representation_rows("train"), PCA_CELLS, datamodule.seed)
        mean, axes = principal_axes(datamodule.dataset.x[rows].toarray(), self.components or WIDTHS[-1])
        model.fit_report.cells_seen += len(rows)
        if not self.components:
            shares, of = _decoded(datamodule, mean, axes)
            best = int(np.argmax(shares))  # of equals, the narrowest
            axes = axes[: WIDTHS[best]]
            model.fit_report.trials = len(WIDTHS)
            model.fit_report.selection = f"{len(axes)} components: {shares[best]:.2f} of {of} are decoded"
        return _Projection(torch.from_numpy(mean).float(), torch.from_numpy(axes).float())

    def blank(self, genes: int, state: Mapping[str, torch.Tensor]) -> nn.Module:
        """A projection: there may be fewer components than were asked for."""
        return _Projection(torch.empty_like(state["mean"]), torch.empty_like(state["axes"]))


def _decoded(datamodule: PerturbationDataModule, mean: Singles, axes: Singles) -> tuple[list[float], str]:
    """Share of held-out shifts that is decoded from the components of each width, and what these shifts are."""
    x, looked = datamodule.dataset.x, looked_at(datamodule)

    def cells(rows: Rows, width: int) -> Cells:
        return np.asarray((x[rows].toarray() - mean) @ axes[:width].T, dtype=np.float32), x[rows]

    def share(width: int) -> float:
        fit, control, held = (cells(rows, width) for rows in (looked.fit, looked.controls, looked.held))
        return decodable(fit, control, held, looked.condition, looked.start).by_shift

    return [share(width) for width in WIDTHS], looked.of


class PCAEncoder(EncoderModel):
    """The shared response on principal components."""

    @checked
    def __init__(self, maker: PrincipalComponents, response: ResponseConfig) -> None:
        super().__init__(maker, response)
