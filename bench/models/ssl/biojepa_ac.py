"""BioJEPA-AC in one stage: predict the latent of a perturbed cell from that of a control cell and the action."""

from __future__ import annotations

import copy
from typing import ClassVar, NamedTuple

import torch
from torch import nn

from bench.core.arguments import Fraction, NonNegativeFloat, NonNegativeInt, PositiveInt, checked
from bench.core.units import Unit
from bench.data.datamodule import NO_CONTEXT, UNLABELLED, CellsBatch, PerturbationDataModule
from bench.data.features.resolve import load_banks
from bench.data.task import Task
from bench.models.base import PerturbationModel
from bench.models.pretrained import Pretrained, PretrainedModel
from bench.models.response.actions import ActionTable
from bench.models.response.along_action import AlongAction, latent_shift
from bench.nn.composer import Composer
from bench.nn.encoder import Encoded, EncoderConfig
from bench.nn.predictor import FilmPredictor
from bench.objectives.jepa import pooled_regulariser
from bench.training.objective import Encoders, Objective
from bench.training.pretraining import PretrainConfig, Pretraining

#: Cells of a held-out unit that a look takes.
HELD_CELLS = 64


class HeldUnit(NamedTuple):
    """A unit by which the step is chosen.

    Attributes:
        condition: Index into the data set's conditions.
        context: Index into its contexts.
        cells: Some of its cells ``[n, G]``.
    """

    condition: int
    context: int
    cells: torch.Tensor


