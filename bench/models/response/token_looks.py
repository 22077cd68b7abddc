"""What the stages on pairs of cells are chosen by: errors of predicted means of the val conditions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from bench.data.datamodule import PerturbationDataModule
from bench.data.loaders import Rows
from bench.models.response.config import CELLS
from bench.models.response.frozen_tokens import MOST_BYTES
from bench.models.response.token_head import TokenHead
from bench.nn.encoder import Encoded
from bench.training.curves import log_agreement


class HeldOut:
    """Errors of predicted means of the val conditions, per (condition, context), from ``CELLS`` input cells each.

    What a mean is predicted to be is compared with the mean itself: the shift from any control has the same error.

    Args:
        datamodule: The task.
        encoder: Frozen; one token per gene.
        most: Bytes that what a frozen predictor predicts may take.
    """

    def __init__(self, datamodule: PerturbationDataModule, encoder: nn.Module, most: int = MOST_BYTES) -> None:
        self.encoder, self.x, inner = encoder, datamodule.dataset.x, datamodule.dataset
        self.most = most
        self.cells: list[tuple[int, int, Rows]] = []
        for unit in datamodule.task.units_of("val"):
            place = inner.conditions.index(unit.perturbation), inner.contexts.index(unit.context)
            self.cells.append((*place, inner.unit_rows(unit)))
        self.controls = [torch.from_numpy(inner.x[rows[:CELLS]].toarray()) for rows in datamodule.input_rows]
        self._tokens: list[torch.Tensor] = []
        self._starts: dict[int, Encoded] = {}
        self._settled: TokenHead | None = None
        self._moved: dict[int, torch.Tensor] = {}

    def settle(self, response: TokenHead) -> None:
        """Say that a response's predictor will not change any more: what it predicts is then computed once."""
        self._settled, self._moved = response, {}

    def _mean_tokens(self, rows: Rows, device: torch.device) -> torch.Tensor:
        total = torch.zeros((), device=device)
        for i in range(0, len(rows), CELLS):
            block = torch.from_numpy(self.x[rows[i : i + CELLS]].toarray()).to(device)
            total = total + self.encoder(block).tokens.sum(dim=0)
        return total / len(rows)

    def _predict(self, response: TokenHead, i: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Control cells ``[B, G]``, their tokens and the predicted ones ``[B, G, D]`` of a (condition, context)."""
        condition, context, _ = self.cells[i]
        device = next(response.parameters()).device
        controls = self.controls[context].to(device)
        if context not in self._starts:  # the encoder is frozen, and the cells are the same in every look
            self._starts[context] = self.encoder(controls)
        start = Encoded(*(part.to(device) for part in self._starts[context]))
        mean, _ = response(start, torch.full((len(controls),), condition, device=device))
        return controls, start.tokens, mean

    def _shift(self, response: TokenHead, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Control cells ``[B, G]`` of a (condition, context), and the decoded shift of each ``[B, G]``."""
        if response is self._settled and i in self._moved:
            controls = self.controls[self.cells[i][1]]
            moved = self._moved[i].to(next(response.parameters()).device)
            return controls.to(moved.device), response.decode_moved(moved)
        controls, tokens, mean = self._predict(response, i)
        moved = mean - tokens
        if response is self._settled and moved.nbytes * len(self.cells) <= self.most:
            self._moved[i] = moved.cpu()
        return controls, response.decode_moved(moved)

    @torch.no_grad()
    def latent_error(self, response: TokenHead) -> float:
        """Mean squared error of mean latents, by which the action stage's step is chosen."""
        device = next(response.parameters()).device
        if not self._tokens:  # once, and where the encoder is by then
            self._tokens = [self._mean_tokens(rows, device).cpu() for _, _, rows in self.cells]
        errors = [
            (self._predict(response, i)[2].mean(dim=0) - self._tokens[i].to(device)).square().mean()
            for i in range(len(self.cells))
        ]
        return float(torch.stack(errors).mean())

    @torch.no_grad()
    def gene_error(self, response: TokenHead, logger: Any = None, step: int = 0) -> float:
        """Mean squared error of mean expression, by which the decoder's step is chosen.

        Args:
            response: With its decoder.
            logger: Gets the agreement of the means' shifts from the input cells.
            step: Of the training, for the logger.
        """
        errors, predicted_shifts, true_shifts = [], [], []
        for i, (_, _, rows) in enumerate(self.cells):
            controls, shift = self._shift(response, i)
            predicted = (controls + shift).clamp(min=0).mean(dim=0)
            truth = torch.from_numpy(np.asarray(self.x[rows].mean(axis=0)).ravel()).to(predicted)
            errors.append((predicted - truth).square().mean())
            predicted_shifts.append(predicted - controls.mean(dim=0))
            true_shifts.append(truth - controls.mean(dim=0))
        if logger:
            log_agreement(logger, torch.stack(predicted_shifts), torch.stack(true_shifts), step)
        return float(torch.stack(errors).mean())
