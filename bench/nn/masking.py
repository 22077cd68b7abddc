"""Which genes of a cell are hidden from an encoder, and gathering tokens by gene."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.core.errors import BenchError

# Random keys of this many bits, above bits for the gene's index (2^22 genes): ties between the random parts, which the
# index would break, are as good as impossible.
_KEY_BITS, _GENE_BITS = 40, 22


class Mask(NamedTuple):
    """Hidden and visible genes of a batch; every cell hides equally many.

    Attributes:
        hidden: True where hidden, bool ``[B, G]``.
        visible: Visible genes, int64 ``[B, V]``, ascending in each row.
        masked: Hidden genes, int64 ``[B, M]``, ascending in each row; ``V + M = G``.
    """

    hidden: Tensor
    visible: Tensor
    masked: Tensor

    def to(self, device: torch.device | str) -> Mask:
        """The same mask on another device."""
        return Mask(self.hidden.to(device), self.visible.to(device), self.masked.to(device))


def mask_of(hidden: Tensor) -> Mask:
    """Index form of a boolean mask.

    Args:
        hidden: True where hidden, bool ``[B, G]``, equally many in every row.

    Raises:
        BenchError: If rows hide different numbers of genes; there is no rectangular index form then.
    """
    batch = len(hidden)
    count = hidden.sum(1)
    n_hidden = int(count[0]) if batch else 0
    if batch and not bool((count == n_hidden).all()):
        raise BenchError(
            f"this mask hides {int(count.min())} to {int(count.max())} genes, depending on the cell; "
            "expected the same number in every cell. Draw it with exact_mask."
        )
    return _indexed(hidden, n_hidden)


def _indexed(hidden: Tensor, n_hidden: int) -> Mask:
    batch, genes = hidden.shape
    return Mask(hidden, _columns(~hidden, batch, genes - n_hidden), _columns(hidden, batch, n_hidden))


def _columns(chosen: Tensor, batch: int, count: int) -> Tensor:
    # nonzero walks rows in order, so the columns come out sorted within each row and need no sort of their own.
    # On the CPU numpy's is several times faster than torch's.
    if chosen.device.type == "cpu":
        flat = torch.from_numpy(np.flatnonzero(chosen.numpy()))
    else:
        flat = chosen.flatten().nonzero()[:, 0]
    rows = torch.arange(batch, device=chosen.device)[:, None] * chosen.shape[1]
    return flat.view(batch, count) - rows


def exact_mask(batch: int, genes: int, ratio: float, generator: torch.Generator) -> Mask:
    """Hide exactly ``round(ratio * genes)`` genes of every cell, uniformly at random.

    A fixed count keeps batches rectangular, so that only the visible genes need to enter an encoder (He et al. 2022).

    Args:
        batch: Cells ``B``.
        genes: Genes ``G``.
        ratio: Share of hidden genes, 0 <= ratio < 1.
        generator: Random stream, on the CPU; so is the mask, and a seed gives the same one whatever the device.

    Raises:
        BenchError: If the ratio is outside its range or leaves no visible gene.
    """
    _check(ratio)
    n_hidden = round(ratio * genes)
    if n_hidden >= genes:
        raise BenchError(f"a mask ratio of {ratio:g} hides all {genes} genes; use a lower ratio or more genes.")
    if n_hidden == 0:
        return _indexed(torch.zeros(batch, genes, dtype=torch.bool), 0)
    keys = torch.randint(0, 1 << _KEY_BITS, (batch, genes), generator=generator)
    # The gene's index in the low bits makes keys distinct, so the count is exact.
    keys = keys.bitwise_left_shift_(_GENE_BITS).bitwise_or_(torch.arange(genes))
    # Selecting by the k-th smallest key is linear in G, and numpy's is several times faster than torch's; sorting the
    # genes of every cell would cost more than a small encoder's whole training step.
    threshold = np.partition(keys.numpy(), n_hidden - 1, axis=1)[:, n_hidden - 1 : n_hidden]
    return _indexed(keys <= torch.from_numpy(np.ascontiguousarray(threshold)), n_hidden)


def bernoulli_mask(batch: int, genes: int, ratio: float, generator: torch.Generator) -> Tensor:
    """Hide each gene of each cell with probability ``ratio``, independently, as published.

    Args:
        batch: Cells ``B``.
        genes: Genes ``G``.
        ratio: Probability of being hidden, 0 <= ratio < 1.
        generator: Random stream, on the CPU; so is the mask, and a seed gives the same one whatever the device.

    Returns:
        True where hidden, bool ``[B, G]``.

    Raises:
        BenchError: If the ratio is outside its range.

    Source: BioJEPAC report v0.4 (ratio 0.6 over all genes, zeros included).
    """
    _check(ratio)
    return torch.rand(batch, genes, generator=generator) < ratio


def _check(ratio: float) -> None:
    if not 0 <= ratio < 1:
        raise BenchError(f"mask ratio is {ratio:g}; expected a share of genes in [0, 1).")


def hidden_of(mask: Mask | Tensor) -> Tensor:
    """The boolean form ``[B, G]`` of either kind of mask."""
    return mask.hidden if isinstance(mask, Mask) else mask


def take(tokens: Tensor, index: Tensor) -> Tensor:
    """Tokens of chosen genes.

    Args:
        tokens: One token per gene ``[B, G, D]``.
        index: Genes ``[B, M]``, int64.

    Returns:
        ``[B, M, D]``.
    """
    batch, genes, width = tokens.shape
    # One row lookup instead of torch.gather, which would need an index as large as its result.
    rows = index + torch.arange(batch, device=index.device)[:, None] * genes
    return tokens.reshape(batch * genes, width).index_select(0, rows.reshape(-1)).view(batch, -1, width)
