"""How every learned stage is trained: one optimiser, one schedule, one rule for which step is kept."""

from __future__ import annotations

import contextlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import nn

from bench.core.console import note
from bench.training.checkpoints import Described, Sealed, WholeOrNothing, refusal

Precision = Literal["32-true", "bf16-mixed"]
#: Share of the steps in which the learning rate rises. Source: BioJEPAC report (OneCycleLR, ``pct_start``).
WARM_UP = 0.05
#: Share of the learning rate for what is trained slowly. Source: BioJEPAC report (its composer in the second stage).
SLOW = 0.1
#: Source: BioJEPAC report.
GRADIENT_CLIP = 1.0
#: Checkpoints in one training.
CHECKPOINTS = 5


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Lightning's hardware report and hints; they are not about the user's data."""
    loggers = [
        logging.getLogger(name)
        for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
    ]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def one_thread(wanted: bool = True) -> Iterator[None]:
    """Let torch work on one thread, if wanted.

    Small models gain next to nothing from more, lose much where cores are shared, and sums would be rounded otherwise
    on a machine with another number of cores.
    """
    before = torch.get_num_threads()
    try:
        if wanted:
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)


def optimiser(
    parameters: Sequence[nn.Parameter],
    rate: float,
    weight_decay: float,
    steps: int,
    slow: Sequence[nn.Parameter] = (),
) -> dict[str, Any]:
    """AdamW with a one-cycle schedule, as Lightning wants it returned.

    Args:
        parameters: What is trained.
        rate: Highest learning rate.
        weight_decay: Decoupled weight decay.
        steps: Steps of the whole schedule.
        slow: What is trained at a tenth of the rate.

    Source: BioJEPAC report: AdamW, OneCycleLR with ``pct_start`` 0.05, and the tenth (of its composer).
    """
    groups: list[dict[str, Any]] = [{"params": list(parameters), "lr": rate}]
    if slow:
        groups.append({"params": list(slow), "lr": SLOW * rate})
    adam = torch.optim.AdamW(groups, lr=rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        adam, max_lr=[group["lr"] for group in groups], total_steps=max(steps, 1) + 1, pct_start=WARM_UP
    )
    return {"optimizer": adam, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class KeepBest(Callback):
    """Measure every few steps, keep the weights of the smallest value, and put them back at the end: never the last.

    The state before the first step is a candidate too. All of it is in the checkpoint.

    Args:
        module: What is kept.
        measure: The value, smaller is better; it must not look at test conditions.
        every: Steps between measurements; the last step is always measured.
        curve: What the value is logged under; empty = it is not.

    Attributes:
        history: Value by step.
        best_step: Step of the smallest value.
    """

    def __init__(self, module: nn.Module, measure: Callable[[], float], every: int, curve: str = "") -> None:
        self.module, self.measure, self.every, self.curve = module, measure, max(1, every), curve
        self.history: dict[int, float] = {}
        self.best_step = 0
        self._weights: dict[str, torch.Tensor] = {}

    def look(self, step: int) -> None:
        """Measure at a step, unless that was done."""
        if step in self.history:
            return
        training = self.module.training
        self.module.eval()
        with torch.no_grad():
            value = float(self.measure())
        self.module.train(training)
        self.history[step] = value
        best = self.history.get(self.best_step, float("inf"))
        if not self._weights or value < best:
            self.best_step = step
            self._weights = {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Measure what there is before the first step; a resumed training has done so, and looks when it is time."""
        if not self.history:
            self._look(trainer)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Measure every few steps."""
        if trainer.global_step % self.every == 0:
            self._look(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Measure the last step."""
        self._look(trainer)

    def _look(self, trainer: Any) -> None:
        step = trainer.global_step
        new = step not in self.history
        self.look(step)
        if new and self.curve and trainer.logger:
            trainer.logger.log_metrics({self.curve: self.history[step]}, step)

    def restore(self) -> None:
        """Put the best weights back."""
        if self._weights:
            self.module.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"history": self.history, "best_step": self.best_step, "weights": self._weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.history, self.best_step = dict(state_dict["history"]), int(state_dict["best_step"])
        self._weights = dict(state_dict["weights"])


