"""A network trained on pairs of cells, and how its setting is chosen: what learned baselines share."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn

from bench.data.datamodule import CellBatch, PerturbationDataModule
from bench.models.base import PerturbationModel
from bench.training.selection import MAX_TRIALS, MIN_VAL_CONDITIONS
from bench.training.trainer import KeepBest, one_thread, optimiser, train

#: Tried where there are enough val conditions to choose by; the first of each is the default.
RATES = (1e-3, 3e-3, 3e-4)
WIDTHS = (128, 256)
#: Looks at the val conditions in one training, and input cells of a context from which they are predicted.
LOOKS, CELLS = 20, 64


@dataclass(frozen=True)
class Setting:
    """One trial."""

    width: int
    rate: float


def settings(width: int, rate: float) -> list[Setting]:
    """The trials of a model, the default first; 0 stands for all values.

    Raises:
        ValueError: A negative value.
    """
    if width < 0 or rate < 0:
        raise ValueError("width and learning_rate must not be negative")
    return [Setting(w, r) for w, r in product((width,) if width else WIDTHS, (rate,) if rate else RATES)]


class CellNet(lightning.LightningModule, abc.ABC):
    """A network that is trained on cells and predicts the cells of a condition from control cells.

    Args:
        setting: Of this trial.
        weight_decay: Of the optimiser.
        steps: Of the whole training.
    """

    def __init__(self, setting: Setting, weight_decay: float, steps: int) -> None:
        super().__init__()
        self.setting, self.weight_decay, self.steps = setting, weight_decay, steps

    @abc.abstractmethod
    def loss(self, batch: CellBatch) -> Tensor:
        """What is minimised, of one batch."""

    @abc.abstractmethod
    def respond(self, controls: Tensor, condition: Tensor) -> Tensor:
        """Expected expression of control cells ``[n, G]`` under conditions ``[n]``: ``[n, G]``."""

    def training_step(self, batch: CellBatch, batch_idx: int = 0) -> Tensor:
        """One step."""
        loss = self.loss(batch)
        self.log("train/loss", loss.detach())
        return loss

    def configure_optimizers(self) -> Any:
        """The optimiser that every stage uses."""
        return optimiser(list(self.parameters()), self.setting.rate, self.weight_decay, self.steps)


class MeanError:
    """Squared error of the predicted means of the val conditions, each condition counting once.

    Args:
        net: The network.
        datamodule: The task; nothing of its test part is used.
    """

    def __init__(self, net: CellNet, datamodule: PerturbationDataModule) -> None:
        self.net = net
        cells, bulk = datamodule.dataset, datamodule.pseudobulk("val").by_condition()
        self.true = torch.from_numpy(bulk.means)
        self.condition = torch.tensor([cells.conditions.index(name) for name in bulk.conditions])
        mine = datamodule.task.cells_of("val")
        counts = [np.bincount(cells.context[mine[name]], minlength=len(cells.contexts)) for name in bulk.conditions]
        weights = np.array(counts, dtype=np.float64)
        self.weights = torch.from_numpy(weights / weights.sum(axis=1, keepdims=True))
        self.controls = [torch.from_numpy(cells.x[rows[:CELLS]].toarray()) for rows in datamodule.input_rows]

    @torch.no_grad()
    def __call__(self) -> float:
        """Measure."""
        device = next(self.net.parameters()).device
        predicted = torch.zeros_like(self.true)
        for c, controls in enumerate(self.controls):
            n = len(controls)
            for t in torch.nonzero(self.weights[:, c] > 0)[:, 0].tolist():
                cells = self.net.respond(controls.to(device), self.condition[t].expand(n).to(device))
                predicted[t] += self.weights[t, c] * cells.double().mean(dim=0).cpu()
        return float((predicted - self.true).square().mean())


def fit_best(
    model: PerturbationModel,
    datamodule: PerturbationDataModule,
    make: Callable[[Setting, int], CellNet],
    trials: Sequence[Setting],
    epochs: int,
    batch_size: int,
) -> CellNet:
    """Train a network per setting; keep that setting, and that step, which predicts the val conditions' means best.

    With under 10 val conditions the first setting is trained to its end, and the val conditions are not used.

    Args:
        model: Lends its runtime; gets its ledger.
        datamodule: The task.
        make: Makes the network of a setting, for a number of steps.
        trials: Settings, the default first; the first 8 are tried, in their order.
        epochs: Passes over the train cells.
        batch_size: Perturbed cells per step.
    """
    module = PerturbationDataModule(datamodule.task, batch_size, datamodule.seed)
    steps = epochs * len(module.train_dataloader())
    count = len(datamodule.split.val)
    enough = count >= MIN_VAL_CONDITIONS
    offered = list(trials) if enough else list(trials[:1])
    runtime, ledger = model.fit_context, model.fit_report
    best: tuple[float, int, CellNet] | None = None
    for trial, setting in enumerate(offered[:MAX_TRIALS]):
        # Weights, dropout and noise all come from torch's own stream.
        with one_thread(), torch.random.fork_rng():
            torch.manual_seed(runtime.head_seed)
            net = make(setting, steps)
            keep = KeepBest(net, MeanError(net, datamodule), steps // LOOKS) if enough else None
            train(
                net,
                module.train_dataloader(),
                steps,
                f"trial {trial + 1}",
                callbacks=[keep] if keep else [],
                logger=runtime.logger,
                say=runtime.say,
            )
        net.eval()
        error = keep.history[keep.best_step] if keep else 0.0
        if best is None or error < best[0]:
            best = error, keep.best_step if keep else steps, net
        ledger.trials = trial + 1
        ledger.steps += steps
        ledger.cells_seen += epochs * len(datamodule.rows("train"))
    assert best is not None
    _, step, net = best
    how = f"smallest squared error of means on {count} val conditions, of {ledger.trials} of {len(offered)} settings"
    if not enough:
        how = f"the default setting, one trial, to its end: only {count} val conditions"
    ledger.selection = f"{net.setting}, step {step} of {steps}: {how}"
    ledger.parameters = {"fit": sum(p.numel() for p in net.parameters())}
    return net


def layers(n_in: int, width: int, n_out: int, dropout: float) -> nn.Sequential:
    """``n_in - width - width - n_out`` with layer norm, ReLU and dropout.

    Source: PerturBench, ``nn/mlp.py``: two hidden layers, norms without weights.
    """
    return nn.Sequential(nn.Linear(n_in, width), tail(width, n_out, dropout))


def tail(width: int, n_out: int, dropout: float) -> nn.Sequential:
    """What follows the first linear map of :func:`layers`."""

    def activate() -> list[nn.Module]:
        return [nn.LayerNorm(width, elementwise_affine=False), nn.ReLU(), nn.Dropout(dropout)]

    return nn.Sequential(*activate(), nn.Linear(width, width), *activate(), nn.Linear(width, n_out))
