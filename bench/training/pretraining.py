"""How an encoder is pretrained by any objective: same start, cells, order, optimiser, budget and choice of the step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from pydantic import JsonValue
from torch import nn

from bench.core.arguments import (
    FractionBelowOne,
    NonNegativeFloat,
    Part,
    PositiveFloat,
    PositiveInt,
    Range,
    settings,
)
from bench.core.files import sha256_json
from bench.core.given_files import FilePath, SilentDefault
from bench.data.datamodule import CellsBatch, PerturbationDataModule
from bench.data.more_cells import read_more_cells
from bench.nn.ema import make_teacher
from bench.nn.encoder import EncoderConfig
from bench.training.curves import agreement
from bench.training.fit import FitContext, FitReport
from bench.training.flops import flops_of
from bench.training.looked import looked_at
from bench.training.monitors import EMATeacher, Monitor
from bench.training.objective import MASK, Encoders, Objective
from bench.training.trainer import KeepBest, Precision, optimiser, train

Export = Literal["average", "student"]
#: Looks at the val cells in one pretraining.
LOOKS = 10


@settings
class PretrainConfig(Part):
    """How long and how fast every objective is trained.

    Args:
        epochs: Passes over the train cells and input controls; over 10,240 of them, drawn anew, where there are more.
        batch_size: Cells per step.
        learning_rate: Highest learning rate.
        weight_decay: Weight decay of the pretraining.
        momentum: Of the averaged weights (the EMA teacher).
        export: Which weights are frozen: the ``average`` or the ``student``.
        checkpoint_activations: Compute activations again in the backward pass, to save memory.
        precision: ``32-true`` or ``bf16-mixed``, of both stages.
        pretrain_data: h5ad file of more cells to pretrain on, unlabelled, aligned by gene names; an epoch is then a
            pass over these too. No cell that is hidden from models may be in it.
        looks: Times that held-out cells are looked at; of an encoder of tokens a look costs as much as a hundred steps.
        trials: Settings of the objective that are tried, its own first; what val (or folds of the train part) says is
            best stays.
    """

    epochs: PositiveInt = 40
    batch_size: Annotated[int, Range(2)] = 256
    learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.05
    momentum: FractionBelowOne = 0.996
    export: Export = "average"
    checkpoint_activations: bool = False
    precision: Precision = "32-true"
    pretrain_data: FilePath = ""
    looks: Annotated[int, Range(1), SilentDefault()] = LOOKS
    trials: Annotated[int, Range(1), SilentDefault()] = 1


class Pretraining(lightning.LightningModule):
    """One pretraining of an encoder on train cells.

    Args:
        objective: Its loss; a copy of it is built on the encoders.
        architecture: Kind and sizes of the encoder.
        config: Budget and optimiser.
        datamodule: The task; its seed decides the first weights, which are the same for every objective.

    Attributes:
        more: Cells of another file that it is trained on too.
        steps: Optimiser steps of the whole.
    """

    def __init__(
        self,
        objective: Objective,
        architecture: EncoderConfig,
        config: PretrainConfig,
        datamodule: PerturbationDataModule,
    ) -> None:
        super().__init__()
        self.config, self.seed, self.genes = config, datamodule.seed, len(datamodule.genes)
        learned = datamodule.representation_rows("train")
        file = Path(config.pretrain_data) if config.pretrain_data else None
        self.more = None if file is None else read_more_cells(file, datamodule.dataset, learned)
        self._loader = datamodule.cells_dataloader(config.batch_size, None if self.more is None else self.more.x)
        self._cells = len(learned) + (0 if self.more is None else self.more.x.shape[0])
        self.objective = copy.deepcopy(objective)
        state = torch.random.get_rng_state()
        torch.manual_seed(datamodule.seed)  # every objective's encoder starts from the same weights
        student = architecture.build(self.genes, config.checkpoint_activations)
        self.objective.build(
            Encoders(
                student=student,
                teacher=make_teacher(student),
                architecture=architecture,
                genes=self.genes,
                conditions=int(datamodule.dataset.condition.max()) + 1,  # those that some cell is of
                checkpoint_activations=config.checkpoint_activations,
            )
        )
        torch.random.set_rng_state(state)
        self.steps = config.epochs * len(self._loader)

    @property
    def student(self) -> nn.Module:
        """The encoder that is trained."""
        return self.objective.student

    @property
    def teacher(self) -> nn.Module:
        """Its average over the steps."""
        return self.objective.teacher

    def described(self, datamodule: PerturbationDataModule) -> dict[str, JsonValue]:
        """What is trained, as plain values: a checkpoint of anything else is not its own."""
        kind = type(self.objective)
        return {
            "class": f"{kind.__module__}.{kind.__qualname__}",
            # Where a file lies says nothing; the batches of another one are as many as its cells.
            "training": {
                f.name: getattr(self.config, f.name)
                for f in fields(self.config)
                # A number of looks that is not named is that of all trainings before there was a choice.
                if f.name != "pretrain_data" and (f.name, getattr(self.config, f.name)) != ("looks", LOOKS)
            },
            "cells": self._cells,
            "genes": sha256_json(list(datamodule.genes)),
            "data": datamodule.dataset.hash,
            "split": datamodule.split.split_id,
            "seed": self.seed,
            **({} if datamodule.split.train else {"step by": looked_at(datamodule).of}),
        }

    def exported(self) -> nn.Module:
        """The weights that are frozen."""
        return self.teacher if self.config.export == "average" else self.student

    def run(
        self,
        datamodule: PerturbationDataModule,
        report: FitReport,
        context: FitContext,
        folder: Path | None,
        warn: Callable[[str], None],
    ) -> nn.Module:
        """Train, and return the encoder at its best step.

        Args:
            datamodule: The task.
            report: Gets cells, steps, operations, parameters and how the step was chosen.
            context: Logger and progress.
            folder: Where the checkpoint is kept; ``None`` = nowhere.
            warn: Gets what a reader should know before believing the encoder.
        """
        monitor = Monitor(self.exported(), self.student, datamodule, self.objective.mask or MASK)

        def look() -> float:
            value = monitor.look()
            if context.logger:
                assert monitor.decoded is not None
                shifts = (torch.from_numpy(x) for x in (monitor.decoded.shifts, monitor.decoded.true_shifts))
                curves = {f"val_{name}": number for name, number in agreement(*shifts).items()}
                numbers = {f"monitor/{name}": number for name, number in (monitor.last | curves).items()}
                context.logger.log_metrics(numbers | monitor.watch(), self.global_step)
            own = self.objective.look(self.exported())
            return value if own is None else own

        best = nn.ModuleList([self.exported(), self.objective.heads]) if self.objective.keeps_heads else self.exported()
        keep = KeepBest(best, look, max(1, self.steps // self.config.looks))
        callbacks: list[Callback] = [EMATeacher(self.config.momentum), monitor, keep]
        batch = min(self.config.batch_size, self._cells)
        report.flops = self.flops_per_cell() * batch * self.steps
        report.earlier_s += train(
            self,
            self._loader,
            self.steps,
            "pretrain",
            callbacks=callbacks,
            precision=self.config.precision,
            logger=context.logger,
            say=context.say,
            folder=folder,
            fresh=context.fresh,
            described=self.described(datamodule),
        )
        report.steps += self.steps
        report.cells_seen += self.steps * batch
        report.parameters["pretraining heads"] = sum(p.numel() for p in self.objective.heads.parameters())
        for line in self.more.notes if self.more else ():
            warn(line)
        part = "predicted" if self.objective.keeps_heads else "decodable"
        report.error = keep.history[keep.best_step]
        kept = 1 - report.error
        if keep.best_step == 0:
            warn(
                f"in {self.steps} steps of pretraining {monitor.of} never became more {part} than before: the "
                "encoder is the untrained one"
            )
        report.selection = (
            f"pretraining step {keep.best_step} of {self.steps} by the {part} part of {monitor.of} ({kept:.2f})"
        )
        return self.exported()

    def training_step(self, batch: CellsBatch, batch_idx: int = 0) -> torch.Tensor:
        """One step."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        parts = self.objective.losses(batch, generator)
        total: torch.Tensor = torch.stack(list(parts.values())).sum()
        self.log_dict({f"pretrain/{name}": value.detach() for name, value in parts.items()})
        return total

    def configure_optimizers(self) -> Any:
        """The optimiser that every stage uses."""
        parameters = [*self.student.parameters(), *self.objective.heads.parameters()]
        return optimiser(parameters, self.config.learning_rate, self.config.weight_decay, self.steps)

    def flops_per_cell(self) -> float:
        """Floating-point operations of a step, forward and backward, per cell."""
        cells = torch.zeros(2, self.genes)
        batch = CellsBatch(cells, torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.int64))
        generator = torch.Generator().manual_seed(0)
        counted = flops_of(lambda: torch.stack(list(self.objective.losses(batch, generator).values())).sum())
        self.zero_grad(set_to_none=True)
        return counted / 2
