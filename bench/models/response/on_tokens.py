"""The response on tokens, as BioJEPAC has it: a perturbed cell's tokens from those of a control cell, then genes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from bench.data.datamodule import InputBatch, PerturbationDataModule
from bench.models.kept import Asked, Kept
from bench.models.response import token_fit
from bench.models.response.actions import ActionTable
from bench.models.response.strategy import Frozen, Response
from bench.models.response.token_fit import TokenTask
from bench.models.response.token_head import TokenHead
from bench.nn.encoder import Encoded
from bench.training.fit import FitContext, FitReport


class OnTokens(Response):
    """Predict each gene's own token, on pairs of a control cell and a perturbed cell; needs one token per gene."""

    def fit(
        self,
        frozen: Frozen,
        table: ActionTable,
        datamodule: PerturbationDataModule,
        report: FitReport,
        context: FitContext,
    ) -> None:
        """See :class:`Response`."""
        task = TokenTask(
            frozen.encoder,
            table,
            datamodule,
            self.aligned(table, datamodule, report, context),
            frozen.checkpoint_activations,
            frozen.heads,
        )
        self.networks = nn.ModuleList(token_fit.fit(task, self.config, report, context))

    def kept(self) -> Kept:
        """The width of its tokens."""
        head = self.networks[0]
        assert isinstance(head, TokenHead)
        return Kept({"token_width": head.width})

    def rebuild(self, kept: Kept, table: ActionTable, asked: Asked, latent_width: int, heads: int) -> None:
        """See :class:`Response`."""
        width = int(str(kept.facts["token_width"]))
        self.networks = nn.ModuleList(
            TokenHead(table, self.config, len(asked.genes), width, 0, heads=heads)
            for _ in range(self.config.head_seeds)
        )

    @torch.no_grad()
    def predict(
        self, batch: InputBatch, encoder: nn.Module, standardised: Callable[[torch.Tensor], Encoded]
    ) -> torch.Tensor:
        """Predict each input cell under the condition, never below 0, in float64."""
        return token_fit.predict(encoder, self.networks, batch.controls, batch.condition)
