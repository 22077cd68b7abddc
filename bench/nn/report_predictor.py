"""The published action-conditioned predictor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.core.errors import BenchError
from bench.nn.action_predictor import ActionPredictor, check_actions, clamp_logvar
from bench.nn.attention import CrossAttention, FeedForward, SelfAttention
from bench.nn.checkpointing import run_blocks
from bench.nn.encoding import Encoded
from bench.nn.gene_transformer import REPORT_EMBEDDING_STD
from bench.nn.initialise import linear


class ReportBlock(nn.Module):
    """Pre-norm: linear cross-attention to the actions, linear self-attention, MLP.

    Args:
        width: Token width ``D``.
        heads: Heads, a divisor of ``D``.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_cross = nn.LayerNorm(width)
        self.cross = CrossAttention(width, heads)
        self.norm_attention = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = FeedForward(width, tanh_gelu=True)

    def forward(self, h: Tensor, actions: Tensor, present: Tensor, start: int = 0) -> Tensor:
        """Apply to tokens ``[B, N, D]`` with action tokens ``[B, A, D]``, of which those ``present`` ``[B, A]``.

        Tokens before ``start`` are only read from: of the last block no more is asked. Returns ``[B, N - start, D]``.
        """
        h = h + self.cross(self.norm_cross(h), actions, present)
        h = h[:, start:] + self.attention(self.norm_attention(h), start)
        update: Tensor = self.mlp(self.norm_mlp(h))
        return h + update


class ReportPredictor(ActionPredictor):
    """As published: ``[context tokens; one query per gene]`` pass through the blocks; the queries' half is the output.

    An action is one token (a set of actions is several, an addition). With a single one, linear attention normalises
    to exactly its value: the same vector for every gene and cell (defect A-3; :class:`FixedPredictor` mends it).

    Args:
        genes: Genes ``G``.
        width: Token width ``D``.
        action_width: Action width ``E``.
        depth: Blocks.
        heads: Heads per block.
        checkpoint_activations: Trade time for memory.

    Source: BioJEPAC report v0.4 (G 5000, D 256, E 320, 6 blocks: 7,881,216 parameters).
    """

    def __init__(
        self,
        genes: int,
        width: int,
        action_width: int,
        depth: int,
        heads: int,
        *,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        self.genes, self.action_width = genes, action_width
        self.checkpoint_activations = checkpoint_activations
        self.adapter = nn.Sequential(
            linear(action_width, width), nn.LayerNorm(width), nn.GELU(approximate="tanh"), linear(width, width)
        )
        self.queries = nn.Parameter(torch.empty(genes, width).normal_(std=REPORT_EMBEDDING_STD))
        self.blocks = nn.ModuleList(ReportBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.mean = linear(width, width)
        self.logvar = linear(width, width)

    def forward(self, context: Encoded, actions: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Predict; see :meth:`ActionPredictor.forward`. T = G."""
        check_actions(actions, present, self.action_width)
        tokens = context.tokens
        if tokens.shape[1] != self.genes:
            raise BenchError(
                f"the report predictor got {tokens.shape[1]} context tokens; expected one per gene ({self.genes})."
            )
        h = torch.cat([tokens.to(self.queries.dtype), self.queries.expand(len(tokens), -1, -1)], dim=1)
        described = self.adapter(actions)
        h = run_blocks(self.blocks[:-1], h, self.checkpoint_activations, described, present)
        h = run_blocks(self.blocks[-1:], h, self.checkpoint_activations, described, present, self.genes)
        h = self.norm(h[:, -self.genes :])
        return self.mean(h), clamp_logvar(self.logvar(h))