class ActionPrediction(Objective):
    """Predict a perturbed cell's latent, as the EMA teacher sees it, from a control cell of its context and the action.

    ``loss = 25 |predicted - teacher(perturbed)|^2 + 25 variance + 1 covariance``, the latter two over the latents of
    start and perturbed cells. The pairs are not matched cells, so that the best prediction is a mean: the error is
    squared, where JEPA on one and the same cell takes absolute values.

    Source: the one-stage form of BioJEPA-AC (after V-JEPA 2-AC, Assran et al. 2025): predictor on (latent, action),
    target the averaged encoder's latent of the measured outcome; weights and terms: Bardes et al. 2022.

    Args:
        invariance: Weight of the prediction error.
        variance: Weight of the variance hinge.
        covariance: Weight of the covariance term.
        action_width: Width of an action.
        predictor_width: Hidden width of the predictor.
        predictor_depth: Its blocks.
        identity_dropout: How often a known perturbation's identity is dropped in training.
    """

    search: ClassVar = {"invariance": (5.0, 25.0, 100.0), "variance": (5.0, 25.0), "covariance": (1.0, 10.0)}
    keeps_heads = True

    def __init__(
        self,
        invariance: NonNegativeFloat = 25.0,
        variance: NonNegativeFloat = 25.0,
        covariance: NonNegativeFloat = 1.0,
        action_width: PositiveInt = 128,
        predictor_width: PositiveInt = 256,
        predictor_depth: NonNegativeInt = 2,
        identity_dropout: Fraction = 0.2,
    ) -> None:
        super().__init__()
        self.mask = 0.0
        self.weights = (invariance, variance, covariance)
        self.sizes = (action_width, predictor_width, predictor_depth)
        self.identity_dropout = identity_dropout
        self.table: ActionTable
        self.starts: list[torch.Tensor] = []
        self.held: list[HeldUnit] = []

    def of(self, table: ActionTable, starts: list[torch.Tensor], held: list[HeldUnit]) -> ActionPrediction:
        """The same for one task.

        Args:
            table: Actions of its conditions.
            starts: Input cells by context ``[n, G]``.
            held: Units by which the step is chosen.
        """
        made = copy.deepcopy(self)
        made.table, made.starts, made.held = table, starts, held
        return made

    def look(self, encoder: nn.Module) -> float | None:
        """Squared error of the held-out units' predicted shifts, in latents and in units of the shifts themselves."""
        before = [encoder(cells).pooled for cells in self.starts]
        wrong, size = torch.zeros(()), torch.zeros(())
        for unit in self.held:
            start = Encoded(before[unit.context][:, None], before[unit.context])
            condition = torch.full((len(start.pooled),), unit.condition)
            predicted = latent_shift(self.heads, self.table, start, condition).mean(dim=0)
            true = encoder(unit.cells).pooled.mean(dim=0) - start.pooled.mean(dim=0)
            wrong, size = wrong + (predicted - true).square().sum(), size + true.square().sum()
        return float(wrong / size.clamp_min(1e-12)) if self.held else None

    def action_heads(self, table: ActionTable, latent_width: int) -> dict[str, nn.Module]:
        """Composer and predictor for these actions, at their first weights."""
        action, hidden, depth = self.sizes
        return {
            "composer": Composer(
                table.widths,
                width=action,
                n_identities=table.identities,
                identity_dropout=self.identity_dropout,
                n_treatments=len(table.treatments.names),
            ),
            "predictor": FilmPredictor(latent_width, action, depth=depth, hidden=hidden),
        }

    def make_heads(self, encoders: Encoders) -> dict[str, nn.Module]:
        """The action composer and the predictor."""
        return self.action_heads(self.table, encoders.architecture.width)

    def losses(self, batch: CellsBatch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Predict the latents of labelled cells, each from a control cell of its context that is drawn at random."""
        rows = torch.nonzero((batch.condition != UNLABELLED) & (batch.context != NO_CONTEXT)).flatten()
        condition, context = batch.condition[rows], batch.context[rows]
        start = self.student(self._draw(context, generator).to(batch.cells.device))
        with torch.no_grad():
            target = self.teacher(batch.cells[rows]).pooled
        actions, present = self.table.compose(self.heads["composer"], condition, generator)  # type: ignore[arg-type]
        predicted = self.heads["predictor"](start, actions, present)[0][:, 0]
        latents = torch.cat([start.pooled, self.student(batch.cells).pooled])
        spread, w = pooled_regulariser(latents), self.weights
        error = (predicted - target).square().mean() if len(rows) else latents.sum() * 0
        return {
            "invariance": w[0] * error,
            "variance": w[1] * spread.variance,
            "covariance": w[2] * spread.covariance,
        }

    def _draw(self, context: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """A control cell for each context asked for ``[B, G]``."""
        place = torch.rand(len(context), generator=generator)
        pools = [self.starts[c] for c in context.tolist()]
        drawn = [pool[int(p * len(pool))] for pool, p in zip(pools, place.tolist(), strict=True)]
        return torch.stack(drawn) if drawn else torch.empty(0, self.starts[0].shape[1])


class OfTask(Pretrained):
    """Gives the objective the actions and control cells of the task, and keeps the predictor that it trained."""

    objective: ActionPrediction

    def __init__(
        self, objective: ActionPrediction, architecture: EncoderConfig, training: PretrainConfig, features: str
    ) -> None:
        super().__init__(objective, architecture, training)
        self.features = features

    def pretraining(self, datamodule: PerturbationDataModule) -> Pretraining:
        """As of any objective, for this task."""
        table = ActionTable(datamodule, load_banks(self.features, datamodule))
        data = datamodule.dataset
        starts = [torch.from_numpy(data.x[rows].toarray()) for rows in datamodule.input_rows]
        held = [
            HeldUnit(
                data.conditions.index(unit.perturbation),
                data.contexts.index(unit.context),
                torch.from_numpy(data.x[data.unit_rows(unit)[:HELD_CELLS]].toarray()),
            )
            for unit in self.held(datamodule.task)
        ]
        return Pretraining(self.objective.of(table, starts, held), self.architecture, self.training, datamodule)

    def held(self, task: Task) -> tuple[Unit, ...]:
        """Units by which the step is chosen: of val, or of train where there are none."""
        return task.units_of("val") or task.units_of("train")

    def make(self, datamodule: PerturbationDataModule, model: PerturbationModel) -> nn.Module:
        """Pretrain; the response is what was trained beside the encoder."""
        encoder = super().make(datamodule, model)
        assert isinstance(model, BioJEPAAC)
        model.response.take(self.trained)
        return encoder


class BioJEPAAC(PretrainedModel):
    """Encoder and action-conditioned predictor, trained together; predicted latents are decoded linearly.

    Args:
        objective: Views, heads and loss.
        architecture: Kind and sizes of the encoder.
        training: Budget and optimiser.
        features: What describes a perturbed gene, as for every response; ``from_encoder`` is none here.
    """

    response: AlongAction
    second_stage: ClassVar[frozenset[str]] = frozenset()

    @checked
    def __init__(
        self,
        objective: ActionPrediction,
        architecture: EncoderConfig,
        training: PretrainConfig,
        features: str = "card",
    ) -> None:
        response = AlongAction(features, objective.action_heads)
        super(PretrainedModel, self).__init__(OfTask(objective, architecture, training, features), response)
