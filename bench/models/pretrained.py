"""The template of self-supervised models: pretrain an encoder on train cells, keep its best step, go on as the others.

An objective's file defines its extra heads and its loss, nothing else: encoder, cells, order, optimiser, schedule,
number of cell presentations, averaging of weights and the choice of the step are here, and the same for all.
"""

from __future__ import annotations

import abc
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from bench.core.files import sha256_json
from bench.data.datamodule import CellsBatch, PerturbationDataModule
from bench.models.encoder_model import EncoderModel
from bench.nn.ema import make_teacher
from bench.nn.encoder import build_encoder
from bench.training.flops import flops_of
from bench.training.monitors import EMATeacher, Monitor
from bench.training.trainer import KeepBest, Precision, optimiser, train

EncoderKind = Literal["mlp", "gene_transformer"]
TokenIdentity = Literal["fixed", "report"]
Export = Literal["average", "student"]
#: Looks at the val cells in one pretraining.
LOOKS = 10


class PretrainedModel(EncoderModel, abc.ABC):
    """An encoder pretrained on train cells; a subclass defines :meth:`make_heads` and :meth:`losses`.

    Args:
        encoder: ``mlp`` or ``gene_transformer``.
        width: Latent width.
        depth: Blocks of the encoder.
        hidden: Hidden width of the mlp encoder.
        heads: Attention heads of the gene transformer.
        token_identity: ``fixed``, or ``report`` (as published: hidden genes are not told apart).
        epochs: Passes over the train cells and input controls.
        batch_size: Cells per step.
        learning_rate: Highest learning rate.
        weight_decay: Weight decay of the pretraining.
        momentum: Of the averaged weights (the EMA teacher).
        export: Which weights are frozen: the ``average`` or the ``student``.
        checkpoint_activations: Compute activations again in the backward pass, to save memory.
        precision: ``32-true`` or ``bf16-mixed``, of both stages.
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
        epochs: int = 40,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.05,
        momentum: float = 0.996,
        export: Export = "average",
        checkpoint_activations: bool = False,
        precision: Precision = "32-true",
        **response: Any,
    ) -> None:
        self.heads = heads
        super().__init__(precision=precision, **response)
        if epochs < 1 or batch_size < 2 or width < 1 or depth < 0:
            raise ValueError("epochs must be at least 1, batch_size at least 2, width and depth positive")
        if width % heads:
            raise ValueError(f"width {width} is no multiple of heads {heads}")
        if not 0 <= momentum < 1:
            raise ValueError("momentum must be in [0, 1)")
        self.kind, self.width, self.depth, self.hidden = encoder, width, depth, hidden
        self.token_identity, self.checkpoint_activations = token_identity, checkpoint_activations
        self.epochs, self.batch_size, self.rate, self.decay = epochs, batch_size, learning_rate, weight_decay
        self.momentum, self.export, self.precision = momentum, export, precision
        self.student: nn.Module
        self.teacher: nn.Module
        self.extra: nn.ModuleDict
        self._steps = 0
        self._taken = 0
        self._seed = 0

    @property
    def small(self) -> bool:
        """Whether one thread is enough."""
        return self.kind == "mlp" and super().small

    @abc.abstractmethod
    def make_heads(self, datamodule: PerturbationDataModule) -> dict[str, nn.Module]:
        """Make the modules that the objective needs beside the encoder; they are dropped after pretraining."""

    @abc.abstractmethod
    def losses(self, batch: CellsBatch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Weighted parts of the loss; their sum is minimised.

        Args:
            batch: Cells.
            generator: Source of every random choice, fixed by (seed, step): a resumed run goes on as it would have.
        """

    def prepare(self, datamodule: PerturbationDataModule) -> int:
        """Make student, teacher and heads from the pretraining seed; return the number of steps."""
        self._seed = datamodule.seed
        state = torch.random.get_rng_state()
        torch.manual_seed(datamodule.seed)  # every objective's encoder starts from the same weights
        self.student = build_encoder(
            self.kind,
            len(datamodule.genes),
            self.width,
            self.depth,
            hidden=self.hidden,
            heads=self.heads,
            identity=self.token_identity,
            checkpoint_activations=self.checkpoint_activations,
        )
        self.teacher = make_teacher(self.student)
        self.extra = nn.ModuleDict(self.make_heads(datamodule))
        torch.random.set_rng_state(state)
        self._steps = self.epochs * len(datamodule.cells_dataloader(self.batch_size))
        return self._steps

    def exported(self) -> nn.Module:
        """The weights that are frozen."""
        return self.teacher if self.export == "average" else self.student

    def make_encoder(self, datamodule: PerturbationDataModule) -> nn.Module:
        """Pretrain, and return the encoder at its best step."""
        steps = self.prepare(datamodule)
        monitor = Monitor(self.exported(), self.student, datamodule)

        def look() -> float:
            value = monitor.look()
            if self.fit_context.logger:
                numbers = {f"monitor/{name}": number for name, number in monitor.last.items()}
                self.fit_context.logger.log_metrics(numbers, self.global_step)
            return value

        keep = KeepBest(self.exported(), look, max(1, steps // LOOKS))
        callbacks: list[Callback] = [EMATeacher(self.momentum), monitor, keep]
        self.fit_report.flops = self._flops(datamodule, steps)
        train(
            self,
            datamodule.cells_dataloader(self.batch_size),
            steps,
            "pretrain",
            callbacks=callbacks,
            precision=self.precision,
            logger=self.fit_context.logger,
            say=self.fit_context.say,
            folder=self._folder(datamodule),
            fresh=self.fit_context.fresh,
        )
        self.fit_report.steps += steps
        self.fit_report.cells_seen += steps * self._batch(datamodule)
        self.fit_report.parameters["pretraining heads"] = sum(p.numel() for p in self.extra.parameters())
        kept = 1 - keep.history[keep.best_step]
        if keep.best_step == 0:
            self.warnings.append(
                f"in {steps} steps of pretraining {monitor.of} never became more decodable than before: the encoder is "
                "the untrained one"
            )
        self.fit_report.selection = (
            f"pretraining step {keep.best_step} of {steps} by the decodable part of {monitor.of} ({kept:.2f})"
            + ("" if self._taken else ", from the checkpoint of an earlier run, whose time is not in this one's")
        )
        encoder = self.exported()
        del self.student, self.teacher, self.extra
        return encoder

    def _folder(self, datamodule: PerturbationDataModule) -> Path | None:
        """Where this pretraining's checkpoint lies: runs that differ in the second stage alone share it."""
        if self.fit_context.folder is None:
            return None
        second = set(signature(EncoderModel.__init__).parameters) - {"self", "precision"}
        own = {name: value for name, value in self.fit_context.arguments.items() if name not in second}
        identity = {
            "model": type(self).__name__,
            "version": self.version,
            "arguments": own,
            "data": datamodule.dataset.hash,
            "split": datamodule.split.split_id,
            "seed": datamodule.seed,
        }
        return self.fit_context.folder / f"{type(self).__name__.lower()}-{sha256_json(identity)[:12]}"

    def training_step(self, batch: CellsBatch, batch_idx: int = 0) -> torch.Tensor:
        """One step of pretraining."""
        self._taken += 1
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self.global_step)
        parts = self.losses(batch, generator)
        total: torch.Tensor = torch.stack(list(parts.values())).sum()
        self.log_dict({f"pretrain/{name}": value.detach() for name, value in parts.items()})
        return total

    def configure_optimizers(self) -> Any:
        """The optimiser that every stage uses."""
        parameters = [*self.student.parameters(), *self.extra.parameters()]
        return optimiser(parameters, self.rate, self.decay, self._steps)

    def _batch(self, datamodule: PerturbationDataModule) -> int:
        return min(self.batch_size, len(datamodule.representation_rows("train")))

    def _flops(self, datamodule: PerturbationDataModule, steps: int) -> float:
        """Count the floating-point operations of one step and multiply."""
        cells = torch.zeros(2, len(datamodule.genes))
        batch = CellsBatch(cells, torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.int64))
        generator = torch.Generator().manual_seed(0)
        counted = flops_of(lambda: torch.stack(list(self.losses(batch, generator).values())).sum())
        self.zero_grad(set_to_none=True)
        return counted / 2 * self._batch(datamodule) * steps
