"""Identity encoder: a cell's latent is its expression."""

from __future__ import annotations

import torch
from torch import nn

from bench.data.datamodule import PerturbationDataModule
from bench.models.encoder_model import EncoderModel
from bench.nn.encoder import Encoded


class _Identity(nn.Module):
    def forward(self, x: torch.Tensor) -> Encoded:
        return Encoded(x[:, None], x)


class IdentityEncoder(EncoderModel):
    """The shared response on the genes themselves: nothing is lost, and nothing learned."""

    def make_encoder(self, datamodule: PerturbationDataModule) -> nn.Module:
        """Hand expression through."""
        return _Identity()
