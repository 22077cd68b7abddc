"""Random encoder: the objectives' encoder with its first weights, frozen without any pretraining."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from bench.core.arguments import checked
from bench.data.datamodule import PerturbationDataModule
from bench.models.base import PerturbationModel
from bench.models.encoder_maker import EncoderMaker
from bench.models.encoder_model import EncoderModel
from bench.models.response import ResponseConfig
from bench.nn.encoder import EncoderConfig


class Untrained(EncoderMaker):
    """The encoder that pretraining would start from.

    Args:
        architecture: Its kind and sizes.
    """

    def __init__(self, architecture: EncoderConfig) -> None:
        self.architecture, self.heads = architecture, architecture.heads

    def make(self, datamodule: PerturbationDataModule, model: PerturbationModel) -> nn.Module:
        """Draw the weights from the pretraining seed."""
        state = torch.random.get_rng_state()
        torch.manual_seed(datamodule.seed)
        made = self.architecture.build(len(datamodule.genes))
        torch.random.set_rng_state(state)
        return made

    def blank(self, genes: int, state: Mapping[str, torch.Tensor]) -> nn.Module:
        """The encoder at other weights."""
        return self.architecture.build(genes)


class RandomEncoder(EncoderModel):
    """The shared response on the latents of an untrained encoder."""

    row_kind = "control"

    @checked
    def __init__(self, architecture: EncoderConfig, response: ResponseConfig) -> None:
        super().__init__(Untrained(architecture), response)
