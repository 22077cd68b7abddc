"""The mended action-conditioned predictor: the same action acts differently on different genes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.core.errors import BenchError
from bench.nn.action_predictor import ActionPredictor, action_sum, check_actions, clamp_logvar
from bench.nn.attention import CrossAttention, FeedForward
from bench.nn.checkpointing import run_blocks
from bench.nn.encoding import Encoded
from bench.nn.inducing import InducingTokens
from bench.nn.initialise import linear

MIN_ACTION_TOKENS = 4


class FixedBlock(nn.Module):
    """Pre-norm: softmax cross-attention of action-modulated gene queries to a few tokens, then an MLP.

    Args:
        width: Token width ``D``.
        heads: Heads, a divisor of ``D``.
        action_width: Action width ``E``.
    """

    def __init__(self, width: int, heads: int, action_width: int) -> None:
        super().__init__()
        self.modulation = linear(action_width, 2 * width)
        self.norm_cross = nn.LayerNorm(width)
        self.cross = CrossAttention(width, heads, softmax=True)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = FeedForward(width)

    def forward(self, h: Tensor, source: Tensor, keep: Tensor, action: Tensor) -> Tensor:
        """Apply to gene queries.

        Args:
            h: Queries ``[B, G, D]``.
            source: Tokens to read ``[B, S, D]``.
            keep: Which of them there are, bool ``[B, S]``.
            action: Summed action ``[B, E]``.
        """
        scale, shift = self.modulation(action)[:, None].chunk(2, dim=-1)
        h = h + self.cross(torch.addcmul(shift, self.norm_cross(h), 1 + scale), source, keep)
        update: Tensor = self.mlp(torch.addcmul(shift, self.norm_mlp(h), 1 + scale))
        return h + update


class FixedPredictor(ActionPredictor):
    """One query per gene reads several tokens per action and a few tokens pooled from the context.

    Each action is at least four tokens, and each block scales and shifts the gene queries by the summed action (FiLM),
    so that gene and action interact (defect A-3). The sequence has G queries, not 2 G tokens, and queries do not attend
    to each other.

    Args:
        genes: Genes ``G``.
        width: Token width ``D``.
        action_width: Action width ``E``.
        depth: Blocks.
        heads: Heads per block.
        n_action_tokens: Tokens per action, at least 4.
        n_inducing: Tokens pooled from the context.
        own_token: Add a linear map of each gene's own context token to its query, so that what a cell has of a gene
            need not pass through the pooled tokens. Needs one context token per gene.
        checkpoint_activations: Trade time for memory.

    Raises:
        BenchError: If there are fewer than four tokens per action.
    """

    def __init__(
        self,
        genes: int,
        width: int,
        action_width: int,
        depth: int,
        heads: int,
        n_action_tokens: int = 4,
        n_inducing: int = 16,
        *,
        own_token: bool = False,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        if n_action_tokens < MIN_ACTION_TOKENS:
            raise BenchError(f"n_action_tokens is {n_action_tokens}; expected at least {MIN_ACTION_TOKENS}.")
        self.genes, self.width, self.action_width = genes, width, action_width
        self.n_action_tokens, self.checkpoint_activations = n_action_tokens, checkpoint_activations
        self.adapter = nn.Sequential(
            linear(action_width, width),
            nn.LayerNorm(width),
            nn.GELU(),
            linear(width, n_action_tokens * width),
        )
        self.action_token = nn.Parameter(torch.empty(n_action_tokens, width).normal_())
        self.norm_action = nn.LayerNorm(width)
        self.inducing = InducingTokens(width, 0, heads, n_inducing)
        self.queries = nn.Parameter(torch.empty(genes, width).normal_())
        self.own = linear(width, width) if own_token else None
        self.blocks = nn.ModuleList(FixedBlock(width, heads, action_width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.mean = linear(width, width)
        self.logvar = linear(width, width, zero=True)

    def forward(self, context: Encoded, actions: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Predict; see :meth:`ActionPredictor.forward`. T = G."""
        check_actions(actions, present, self.action_width)
        batch, n_actions, _ = actions.shape
        pooled = self.inducing(context.tokens)
        tokens = self.adapter(actions).view(batch, n_actions, self.n_action_tokens, self.width) + self.action_token
        tokens = self.norm_action(tokens).view(batch, n_actions * self.n_action_tokens, self.width)
        source = torch.cat([pooled, tokens.to(pooled.dtype)], dim=1)
        # The pooled tokens are always there, so that no query is left without a key even when no action is.
        keep = torch.cat(
            [present.new_ones(batch, pooled.shape[1]), present.repeat_interleave(self.n_action_tokens, 1)], dim=1
        )
        h = self._start(context, batch)
        h = run_blocks(self.blocks, h, self.checkpoint_activations, source, keep, action_sum(actions, present))
        h = self.norm(h)
        return self.mean(h), clamp_logvar(self.logvar(h))

    def _start(self, context: Encoded, batch: int) -> Tensor:
        if self.own is None:
            return self.queries.expand(batch, -1, -1)
        if context.tokens.shape[1] != self.genes:
            raise BenchError(
                f"own_token needs one context token per gene ({self.genes}) and got {context.tokens.shape[1]}; "
                "use an encoder with one token per gene, unmasked, or own_token=False."
            )
        start: Tensor = self.queries + self.own(context.tokens)
        return start
