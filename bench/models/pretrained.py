"""Models whose encoder is pretrained by an objective; the objective is all in which they differ."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from bench.core.arguments import checked
from bench.core.files import sha256_json
from bench.core.given_files import recorded
from bench.data.datamodule import PerturbationDataModule
from bench.models import trials
from bench.models.base import PerturbationModel
from bench.models.encoder_maker import EncoderMaker
from bench.models.encoder_model import EncoderModel
from bench.models.response import ResponseConfig
from bench.nn.encoder import EncoderConfig
from bench.training.objective import Objective
from bench.training.pretraining import PretrainConfig, Pretraining

#: Raised when checkpoints are laid out anew, so that older ones are not taken for one's own.
LAYOUT = 4
#: Arguments of the second stage: runs that differ in them alone share a checkpoint.
SECOND_STAGE = frozenset(f.name for f in fields(ResponseConfig)) - {f.name for f in fields(PretrainConfig)}


class Pretrained(EncoderMaker):
    """Pretrains an encoder by an objective.

    Args:
        objective: Views, heads and loss.
        architecture: Kind and sizes of the encoder.
        training: Budget and optimiser.

    Attributes:
        trained: The objective's heads after :meth:`make`, where it says that they are of use.
    """

    trained: nn.ModuleDict

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
        encoder = pretraining.run(
            datamodule, model.fit_report, model.fit_context, checkpoint_folder(model, datamodule), model.warnings.append
        )
        if pretraining.objective.keeps_heads:
            self.trained = pretraining.objective.heads
        return encoder

    def blank(self, genes: int, state: Mapping[str, torch.Tensor]) -> nn.Module:
        """The encoder alone: heads and teacher serve pretraining only."""
        return self.architecture.build(genes, self.checkpoint_activations)


def checkpoint_folder(model: PerturbationModel, datamodule: PerturbationDataModule) -> Path | None:
    """Where a pretraining's checkpoint lies: runs that differ in the second stage alone share it."""
    context = model.fit_context
    if context.folder is None:
        return None
    second = getattr(model, "second_stage", SECOND_STAGE)
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

    Attributes:
        second_stage: Arguments on which the pretraining does not depend.
    """

    maker: Pretrained
    second_stage: ClassVar[frozenset[str]] = SECOND_STAGE

    @checked
    def __init__(
        self,
        objective: Objective,
        architecture: EncoderConfig,
        training: PretrainConfig,
        response: ResponseConfig,
    ) -> None:
        super().__init__(Pretrained(objective, architecture, training), response)

    @property
    def _trials(self) -> int:
        return self.maker.training.trials

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """As of any encoder; of several trials, the one whose response has the smallest error on what is held out."""
        if self._trials == 1:
            super().fit(datamodule)
        else:
            self._try(datamodule, lambda trial: trial.fit(datamodule))

    def freeze_encoder(self, datamodule: PerturbationDataModule) -> None:
        """As of any encoder; of several trials, the one from whose latents held-out shifts are decoded best."""
        if self._trials == 1:
            super().freeze_encoder(datamodule)
        else:
            self._try(datamodule, lambda trial: trial.freeze_encoder(datamodule))

    def _try(self, datamodule: PerturbationDataModule, fit: Callable[[PretrainedModel], None]) -> None:
        settings = trials.offered(self.maker.objective, self._trials, datamodule.seed)
        trials.take_best(self, settings, fit)
