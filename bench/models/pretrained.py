"""Models whose encoder is pretrained by an objective; the objective is all in which they differ."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import torch
from torch import nn

from bench.core.arguments import checked
from bench.core.files import sha256_json
from bench.core.given_files import recorded
from bench.data.datamodule import PerturbationDataModule
from bench.models.base import PerturbationModel
from bench.models.encoder_maker import EncoderMaker
from bench.models.encoder_model import EncoderModel
from bench.models.response import ResponseConfig
from bench.nn.encoder import EncoderConfig
from bench.training.objective import Objective
from bench.training.pretraining import PretrainConfig, Pretraining

#: Raised when checkpoints are laid out anew, so that older ones are not taken for one's own.
LAYOUT = 3


class Pretrained(EncoderMaker):
    """Pretrains an encoder by an objective.

    Args:
        objective: Views, heads and loss.
        architecture: Kind and sizes of the encoder.
        training: Budget and optimiser.
    """

    def __init__(self, objective: Objective, architecture: EncoderConfig, training: PretrainConfig) -> None:
        self.objective, self.architecture, self.training = objective, architecture, training
        self.heads, self.checkpoint_activations = architecture.heads, training.checkpoint_activations
        self.small = architecture.encoder == "mlp"

    def pretraining(self, datamodule: PerturbationDataModule) -> Pretraining:
        """Student, teacher and heads at their first weights."""
        return Pretraining(self.objective, self.architecture, self.training, datamodule)

    def make(self, datamodule: PerturbationDataModule, model: PerturbationModel) -> nn.Module:
        """Pretrain, and return the encoder at its best step."""
        pretraining = self.pretraining(datamodule)
        if pretraining.more:
            model.inputs["pretrain_data"] = pretraining.more.hash
        return pretraining.run(
            datamodule, model.fit_report, model.fit_context, checkpoint_folder(model, datamodule), model.warnings.append
        )

    def blank(self, genes: int, state: Mapping[str, torch.Tensor]) -> nn.Module:
        """The encoder alone: heads and teacher serve pretraining only."""
        return self.architecture.build(genes, self.checkpoint_activations)


def checkpoint_folder(model: PerturbationModel, datamodule: PerturbationDataModule) -> Path | None:
    """Where a pretraining's checkpoint lies: runs that differ in the second stage alone share it."""
    context = model.fit_context
    if context.folder is None:
        return None
    second = {field.name for field in fields(ResponseConfig)} - {field.name for field in fields(PretrainConfig)}
    arguments = recorded(type(model), context.arguments)
    identity = {
        "layout": LAYOUT,
        "model": type(model).__name__,
        "version": model.version,
        "arguments": {name: value for name, value in arguments.items() if name not in second},
        "data": datamodule.dataset.hash,
        "split": datamodule.split.split_id,
        "seed": datamodule.seed,
    }
    return context.folder / f"{type(model).__name__.lower()}-{sha256_json(identity)[:12]}"


class PretrainedModel(EncoderModel, abc.ABC):
    """A frozen encoder that an objective pretrained on train cells.

    Args:
        objective: Views, heads and loss.
        architecture: Kind and sizes of the encoder.
        training: Budget and optimiser of the pretraining.
        response: The second stage.
    """

    maker: Pretrained

    @checked
    def __init__(
        self,
        objective: Objective,
        architecture: EncoderConfig,
        training: PretrainConfig,
        response: ResponseConfig,
    ) -> None:
        super().__init__(Pretrained(objective, architecture, training), response)