class _Pace(Callback):
    """Log throughput and learning rate, and tell the user about every tenth of the way."""

    def __init__(self, name: str, steps: int, say: Callable[[str], None]) -> None:
        self.name, self.steps, self.say, self.cells, self.begin = name, steps, say, 0, 0.0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.begin, self.cells = time.perf_counter(), 0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.cells += len(batch[0]) if isinstance(batch, tuple) else 0
        step, total = trainer.global_step, self.steps
        if total > 0 and step % max(1, total // 10) == 0:
            self.say(f"{self.name} {100 * step // total}%")
            if trainer.logger:
                numbers = {f"{self.name}/learning_rate": trainer.optimizers[0].param_groups[0]["lr"]}
                if self.cells:
                    numbers[f"{self.name}/cells_per_s"] = self.cells / (time.perf_counter() - self.begin)
                trainer.logger.log_metrics(numbers, step)


def train(
    module: lightning.LightningModule,
    loader: Any,
    steps: int,
    name: str,
    *,
    callbacks: Sequence[Callback] = (),
    precision: Precision = "32-true",
    logger: Any = None,
    say: Callable[[str], None] = lambda text: None,
    folder: Path | None = None,
    fresh: bool = False,
    described: Described = MappingProxyType({}),
) -> float:
    """Train a module for a number of steps; where a folder is given, go on from the checkpoint that lies in it.

    Args:
        module: With ``training_step`` and ``configure_optimizers``.
        loader: Its batches; repeated until the steps are done. With a folder, ``steps`` are whole epochs of it.
        steps: Optimiser steps.
        name: Of the stage, for progress and logs.
        callbacks: Further callbacks.
        precision: ``32-true`` or ``bf16-mixed``.
        logger: Lightning logger.
        say: Tells the user how far it is.
        folder: Where the checkpoint is kept; ``None`` = nowhere.
        fresh: Start anew, whatever checkpoint there is.
        described: What is trained, as plain values: a checkpoint of anything else is not gone on from.

    Returns:
        Seconds that earlier processes spent on it: what a resumed training cost is these and its own.
    """
    saver: list[Callback] = []
    sealed = Sealed(described)
    last = folder / "last.ckpt" if folder else None
    if last is not None and fresh:
        last.unlink(missing_ok=True)
    limit = {"max_steps": steps, "max_epochs": -1}
    if folder is not None:
        # Limited by steps, Lightning takes every checkpoint for one of the middle of an epoch, and a resumed training
        # would leave a whole epoch of data out.
        limit = {"max_steps": -1, "max_epochs": steps // max(len(loader), 1)}
        every = max(1, limit["max_epochs"] // CHECKPOINTS)
        saver = [
            sealed,
            ModelCheckpoint(folder, "last", every_n_epochs=every, save_top_k=1, enable_version_counter=False),
        ]
    with quiet():
        trainer = lightning.Trainer(
            accelerator="auto",
            devices=1,
            max_steps=limit["max_steps"],
            max_epochs=limit["max_epochs"],
            precision=precision,
            gradient_clip_val=GRADIENT_CLIP,
            logger=logger or False,
            log_every_n_steps=10,
            callbacks=[_Pace(name, steps, say), *callbacks, *saver],
            enable_checkpointing=bool(saver),
            plugins=[WholeOrNothing()] if saver else None,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(module, loader, ckpt_path=_resumed(last, module, described))
        if last is not None and not trainer.interrupted:
            trainer.save_checkpoint(last)
    module.cpu()
    for callback in callbacks:
        if isinstance(callback, KeepBest):
            callback.restore()
    return sealed.earlier_s


def _resumed(last: Path | None, module: lightning.LightningModule, described: Described) -> Path | None:
    """The checkpoint to go on from; one that is not this training's own, or not whole, is told and removed."""
    if last is None or not last.is_file():
        return None
    if reason := refusal(last, module, described):
        note(f"{last}: {reason}. It is not used, and removed: training starts anew.")
        last.unlink()
        return None
    return last
