"""Constant encoder: every cell has the same latent. No claim about an objective stands that this model reaches too."""

from __future__ import annotations

import torch
from torch import nn

from bench.data.datamodule import PerturbationDataModule
from bench.models.encoder_model import EncoderModel
from bench.nn.encoder import Encoded


class _Constant(nn.Module):
    def forward(self, x: torch.Tensor) -> Encoded:
        pooled = torch.zeros(len(x), 1)
        return Encoded(pooled[:, None], pooled)


class ConstantEncoder(EncoderModel):
    """The shared response on a latent that carries nothing: what the perturbation's features alone are worth.

    A response on a constant is also trained without the disturbance of latents that differ: ``noise_encoder`` tells the
    two apart.

    Source: replacing z by its train mean, which after standardisation is 0.
    """

    def make_encoder(self, datamodule: PerturbationDataModule) -> nn.Module:
        """A constant."""
        return _Constant()
