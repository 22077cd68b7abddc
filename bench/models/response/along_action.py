"""The response that was trained together with the encoder: along the predicted latents, decoded linearly."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from bench.data.datamodule import InputBatch, PerturbationDataModule
from bench.models.kept import Asked, Kept
from bench.models.response.actions import ActionTable
from bench.models.response.config import ResponseConfig
from bench.models.response.strategy import Frozen, Response
from bench.models.steered import Steered, in_blocks
from bench.nn.composer import Composer
from bench.nn.encoder import Encoded
from bench.nn.film import FilmPredictor
from bench.training.fit import FitContext, FitReport


def latent_shift(heads: nn.ModuleDict, table: ActionTable, start: Encoded, condition: torch.Tensor) -> torch.Tensor:
    """How an action moves latents: what is predicted with it, less what is predicted without any ``[B, D]``.

    Args:
        heads: ``composer`` and ``predictor``.
        table: Actions by condition.
        start: Encoded control cells.
        condition: ``[B]``.
    """
    composer, predictor = heads["composer"], heads["predictor"]
    assert isinstance(composer, Composer)
    actions, present = table.compose(composer, condition)
    after, before = (predictor(start, actions, there)[0][:, 0] for there in (present, torch.zeros_like(present)))
    moved: torch.Tensor = after - before
    return moved


class AlongAction(Response):
    """Predict a cell's latent under an action and without one, and decode the difference, linearly, into genes.

    Args:
        features: What describes a perturbed gene.
        heads: Makes composer and predictor for a table of actions and a width of latents, at their first weights.

    Source: ``w . mu - w . z`` of the BioJEPAC report v0.4; here with weights for each gene, fitted on train cells.
    """

    def __init__(self, features: str, heads: Callable[[ActionTable, int], dict[str, nn.Module]]) -> None:
        super().__init__(ResponseConfig(features=features, latent_target="own"))
        self._make = heads
        self._table: ActionTable
        self.trained: nn.ModuleDict

    def take(self, trained: nn.ModuleDict) -> None:
        """Take what pretraining made: ``composer`` and ``predictor``."""
        self.trained = trained.requires_grad_(False).eval()

    def fit(
        self,
        frozen: Frozen,
        table: ActionTable,
        datamodule: PerturbationDataModule,
        report: FitReport,
        context: FitContext,
    ) -> None:
        """Nothing is left to be learned but the way from latents to genes."""
        self._table = table
        self.register_buffer("to_genes", torch.from_numpy(frozen.weights / frozen.scale.sd).float())
        self.register_buffer("latent_sd", torch.from_numpy(frozen.scale.sd).double(), persistent=False)
        report.parameters["response"] = sum(p.numel() for p in self.trained.parameters())
        report.error = self._val_error(frozen, datamodule)

    @torch.no_grad()
    def _shift(self, start: Encoded, condition: torch.Tensor) -> torch.Tensor:
        moved = latent_shift(self.trained, self._table, start, condition)
        return moved.double() @ self.get_buffer("to_genes").double().T

    def _val_error(self, frozen: Frozen, datamodule: PerturbationDataModule) -> float | None:
        """Mean squared error of the val units' shifts; None without val units."""
        val, data = datamodule.pseudobulk("val"), datamodule.dataset
        errors = []
        for unit, true in zip(val.units, val.shifts, strict=True):
            cells = torch.from_numpy(data.x[datamodule.input_rows[data.contexts.index(unit.context)]].toarray())
            condition = torch.full((len(cells),), data.conditions.index(unit.perturbation))
            predicted = self._shift(frozen.encoder(cells), condition).mean(dim=0)
            errors.append(float((predicted - torch.from_numpy(true)).square().mean()))
        return sum(errors) / len(errors) if errors else None

    @torch.no_grad()
    def predict(
        self, batch: InputBatch, encoder: nn.Module, standardised: Callable[[torch.Tensor], Encoded]
    ) -> torch.Tensor:
        """Add the decoded shift to the input cells, in float64."""
        return batch.controls.double() + self._shift(encoder(batch.controls), batch.condition)

    def means(
        self,
        controls: torch.Tensor,
        conditions: Sequence[int],
        context: int,
        encoder: nn.Module,
        standardised: Callable[[torch.Tensor], Encoded],
    ) -> torch.Tensor:
        """As of any response, of many conditions at once."""
        moved = self._moved(encoder(controls).pooled, self._actions(conditions))
        return controls.double().mean(dim=0) + self._genes(moved)

    def steered(
        self,
        controls: torch.Tensor,
        conditions: Sequence[int],
        encoder: nn.Module,
        standardised: Callable[[torch.Tensor], Encoded],
    ) -> Steered | None:
        """As of any response."""
        start, mean = encoder(controls).pooled, controls.double().mean(dim=0)
        return Steered(
            self._actions(conditions), lambda actions: mean + self._genes(self._moved(start, actions, blocks=False))
        )

    def latent_shifts(
        self,
        controls: torch.Tensor,
        conditions: Sequence[int],
        encoder: nn.Module,
        standardised: Callable[[torch.Tensor], Encoded],
    ) -> torch.Tensor | None:
        """As of any response."""
        return self._moved(encoder(controls).pooled, self._actions(conditions)) / self.get_buffer("latent_sd")

    def _actions(self, conditions: Sequence[int]) -> torch.Tensor:
        composer = self.trained["composer"]
        assert isinstance(composer, Composer)
        return self._table.summed(composer, torch.as_tensor(list(conditions)))

    def _moved(self, start: torch.Tensor, actions: torch.Tensor, blocks: bool = True) -> torch.Tensor:
        """Mean shift of the latents over start cells ``[S, D]``: see :func:`latent_shift`."""
        predictor = self.trained["predictor"]
        assert isinstance(predictor, FilmPredictor)
        before = predictor.mean_over_cells(start, torch.zeros_like(actions[:1]))

        def moved(some: torch.Tensor) -> torch.Tensor:
            return (predictor.mean_over_cells(start, some) - before).double()

        return in_blocks(moved, actions, len(start)) if blocks else moved(actions)

    def _genes(self, moved: torch.Tensor) -> torch.Tensor:
        return moved @ self.get_buffer("to_genes").double().T

    def kept(self) -> Kept:
        """Its weights are all that it needs."""
        return Kept()

    def rebuild(self, kept: Kept, table: ActionTable, asked: Asked, latent_width: int, heads: int) -> None:
        """See :class:`Response`."""
        self._table = table
        self.register_buffer("to_genes", torch.empty(len(asked.genes), latent_width))
        self.take(nn.ModuleDict(self._make(table, latent_width)))
