"""Constant encoder: every cell has the same latent. No claim about an objective stands that this model reaches too."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from bench.core.arguments import checked
from bench.data.datamodule import PerturbationDataModule
from bench.models.base import PerturbationModel
from bench.models.encoder_maker import EncoderMaker
from bench.models.encoder_model import EncoderModel
from bench.models.response import ResponseConfig
from bench.nn.encoder import Encoded


class _Constant(nn.Module):
    def forward(self, x: torch.Tensor) -> Encoded:
        pooled = torch.zeros(len(x), 1)
        return Encoded(pooled[:, None], pooled)


class Constant(EncoderMaker):
    """One latent for all cells."""

    def make(self, datamodule: PerturbationDataModule, model: PerturbationModel) -> nn.Module:
        """A constant."""
        return _Constant()

    def blank(self, genes: int, state: Mapping[str, torch.Tensor]) -> nn.Module:
        """A constant."""
        return _Constant()


class ConstantEncoder(EncoderModel):
    """The shared response on a latent that carries nothing: what the perturbation's features alone are worth.

    A response on a constant is also trained without the disturbance of latents that differ: ``noise_encoder`` tells the
    two apart.

    Source: replacing z by its train mean, which after standardisation is 0.
    """

    row_kind = "control"

    @checked
    def __init__(self, response: ResponseConfig) -> None:
        super().__init__(Constant(), response)
