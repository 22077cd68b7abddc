"""A few tokens that stand for many."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.nn.attention import Block, CrossAttention, FeedForward
from bench.nn.checkpointing import run_blocks


class InducingTokens(nn.Module):
    """Learned tokens read all others by softmax attention once, then exchange among themselves.

    The result does not depend on the order of the tokens read.

    Args:
        width: Token width ``D``.
        depth: Blocks among the inducing tokens.
        heads: Heads.
        n: Inducing tokens ``I``.

    Source: Lee et al. 2019 (Set Transformer, inducing points); Jaegle et al. 2022 (Perceiver IO).
    """

    def __init__(self, width: int, depth: int, heads: int, n: int) -> None:
        super().__init__()
        self.seeds = nn.Parameter(torch.empty(n, width).normal_())
        self.norm_seed = nn.LayerNorm(width)
        self.norm_source = nn.LayerNorm(width)
        self.read = CrossAttention(width, heads, softmax=True)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = FeedForward(width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Summarise, ``[B, T, D] -> [B, I, D]``."""
        seeds = self.seeds.expand(tokens.shape[0], -1, -1)
        h = seeds + self.read(self.norm_seed(seeds), self.norm_source(tokens))
        h = h + self.mlp(self.norm_mlp(h))
        out: Tensor = self.norm(run_blocks(self.blocks, h))
        return out
