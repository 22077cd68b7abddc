"""The response to be fitted on condition means: from encoded control cells and actions to the shift of a condition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from torch import nn

from bench.models.response.actions import ActionTable
from bench.models.response.config import ResponseConfig
from bench.models.response.starts import Between, Starts
from bench.nn.composer import Composer
from bench.nn.decoder import PerGeneDecoder, SharedDecoder
from bench.nn.encoder import Encoded
from bench.nn.predictor import FilmPredictor, FixedPredictor, ReportPredictor
from bench.training.trainer import optimiser

#: (condition, context) pairs per step.
PAIRS = 256


@dataclass(frozen=True)
class Targets:
    """Shifts to be learned or chosen by, one row per (condition, context).

    Attributes:
        condition: Index into ``data.conditions`` ``[T]``.
        context: Index into ``data.contexts`` ``[T]``.
        shift: In target space ``[T, W]``.
    """

    condition: torch.Tensor
    context: torch.Tensor
    shift: torch.Tensor

    def part(self, rows: torch.Tensor) -> Targets:
        """Take some rows."""
        return Targets(self.condition[rows], self.context[rows], self.shift[rows])

    def __len__(self) -> int:
        return len(self.condition)


@dataclass(frozen=True)
class ResponseTask:
    """Everything that a response is fitted on; the same for every encoder but for the latents.

    Attributes:
        table: Actions of the conditions.
        base: What is predicted before anything is learned, in target space ``[C, W]``.
        base_genes: The same in genes ``[C, G]``.
        base_unseen: That of a perturbation of which nothing is known ``[G]``.
        additive: Whether a base is the sum of those of a condition's constituents, and not the same for all.
        rebase: The base that some of the train targets alone give: ``bool [T] -> [C, W]``.
        train: Targets of the train conditions.
        val: Targets of the val conditions.
        all_known: Whether train conditions perturb every gene of the test conditions.
        new_contexts: Whether the test units' contexts are in no train unit.
        starts: Draws what to start from: see :mod:`bench.models.response.starts`.
        between: Scale of the starts, where they are bags of cells.
        to_genes: Linear map from target space to genes ``[G, W]``; ``None`` = targets are genes.
        latent_width: Width of the encoder's latents.
        genes: Number of genes.
        composer: Weights that the action composer starts from, where it was aligned.
        heads: Attention heads of token predictors: the encoder's.
    """

    table: ActionTable
    base: torch.Tensor
    base_genes: torch.Tensor
    base_unseen: torch.Tensor
    additive: bool
    rebase: Callable[[torch.Tensor], torch.Tensor]
    train: Targets
    val: Targets
    all_known: bool
    new_contexts: bool
    starts: Starts
    between: Between
    to_genes: torch.Tensor | None
    latent_width: int
    genes: int
    composer: dict[str, torch.Tensor] | None = None
    heads: int = 4

    @property
    def several(self) -> bool:
        """Whether train targets are of several contexts."""
        return len(set(self.train.context.tolist())) > 1


class MeanHead(lightning.LightningModule):
    """Predict the shift of a condition from encoded control cells, as base + learned residual.

    Args:
        task: What it is fitted on.
        settings: Its parts.
        rate: Learning rate.
        seed: Seed of its weights, of the order of its starts and of the dropped identities.
    """

    def __init__(self, task: ResponseTask, settings: ResponseConfig, rate: float, seed: int) -> None:
        super().__init__()
        self.settings, self.rate, self.seed, self.genes = settings, rate, seed, task.genes
        state = torch.random.get_rng_state()
        torch.manual_seed(seed)
        out = task.base.shape[1]
        self.table = task.table
        self.composer = Composer(
            task.table.widths,
            width=settings.action_width,
            n_identities=task.table.identities,
            identity_dropout=settings.identity_dropout,
            n_treatments=len(task.table.treatments.names),
        )
        if task.composer:
            self.composer.load_state_dict(task.composer, strict=False)
        self.predictor: nn.Module
        if settings.predictor == "film":
            self.predictor = FilmPredictor(
                task.latent_width,
                settings.action_width,
                depth=settings.head_depth,
                hidden=settings.head_width,
                # As wide for every encoder: a bottleneck of the encoder's width would favour wide ones.
                out_width=settings.head_width,
            )
        else:
            kind = FixedPredictor if settings.predictor == "fixed" else ReportPredictor
            self.predictor = kind(
                task.genes, task.latent_width, settings.action_width, depth=settings.head_depth, heads=task.heads
            )
        self.decoder: nn.Module
        if settings.decoder == "shared":
            self.decoder = SharedDecoder(task.latent_width)
        else:
            read = settings.head_width if settings.predictor == "film" else task.latent_width
            self.decoder = PerGeneDecoder(out, read, zero=True)
        torch.random.set_rng_state(state)
        self.register_buffer("base", task.base, persistent=False)
        scale = (task.train.shift - task.base[task.train.condition]).square().mean().clamp_min(1e-8)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("share", torch.ones(()))
        self._train, self._starts = task.train, task.starts

    def forward(
        self, start: Encoded, condition: torch.Tensor, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Predict the residual of conditions, in target space ``[B, W]``; in evaluation the chosen share of it.

        Args:
            start: Encoded control cells, latents standardised.
            condition: ``[B]``.
            generator: Of the dropped identities, in training.
        """
        actions, present = self.table.compose(self.composer, condition, generator)
        mean, _ = self.predictor(start, actions, present)
        decoded: torch.Tensor = self.decoder(mean)
        return decoded if self.training else decoded * self.get_buffer("share")

    def loss(self, step: int) -> torch.Tensor:
        """Squared error of a draw of conditions from random control cells, in units of the error of the base."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + int(step))
        rows = torch.arange(len(self._train))
        if len(rows) > PAIRS:
            rows = torch.randperm(len(rows), generator=generator)[:PAIRS]
        batch = self._train.part(rows)
        # Targets and start cells stay on the CPU, where they are drawn; a batch of them is small.
        start = self._here(self._starts(batch.context, generator))
        condition, shift = batch.condition.to(self.device), batch.shift.to(self.device)
        predicted = self.get_buffer("base")[condition] + self(start, condition, generator)
        loss: torch.Tensor = (predicted - shift).square().mean() / self.get_buffer("scale")
        return loss

    def training_step(self, step: int, batch_idx: int = 0) -> torch.Tensor:
        """One step."""
        loss = self.loss(step)
        self.log("response/loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        """The optimiser that every stage uses."""
        parameters = [p for p in self.parameters() if p.requires_grad]
        return optimiser(parameters, self.rate, self.settings.head_weight_decay, self.settings.head_steps)

    @torch.no_grad()
    def shifts_of(self, targets: Targets) -> tuple[torch.Tensor, torch.Tensor]:
        """Predicted shifts, each a mean over the fixed starts of its context, and the true ones ``[T, W]``."""
        condition, shift = targets.condition.to(self.device), targets.shift.to(self.device)
        return self.get_buffer("base")[condition] + self.mean_of(targets), shift

    @torch.no_grad()
    def shrink(self, targets: Targets) -> None:
        """Take that share of the learned residual, from none to all, which predicts some held-out targets best.

        A few contexts are easily learned by heart: the direction of what was learned may hold in others where its size
        does not. The share is part of the state, so that it is kept with the weights of its step.
        """
        self.get_buffer("share").fill_(1.0)
        learned = self.mean_of(targets)
        left = targets.shift.to(self.device) - self.get_buffer("base")[targets.condition.to(self.device)]
        best = (learned * left).sum() / learned.square().sum().clamp_min(1e-12)
        self.get_buffer("share").copy_(best.clamp(0.0, 1.0))

    def _here(self, start: Encoded) -> Encoded:
        return Encoded(start.tokens.to(self.device), start.pooled.to(self.device))

    def mean_of(self, targets: Targets) -> torch.Tensor:
        """Mean residual of each target over the fixed starts of its context ``[T, W]``."""
        start = self._here(self._starts(targets.context, None))
        n = len(start.pooled) // max(len(targets), 1)
        each = self(start, targets.condition.to(self.device).repeat_interleave(n))
        mean: torch.Tensor = each.view(len(targets), n, -1).mean(dim=1)
        return mean
