"""Random encoder: the objectives' encoder with its first weights, frozen without any pretraining."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bench.data.datamodule import PerturbationDataModule
from bench.models.encoder_model import EncoderModel
from bench.models.pretrained import EncoderKind, TokenIdentity
from bench.nn.encoder import build_encoder


class RandomEncoder(EncoderModel):
    """The shared response on the latents of an untrained encoder.

    Args:
        encoder: ``mlp`` or ``gene_transformer``.
        width: Latent width.
        depth: Blocks of the encoder.
        hidden: Hidden width of the mlp encoder.
        heads: Attention heads of the gene transformer.
        token_identity: ``fixed`` or ``report``.
        response: Arguments of the second stage.
    """

    def __init__(
        self,
        encoder: EncoderKind = "mlp",
        width: int = 128,
        depth: int = 2,
        hidden: int = 256,
        heads: int = 4,
        token_identity: TokenIdentity = "fixed",
        **response: Any,
    ) -> None:
        self.heads = heads
        super().__init__(**response)
        self.kind, self.width, self.depth, self.hidden = encoder, width, depth, hidden
        self.token_identity = token_identity

    def make_encoder(self, datamodule: PerturbationDataModule) -> nn.Module:
        """The weights that pretraining would start from."""
        state = torch.random.get_rng_state()
        torch.manual_seed(datamodule.seed)
        encoder = build_encoder(
            self.kind,
            len(datamodule.genes),
            self.width,
            self.depth,
            hidden=self.hidden,
            heads=self.heads,
            identity=self.token_identity,
        )
        torch.random.set_rng_state(state)
        return encoder
