"""What every encoder takes and returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench.core.errors import BenchError
from bench.nn.masking import Mask


class Encoded(NamedTuple):
    """An encoder's output.

    Attributes:
        tokens: Latent tokens ``[B, T, D]``. T = genes, visible genes, or 1.
        pooled: One vector per cell ``[B, D]``.
    """

    tokens: Tensor
    pooled: Tensor


class Encoder(nn.Module, ABC):
    """A cell's expression to latents.

    Attributes:
        genes: Number of genes ``G``.
        width: Width ``D`` of tokens and pooled vector.
    """

    genes: int
    width: int

    def __init__(self, genes: int, width: int) -> None:
        super().__init__()
        self.genes, self.width = genes, width

    @abstractmethod
    def forward(self, x: Tensor, mask: Mask | Tensor | None = None) -> Encoded:
        """Encode a batch.

        Args:
            x: Expression, log1p units, ``[B, G]``.
            mask: Hidden genes; their values never enter, apart from the cell's total.

        Raises:
            BenchError: If ``x`` does not have ``G`` genes.
        """

    def _check(self, x: Tensor) -> None:
        if x.ndim != 2 or x.shape[1] != self.genes:
            raise BenchError(f"encoder input has shape {tuple(x.shape)}; expected [cells, {self.genes}].")


def log_total(x: Tensor) -> Tensor:
    """Depth feature ``log1p(sum of the row)``, ``[B, G] -> [B, 1]``.

    The sum is that of the whole cell, also when genes are hidden, as published (BioJEPAC report v0.4).
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    return torch.log1p(x.sum(1, keepdim=True, dtype=wide)).to(x.dtype)
