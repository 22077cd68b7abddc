"""The response on condition means: any control cell of a context is a start, the condition's mean shift the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from bench.core.conditions import constituents, identity
from bench.data.datamodule import InputBatch, PerturbationDataModule
from bench.models.kept import Asked, Kept
from bench.models.response import mean_fit
from bench.models.response.actions import ActionTable
from bench.models.response.config import CELLS
from bench.models.response.mean_head import MeanHead, ResponseTask
from bench.models.response.mean_task import bare_task, make_task
from bench.models.response.starts import Between
from bench.models.response.strategy import Frozen, Response
from bench.models.steered import Steered, in_blocks
from bench.nn.encoder import Encoded
from bench.nn.film import FilmPredictor
from bench.stats.shifts import additive
from bench.training.curves import agreement
from bench.training.fit import FitContext, FitReport


class OnMeans(Response):
    """Predict the shift of a condition, in genes or in the encoder's own latents, and add it to the input cells."""

    def fit(
        self,
        frozen: Frozen,
        table: ActionTable,
        datamodule: PerturbationDataModule,
        report: FitReport,
        context: FitContext,
    ) -> None:
        """See :class:`Response`."""
        task = make_task(
            datamodule, table, frozen.embed, frozen.standardised, frozen.scale, frozen.weights, self.config
        )
        self._take_base(task.base_genes.double())
        self._unseen = task.base_unseen
        names = datamodule.dataset.conditions if task.additive else ()
        self._singles = {name: i for i, name in enumerate(names) if len(constituents(name)) == 1}
        self.between = task.between
        self.bags = self.config.predictor == "film" and task.several
        self.register_buffer("to_genes", task.to_genes if task.to_genes is not None else torch.empty(0))
        task = replace(task, composer=self.aligned(table, datamodule, report, context), heads=frozen.heads)
        self.networks = nn.ModuleList(mean_fit.fit(task, self.config, report, context))
        report.selection = f"{report.selection}; residual ratio on train {self._moved_share(task):.2f}"
        self._log_val(task, context)

    def _take_base(self, base: torch.Tensor) -> None:
        # With a row for each condition, it is no part of the weights, which serve other conditions too.
        self.register_buffer("base", base, persistent=False)

    def kept(self) -> Kept:
        """What it adds to, for single perturbations where these differ: those of combinations are their sums."""
        rows = self.get_buffer("base")[list(self._singles.values())].cpu()
        return Kept(
            {"bags": self.bags, "singles": list(self._singles)}, tables={"singles": rows, "unseen": self._unseen}
        )

    def rebuild(self, kept: Kept, table: ActionTable, asked: Asked, latent_width: int, heads: int) -> None:
        """See :class:`Response`."""
        own = self.config.latent_target == "own"
        task = bare_task(table, len(asked.genes), latent_width, own, heads)
        self._singles, self._unseen = {}, kept.tables["unseen"]
        names, unseen = kept.words("singles"), self._unseen.numpy()
        shifts = {identity(name): row for name, row in zip(names, kept.tables["singles"].numpy(), strict=True)}
        rows = [additive(name, shifts, unseen)[0] if names else unseen for name in asked.conditions]
        self._take_base(torch.from_numpy(np.array(rows)))
        self.between, self.bags = Between.none(latent_width), bool(kept.facts["bags"])
        self.register_buffer("to_genes", task.to_genes if task.to_genes is not None else torch.empty(0))
        self.networks = nn.ModuleList(
            MeanHead(task, self.config, self.config.head_learning_rate, 0) for _ in range(self.config.head_seeds)
        )

    @torch.no_grad()
    def predict(
        self, batch: InputBatch, encoder: nn.Module, standardised: Callable[[torch.Tensor], Encoded]
    ) -> torch.Tensor:
        """Add the predicted shift to the input cells, in float64."""
        condition = batch.condition
        cells = batch.controls if self.config.predictor == "film" else batch.controls[:CELLS]
        start = standardised(cells)
        if self.bags:
            bag = self.between(start.pooled.mean(dim=0, keepdim=True))
            start, cells = Encoded(bag[:, None], bag), cells[:1]
        moved = torch.stack([r(start, condition[: len(cells)]) for r in self.networks]).double().mean(dim=0)
        to_genes = self.get_buffer("to_genes")
        if to_genes.numel():
            moved = moved @ to_genes.double().T
        if len(cells) < len(condition):
            moved = moved.mean(dim=0, keepdim=True)
        return batch.controls.double() + self.get_buffer("base")[condition] + moved

    def means(
        self,
        controls: torch.Tensor,
        conditions: Sequence[int],
        context: int,
        encoder: nn.Module,
        standardised: Callable[[torch.Tensor], Encoded],
    ) -> torch.Tensor:
        """As of any response; where actions enter as their sum, of many conditions at once."""
        if self.config.predictor != "film":
            return super().means(controls, conditions, context, encoder, standardised)
        index, start = torch.as_tensor(list(conditions), device=controls.device), self._start(controls, standardised)
        moved = in_blocks(lambda actions: self._moved_genes(start, actions), self._actions(index), len(start))
        return controls.double().mean(dim=0) + self.get_buffer("base")[index] + moved

    def steered(
        self,
        controls: torch.Tensor,
        conditions: Sequence[int],
        encoder: nn.Module,
        standardised: Callable[[torch.Tensor], Encoded],
    ) -> Steered | None:
        """As of any response; None too where what is added to differs between conditions: no action says how."""
        base, index = self.get_buffer("base"), torch.as_tensor(list(conditions), device=controls.device)
        if self.config.predictor != "film" or not (base[index] == base[index[:1]]).all():
            return None
        start, mean = self._start(controls, standardised), controls.double().mean(dim=0) + base[index[0]]
        return Steered(self._actions(index), lambda actions: mean + self._moved_genes(start, actions))

    def latent_shifts(
        self,
        controls: torch.Tensor,
        conditions: Sequence[int],
        encoder: nn.Module,
        standardised: Callable[[torch.Tensor], Encoded],
    ) -> torch.Tensor | None:
        """As of any response: what is predicted of latents is also added to, in latents."""
        if self.config.latent_target != "own" or self.config.predictor != "film":
            return None
        index, start = torch.as_tensor(list(conditions), device=controls.device), self._start(controls, standardised)
        head = self.networks[0]
        assert isinstance(head, MeanHead)
        return head.get_buffer("base")[index].double() + in_blocks(
            lambda actions: self._moved(start, actions), self._actions(index), len(start)
        )

    def _start(self, controls: torch.Tensor, standardised: Callable[[torch.Tensor], Encoded]) -> torch.Tensor:
        """What a film predictor starts from: latents of the control cells, or of their bag ``[B or 1, D]``."""
        pooled = standardised(controls).pooled
        return self.between(pooled.mean(dim=0, keepdim=True)) if self.bags else pooled

    def _actions(self, index: torch.Tensor) -> torch.Tensor:
        """Summed actions of conditions, as each network has them, side by side ``[C, networks * E]``."""
        return torch.cat([head.table.summed(head.composer, index) for head in self.networks], dim=1)  # type: ignore[operator, union-attr]

    def _moved(self, start: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Mean residual over start cells and networks, in target space ``[S, W]``, in float64."""
        parts = []
        for head, action in zip(self.networks, torch.split(actions, self.config.action_width, dim=1), strict=True):
            assert isinstance(head, MeanHead)
            assert isinstance(head.predictor, FilmPredictor)
            latents = head.predictor.mean_over_cells(start, action)
            parts.append(head.decoder(latents[:, None]) * head.get_buffer("share"))
        return torch.stack(parts).double().mean(dim=0)

    def _moved_genes(self, start: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        moved, to_genes = self._moved(start, actions), self.get_buffer("to_genes")
        return moved @ to_genes.double().T if to_genes.numel() else moved

    @torch.no_grad()
    def _moved_share(self, task: ResponseTask) -> float:
        """How much of the train conditions' deviation from the base was learned."""
        base = task.base[task.train.condition]
        moved = torch.stack([r.mean_of(task.train) for r in self.networks]).mean(dim=0)  # type: ignore[operator]
        return float(moved.norm() / (task.train.shift - base).norm().clamp_min(1e-12))

    @torch.no_grad()
    def _log_val(self, task: ResponseTask, context: FitContext) -> None:
        """Log how well val shifts are predicted, and by the base alone: in target space, no number of a board."""
        if not context.logger or not len(task.val):
            return
        base = task.base[task.val.condition]
        moved = torch.stack([r.mean_of(task.val) for r in self.networks]).mean(dim=0)  # type: ignore[operator]
        numbers = {"": agreement(base + moved, task.val.shift), "base_": agreement(base, task.val.shift)}
        context.logger.log_metrics(
            {f"val/{whose}{name}": value for whose, both in numbers.items() for name, value in both.items()}
        )
