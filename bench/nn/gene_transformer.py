"""The transformer encoder: one token per gene."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn.attention import Block
from bench.nn.checkpointing import run_blocks
from bench.nn.encoding import Encoded, Encoder, log_total
from bench.nn.initialise import linear
from bench.nn.masking import Mask, hidden_of, mask_of

Identity = Literal["fixed", "report"]

# BioJEPAC report v0.4.
REPORT_EMBEDDING_STD = 0.02


class GeneTransformer(Encoder):
    """Pre-norm transformer with linear attention over genes; pooled = mean over tokens of the last norm's output.

    ``report``, as published: ``token_i = x_i * e_i``, a hidden gene's token is one shared vector. All genes pass, and
    hidden genes of one cell cannot be told apart (defect A-1).

    ``fixed``: ``token_i = e_i + x_i * w_i``. Under a mask only visible genes enter (He et al. 2022), hence T = V; the
    predictor asks for the hidden ones.

    In both, a linear map of the cell's log total is added to every token.

    Args:
        genes: Genes ``G``.
        width: Token width ``D``.
        depth: Blocks ``L``.
        heads: Heads per block, a divisor of ``D``.
        identity: Which tokens.
        checkpoint_activations: Recompute each block in the backward pass: less memory, about a third more time.

    Source: BioJEPAC report v0.4 (G 5000, D 256, L 6, 4 heads: 6,019,840 parameters).
    """

    def __init__(
        self,
        genes: int,
        width: int,
        depth: int,
        heads: int,
        identity: Identity = "fixed",
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__(genes, width)
        self.identity = identity
        self.checkpoint_activations = checkpoint_activations
        if identity == "report":
            self.embedding = nn.Parameter(torch.empty(genes, width).normal_(std=REPORT_EMBEDDING_STD))
            self.hidden_token = nn.Parameter(torch.empty(width).normal_(std=REPORT_EMBEDDING_STD))
        else:
            # e and w in one table [G, 2D]: one lookup fetches both. Of unit size, so that what a block adds to a token
            # (also of unit size) does not drown which gene it is.
            self.embedding = nn.Parameter(torch.empty(genes, 2 * width).normal_())
        # The log total is about 7 in every cell: with the published weights of unit size it would outweigh the rest of
        # a token, so `fixed` lets it in from zero.
        self.total = linear(1, width, zero=identity == "fixed")
        self.blocks = nn.ModuleList(Block(width, heads, tanh_gelu=identity == "report") for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    @property
    def slopes(self) -> Tensor:
        """Directions in which a gene's token moves with its expression, before the blocks ``[G, D]``."""
        return self.embedding if self.identity == "report" else self.embedding.chunk(2, dim=-1)[1]

    def forward(self, x: Tensor, mask: Mask | Tensor | None = None, total: Tensor | None = None) -> Encoded:
        """Encode a batch; see :meth:`Encoder.forward`.

        T = G without a mask and always in ``report``, else the number of visible genes.

        Args:
            x: See there, as for ``mask``.
            mask: See there.
            total: What stands for the cells' log total ``[B, 1]``; absent = the log total.

        Raises:
            BenchError: If ``x`` does not have ``G`` genes, or a boolean mask given to ``fixed`` hides different numbers
                of genes in different cells.
        """
        self._check(x)
        tokens = self._report_tokens(x, mask) if self.identity == "report" else self._fixed_tokens(x, mask)
        depth = self.total(log_total(x) if total is None else total)
        h = run_blocks(self.blocks, tokens + depth[:, None], self.checkpoint_activations)
        out: Tensor = self.norm(h)
        return Encoded(out, out.mean(1))

    def _report_tokens(self, x: Tensor, mask: Mask | Tensor | None) -> Tensor:
        tokens = x[..., None] * self.embedding
        return tokens if mask is None else torch.where(hidden_of(mask)[..., None], self.hidden_token, tokens)

    def _fixed_tokens(self, x: Tensor, mask: Mask | Tensor | None) -> Tensor:
        if mask is None:
            gene, slope = self.embedding.chunk(2, dim=-1)
            return torch.addcmul(gene, x[..., None], slope)
        visible = (mask if isinstance(mask, Mask) else mask_of(mask)).visible
        gene, slope = F.embedding(visible, self.embedding).chunk(2, dim=-1)
        return torch.addcmul(gene, x.gather(1, visible)[..., None], slope)
