"""What every response is: fitted on a frozen encoder, it predicts cells of a condition from control cells."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from bench.core.typing import Floats
from bench.data.datamodule import InputBatch, PerturbationDataModule
from bench.models.kept import Asked, Kept
from bench.models.response.actions import ActionTable
from bench.models.response.alignment import align
from bench.models.response.config import ResponseConfig
from bench.models.steered import Steered
from bench.nn.encoder import Encoded
from bench.training.embedding import Embed, Scale
from bench.training.fit import FitContext, FitReport


@dataclass(frozen=True)
class Frozen:
    """A frozen encoder, and what was measured of it on train cells.

    Attributes:
        encoder: Expression ``[B, G]`` to :class:`Encoded`; no gradient, in evaluation mode.
        embed: Its pooled vectors ``[B, D]``.
        standardised: The same encoder, its pooled vector standardised by train cells.
        scale: Of the pooled vectors.
        weights: Of the linear decoder from them to genes ``[G, D]``.
        heads: Attention heads, which token predictors take over.
        checkpoint_activations: Whether token predictors trade time for memory.
    """

    encoder: nn.Module
    embed: Embed
    standardised: Callable[[torch.Tensor], Encoded]
    scale: Scale
    weights: Floats
    heads: int
    checkpoint_activations: bool


class Response(nn.Module, abc.ABC):
    """A strategy by which the second stage is fitted, and predicts.

    Args:
        config: Its settings.

    Attributes:
        networks: Fitted from different seeds; predictions are averaged.
    """

    networks: nn.ModuleList

    def __init__(self, config: ResponseConfig) -> None:
        super().__init__()
        self.config = config

    @abc.abstractmethod
    def fit(
        self,
        frozen: Frozen,
        table: ActionTable,
        datamodule: PerturbationDataModule,
        report: FitReport,
        context: FitContext,
    ) -> None:
        """Learn from the train conditions what their actions do.

        Args:
            frozen: The encoder.
            table: Actions of every condition.
            datamodule: The task.
            report: Gets steps, trials, parameters and how the choice was made.
            context: Head seed, logger and progress.
        """

    @abc.abstractmethod
    def predict(
        self, batch: InputBatch, encoder: nn.Module, standardised: Callable[[torch.Tensor], Encoded]
    ) -> torch.Tensor:
        """Predict cells ``[B, G]`` of a batch's condition, in float64.

        Args:
            batch: Control cells and the condition asked for.
            encoder: As it was fitted on.
            standardised: The same, its pooled vector standardised.
        """

    def means(
        self,
        controls: torch.Tensor,
        conditions: Sequence[int],
        context: int,
        encoder: nn.Module,
        standardised: Callable[[torch.Tensor], Encoded],
    ) -> torch.Tensor:
        """Predict the mean of many conditions from the same control cells ``[C, G]``, in float64.

        Args:
            controls: Control cells ``[B, G]``.
            conditions: Indices of conditions.
            context: Index of the context.
            encoder: As it was fitted on.
            standardised: The same, its pooled vector standardised.
        """
        where = torch.full((len(controls),), context)
        batches = (InputBatch(controls, torch.full_like(where, one), where) for one in conditions)
        return torch.stack([self.predict(batch, encoder, standardised).mean(dim=0) for batch in batches])

    def steered(
        self,
        controls: torch.Tensor,
        conditions: Sequence[int],
        encoder: nn.Module,
        standardised: Callable[[torch.Tensor], Encoded],
    ) -> Steered | None:
        """The response as a function of a continuous action; None = it is none. Arguments as of :meth:`means`."""
        return None

    def latent_shifts(
        self,
        controls: torch.Tensor,
        conditions: Sequence[int],
        encoder: nn.Module,
        standardised: Callable[[torch.Tensor], Encoded],
    ) -> torch.Tensor | None:
        """Predicted mean shift of the standardised pooled latent ``[C, D]``; None = genes are predicted, or tokens."""
        return None

    @abc.abstractmethod
    def kept(self) -> Kept:
        """What beside its weights is to be kept of it."""

    @abc.abstractmethod
    def rebuild(self, kept: Kept, table: ActionTable, asked: Asked, latent_width: int, heads: int) -> None:
        """Take the shapes of what was fitted, for the conditions asked for; the weights are loaded afterwards.

        Args:
            kept: By :meth:`kept`.
            table: Actions of the conditions asked for.
            asked: Genes and conditions.
            latent_width: Width of the encoder's pooled latents.
            heads: Attention heads of the encoder.
        """

    def aligned(
        self, table: ActionTable, datamodule: PerturbationDataModule, report: FitReport, context: FitContext
    ) -> dict[str, torch.Tensor] | None:
        """Weights that action composers start from, where two feature banks are to be aligned first."""
        if not self.config.align_epochs:
            return None
        return align(table, self.config.action_width, self.config.align_epochs, datamodule, report, context)
