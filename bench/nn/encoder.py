"""Encoders by name."""

from __future__ import annotations

from typing import Literal

from bench.core.arguments import NonNegativeInt, Part, PositiveInt, settings
from bench.core.errors import unknown
from bench.nn.encoding import Encoded, Encoder
from bench.nn.gene_transformer import GeneTransformer, Identity
from bench.nn.mlp_encoder import MLPEncoder

__all__ = [
    "Encoded",
    "Encoder",
    "EncoderConfig",
    "EncoderKind",
    "GeneTransformer",
    "Identity",
    "MLPEncoder",
    "build_encoder",
]

EncoderKind = Literal["mlp", "gene_transformer"]


def build_encoder(
    kind: EncoderKind,
    genes: int,
    width: int,
    depth: int,
    heads: int = 4,
    identity: Identity = "fixed",
    checkpoint_activations: bool = False,
    hidden: int | None = None,
) -> Encoder:
    """Make an encoder.

    Args:
        kind: ``mlp`` (one vector per cell, CPU minutes) or ``gene_transformer`` (one token per gene).
        genes: Genes ``G``.
        width: Latent width ``D``.
        depth: Blocks.
        heads: Attention heads (``gene_transformer``).
        identity: Which tokens (``gene_transformer``).
        checkpoint_activations: Trade time for memory (``gene_transformer``).
        hidden: Width of the blocks (``mlp``); twice ``D`` if not given.

    Raises:
        BenchError: If the kind or the identity is unknown.
    """
    if identity not in ("fixed", "report"):
        raise unknown("token identity", identity, ["fixed", "report"])
    if kind == "mlp":
        return MLPEncoder(genes, width, depth, hidden or 2 * width)
    if kind == "gene_transformer":
        return GeneTransformer(genes, width, depth, heads, identity, checkpoint_activations)
    raise unknown("encoder", kind, ["mlp", "gene_transformer"])


@settings
class EncoderConfig(Part):
    """Which encoder, and its sizes.

    Args:
        encoder: ``mlp`` or ``gene_transformer``.
        width: Latent width.
        depth: Blocks of the encoder.
        hidden: Hidden width of the mlp encoder.
        heads: Attention heads of the gene transformer.
        token_identity: ``fixed``, or ``report`` (as published: hidden genes are not told apart).

    Raises:
        ValueError: A width that is no multiple of the heads.
    """

    encoder: EncoderKind = "mlp"
    width: PositiveInt = 128
    depth: NonNegativeInt = 2
    hidden: PositiveInt = 256
    heads: PositiveInt = 4
    token_identity: Identity = "fixed"

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")

    def build(self, genes: int, checkpoint_activations: bool = False) -> Encoder:
        """Make the encoder for some genes, its weights drawn from torch's generator.

        Args:
            genes: Number of genes ``G``.
            checkpoint_activations: Trade time for memory.
        """
        return build_encoder(
            self.encoder,
            genes,
            self.width,
            self.depth,
            hidden=self.hidden,
            heads=self.heads,
            identity=self.token_identity,
            checkpoint_activations=checkpoint_activations,
        )
