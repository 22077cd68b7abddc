"""What models with a network trained on pairs of cells share: fitting, predicting, counting fallbacks."""

from __future__ import annotations

import abc

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from baselines._cell_net import CellNet, Setting, fit_best, settings
from bench.core.conditions import CONTROL
from bench.core.typing import Floats
from bench.data.datamodule import InputBatch, PerturbationDataModule
from bench.data.features.resolve import load_banks
from bench.models.base import PerturbationModel
from bench.models.kept import Asked, Kept, put_back
from bench.models.response.actions import ActionTable
from bench.training.fit import FitContext
from bench.training.trainer import one_thread


def action_table(model: PerturbationModel, datamodule: PerturbationDataModule, features: str) -> ActionTable:
    """Load the feature banks of a specification and look up every condition's actions; inputs and warnings are kept."""
    banks = load_banks(features, datamodule)
    model.record_banks(banks, datamodule)
    return ActionTable(datamodule, banks)


class CellNetModel(PerturbationModel, abc.ABC):
    """A model that trains a :class:`CellNet` per setting and keeps the best.

    A subclass declares its own arguments, as they are its flags, checks them, and makes the network.

    Args:
        features: Specification of the feature banks.
        width: Hidden width; 0 tries several.
        learning_rate: Highest learning rate; 0 tries several.
        latent: Width of the latent space.
        identity_dropout: How often a known perturbation's identity is dropped in training.
        weight_decay: Weight decay.
        epochs: Passes over the train cells.
        batch_size: Perturbed cells per step.

    Raises:
        ValueError: A negative width or learning rate.
    """

    def __init__(
        self,
        features: str,
        width: int,
        learning_rate: float,
        latent: int,
        identity_dropout: float,
        weight_decay: float,
        epochs: int,
        batch_size: int,
    ) -> None:
        super().__init__()
        self.features, self.trials = features, settings(width, learning_rate)
        self.latent, self.identity_dropout = latent, identity_dropout
        self.decay, self.epochs, self.batch_size = weight_decay, epochs, batch_size
        self.net: CellNet
        self._table: ActionTable
        self._missing: dict[str, int] = {}

    @abc.abstractmethod
    def make_net(self, control: int, table: ActionTable, mean: Floats, setting: Setting, steps: int) -> CellNet:
        """Make the network of one trial.

        Args:
            control: Number of the control among the conditions.
            table: The actions of its conditions.
            mean: Mean expression of the train conditions, each counting once ``[G]``.
            setting: Of this trial.
            steps: Of the whole training.
        """

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Train a network per setting and keep the best."""
        table = action_table(self, datamodule, self.features)
        self._table, self._missing = table, table.missing
        control = datamodule.dataset.conditions.index(CONTROL)
        mean = datamodule.pseudobulk("train").means.mean(axis=0)

        def make(setting: Setting, steps: int) -> CellNet:
            return self.make_net(control, table, mean, setting, steps)

        self.net = fit_best(self, datamodule, make, self.trials, self.epochs, self.batch_size)

    @torch.no_grad()
    def predict_step(self, batch: InputBatch, batch_idx: int = 0) -> Tensor:
        """Expected expression of each input cell under the condition, in float64."""
        with one_thread():
            return self.net.respond(batch.controls, batch.condition).double()

    def fallbacks(self, condition: str) -> int:
        """Count constituents that have no feature and are in no train condition."""
        return self._missing[condition]

    def kept(self) -> Kept:
        """The network of the best trial, its width, the seed of what is drawn, and features of the genes."""
        facts: dict[str, JsonValue] = {"width": self.net.setting.width, "head_seed": self.fit_context.head_seed}
        return Kept(facts, dict(self.state_dict())).with_part(self._table.kept().under("actions"))

    def restore(self, kept: Kept, asked: Asked) -> None:
        """Make the network for the conditions asked for, and load its weights."""
        self._table = ActionTable.restored(kept.part("actions"), asked.conditions)
        self._missing = self._table.missing
        self.fit_context = FitContext(head_seed=int(str(kept.facts["head_seed"])))
        setting = Setting(int(str(kept.facts["width"])), 0.0)
        # No control is among the conditions, and none is needed to predict; nor is the mean, with the weights there.
        self.net = self.make_net(-1, self._table, np.zeros(len(asked.genes)), setting, 0)
        put_back(self, kept.state)
