"""Predictors of pretraining: from what a student saw to the latents of what was hidden from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.core.errors import BenchError, unknown
from bench.nn.attention import Block, CrossAttention, FeedForward
from bench.nn.checkpointing import run_blocks
from bench.nn.encoding import Encoded
from bench.nn.gene_transformer import Identity
from bench.nn.inducing import InducingTokens
from bench.nn.initialise import linear
from bench.nn.masking import Mask, hidden_of, mask_of

Context = Literal["all", "pooled"]


class MaskedPredictor(nn.Module, ABC):
    """Predicts teacher latents of hidden genes from a student's output."""

    @abstractmethod
    def forward(self, encoded: Encoded, mask: Mask | Tensor) -> Tensor:
        """Predict latents.

        Args:
            encoded: The student's output for the masked cells.
            mask: The mask under which it was made.

        Returns:
            ``[B, G, D]``, ``[B, M, D]`` (of ``mask.masked``) or ``[B, 1, D]``, by the class.
        """


class ReportMaskedPredictor(MaskedPredictor):
    """As published: blocks over the student's G tokens, a norm, a linear map.

    The student's hidden tokens carry no gene identity, so all hidden genes of a cell get one prediction (defect A-1).

    Args:
        width: Token width ``D``.
        depth: Blocks.
        heads: Heads per block.
        checkpoint_activations: Trade time for memory.

    Source: BioJEPAC report v0.4 (6 blocks at D 256: 4,804,864 parameters).
    """

    def __init__(self, width: int, depth: int, heads: int, *, checkpoint_activations: bool = False) -> None:
        super().__init__()
        self.checkpoint_activations = checkpoint_activations
        self.blocks = nn.ModuleList(Block(width, heads, tanh_gelu=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.out = linear(width, width)

    def forward(self, encoded: Encoded, mask: Mask | Tensor) -> Tensor:
        """Predict ``[B, G, D]``; the loss picks the hidden genes.

        Raises:
            BenchError: If the student's tokens are not one per gene.
        """
        if encoded.tokens.shape[1] != hidden_of(mask).shape[1]:
            raise BenchError(
                "the report predictor needs one token per gene; use it with an encoder of identity 'report'."
            )
        out: Tensor = self.out(self.norm(run_blocks(self.blocks, encoded.tokens, self.checkpoint_activations)))
        return out


class JointMaskedPredictor(MaskedPredictor):
    """Visible tokens and one query per hidden gene, ``mask vector + e_i``, pass through the blocks together.

    Args:
        width: Token width ``D``.
        depth: Blocks, at least 1.
        heads: Heads per block.
        genes: Genes ``G``.
        checkpoint_activations: Trade time for memory.

    Source: the predictor of I-JEPA (Assran et al. 2023), genes instead of positions.
    """

    def __init__(self, width: int, depth: int, heads: int, genes: int, *, checkpoint_activations: bool = False) -> None:
        super().__init__()
        _at_least_one(depth)
        self.checkpoint_activations = checkpoint_activations
        self.queries = nn.Parameter(torch.empty(genes, width).normal_())
        self.hidden_token = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.out = linear(width, width)

    def forward(self, encoded: Encoded, mask: Mask | Tensor) -> Tensor:
        """Predict the hidden genes, ``[B, M, D]``."""
        indexed = _visible_only(encoded, mask)
        asked = F.embedding(indexed.masked, self.queries) + self.hidden_token
        h = torch.cat([encoded.tokens.to(asked.dtype), asked], dim=1)
        h = run_blocks(list(self.blocks)[:-1], h, self.checkpoint_activations)
        # What the last block would make of the visible tokens is never read.
        h = run_blocks([self.blocks[-1]], h, self.checkpoint_activations, indexed.visible.shape[1])
        out: Tensor = self.out(self.norm(h))
        return out


class PooledMaskedPredictor(MaskedPredictor):
    """The cheap one: a few inducing tokens read the visible ones, and each hidden gene reads those once.

    The blocks run on the inducing tokens only, and queries do not see each other, so that the cost per hidden gene is
    one cross-attention and one MLP whatever the depth.

    Args:
        width: Token width ``D``.
        depth: Blocks on the inducing tokens.
        heads: Heads.
        genes: Genes ``G``.
        n_inducing: Inducing tokens.

    Source: Perceiver IO (Jaegle et al. 2022); inducing points as in Lee et al. 2019 (Set Transformer).
    """

    def __init__(self, width: int, depth: int, heads: int, genes: int, *, n_inducing: int = 16) -> None:
        super().__init__()
        self.inducing = InducingTokens(width, depth, heads, n_inducing)
        self.queries = nn.Parameter(torch.empty(genes, width).normal_())
        self.hidden_token = nn.Parameter(torch.zeros(width))
        self.norm_query = nn.LayerNorm(width)
        self.read = CrossAttention(width, heads, softmax=True)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = FeedForward(width)
        self.norm = nn.LayerNorm(width)
        self.out = linear(width, width)

    def forward(self, encoded: Encoded, mask: Mask | Tensor) -> Tensor:
        """Predict the hidden genes, ``[B, M, D]``."""
        indexed = _visible_only(encoded, mask)
        source = self.inducing(encoded.tokens)
        # Before it reads, a query does not depend on the cell: project each gene's once, then look up.
        asked = self.queries + self.hidden_token
        table = torch.cat([asked, self.read.q(self.norm_query(asked)).to(asked.dtype)], dim=1)
        h, q = F.embedding(indexed.masked, table).chunk(2, dim=-1)
        h = h + self.read.mix(q.to(source.dtype), source)
        h = h + self.mlp(self.norm_mlp(h))
        out: Tensor = self.out(self.norm(h))
        return out


class VectorMaskedPredictor(MaskedPredictor):
    """For encoders with one vector per cell: an MLP of the vector and of which genes were hidden.

    Args:
        width: Latent width ``D``.
        genes: Genes ``G``.
        hidden: Hidden width.
    """

    def __init__(self, width: int, genes: int, hidden: int) -> None:
        super().__init__()
        self.vector = linear(width, hidden)
        self.flags = linear(genes, hidden, bias=False, zero=True)
        self.middle = linear(hidden, hidden)
        self.out = linear(hidden, width)

    def forward(self, encoded: Encoded, mask: Mask | Tensor) -> Tensor:
        """Predict the teacher's vector, ``[B, 1, D]``."""
        flags = hidden_of(mask).to(self.flags.weight.dtype)
        h = F.gelu(self.vector(encoded.pooled) + self.flags(flags))
        out: Tensor = self.out(F.gelu(self.middle(h)))
        return out[:, None]


def TokenMaskedPredictor(
    width: int,
    depth: int,
    heads: int,
    genes: int,
    identity: Identity = "fixed",
    context: Context = "all",
    *,
    n_inducing: int = 16,
    checkpoint_activations: bool = False,
) -> MaskedPredictor:
    """Make the predictor that fits an encoder of one token per gene.

    Args:
        width: Token width ``D``.
        depth: Blocks.
        heads: Heads per block.
        genes: Genes ``G``.
        identity: That of the encoder.
        context: In ``fixed``: ``all`` visible tokens, or a few tokens ``pooled`` from them.
        n_inducing: Inducing tokens of ``pooled``.
        checkpoint_activations: Trade time for memory; ``pooled`` has nothing worth it.

    Raises:
        BenchError: If a choice is unknown.
    """
    if identity == "report":
        return ReportMaskedPredictor(width, depth, heads, checkpoint_activations=checkpoint_activations)
    if identity != "fixed":
        raise unknown("token identity", identity, ["fixed", "report"])
    if context == "all":
        return JointMaskedPredictor(width, depth, heads, genes, checkpoint_activations=checkpoint_activations)
    if context == "pooled":
        return PooledMaskedPredictor(width, depth, heads, genes, n_inducing=n_inducing)
    raise unknown("predictor context", context, ["all", "pooled"])


def _visible_only(encoded: Encoded, mask: Mask | Tensor) -> Mask:
    indexed = mask if isinstance(mask, Mask) else mask_of(mask)
    tokens, visible = encoded.tokens.shape[1], indexed.visible.shape[1]
    if tokens != visible:
        raise BenchError(
            f"the predictor got {tokens} tokens for {visible} visible genes; "
            "expected the output of an encoder of identity 'fixed' under the same mask."
        )
    return indexed


def _at_least_one(depth: int) -> None:
    if depth < 1:
        raise BenchError(f"predictor depth is {depth}; expected at least 1.")
