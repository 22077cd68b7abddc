"""Decoders: latents to expression, linear so that what a latent holds is what is measured."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.core.errors import BenchError
from bench.nn.initialise import linear, truncated_normal


class PerGeneDecoder(nn.Module):
    """One linear read-out per gene: ``w_g . h_g + b_g`` of its own token, or of the cell's one vector.

    ``G * (D + 1)`` parameters in both cases; the decoder that all objectives share.

    Args:
        genes: Genes ``G``.
        width: Latent width ``D``.
        zero: Start at zero, so that a predictor of shifts starts at no change.
    """

    def __init__(self, genes: int, width: int, *, zero: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(genes, width))
        self.bias = nn.Parameter(torch.zeros(genes))
        if not zero:
            truncated_normal(self.weight, width)

    def forward(self, latents: Tensor) -> Tensor:
        """Decode ``[B, T, D] -> [B, G]``, T = 1 or G.

        Raises:
            BenchError: If T is neither 1 nor G.
        """
        tokens, genes = latents.shape[1], len(self.bias)
        if tokens == 1:
            return F.linear(latents[:, 0], self.weight, self.bias)
        if tokens != genes:
            raise BenchError(f"the per-gene decoder got {tokens} tokens; expected 1 or one per gene ({genes}).")
        return (latents * self.weight).sum(-1) + self.bias


class SharedDecoder(nn.Module):
    """One linear map ``D -> 1`` for all genes, as published: ``D + 1`` parameters (257 at D = 256).

    Needs one token per gene: with a single token all genes would get one value.

    Args:
        width: Latent width ``D``.

    Source: BioJEPAC report v0.4.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = linear(width, 1)

    def forward(self, latents: Tensor) -> Tensor:
        """Decode ``[B, G, D] -> [B, G]``.

        Raises:
            BenchError: If there is one token only.
        """
        if latents.shape[1] == 1:
            raise BenchError(
                "the shared decoder needs one token per gene and got one per cell; use the per-gene decoder."
            )
        values: Tensor = self.read(latents)
        return values.squeeze(-1)
