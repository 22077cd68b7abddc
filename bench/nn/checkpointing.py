"""Running a stack of blocks, with or without keeping their activations."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def run_blocks(blocks: Iterable[nn.Module], h: Tensor, recompute: bool = False, *context: Tensor | int) -> Tensor:
    """Apply blocks in turn.

    Args:
        blocks: Modules called as ``block(h, *context)``.
        h: Tokens ``[B, N, D]``.
        recompute: Keep only each block's input for the backward pass and recompute the rest (Chen et al. 2016).
        context: Further arguments of every block.
    """
    for block in blocks:
        if recompute and torch.is_grad_enabled():
            h = checkpoint(block, h, *context, use_reentrant=False)
        else:
            h = block(h, *context)
    return h
