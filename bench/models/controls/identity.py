"""Identity encoder: a cell's latent is its expression."""

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


class _Identity(nn.Module):
    def forward(self, x: torch.Tensor) -> Encoded:
        return Encoded(x[:, None], x)


class Identity(EncoderMaker):
    """No encoder at all."""

    def make(self, datamodule: PerturbationDataModule, model: PerturbationModel) -> nn.Module:
        """Hand expression through."""
        return _Identity()

    def blank(self, genes: int, state: Mapping[str, torch.Tensor]) -> nn.Module:
        """Hand expression through."""
        return _Identity()


class IdentityEncoder(EncoderModel):
    """The shared response on the genes themselves: nothing is lost, and nothing learned."""

    @checked
    def __init__(self, response: ResponseConfig) -> None:
        super().__init__(Identity(), response)
