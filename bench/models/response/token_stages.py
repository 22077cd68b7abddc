"""What is trained on pairs of a control cell and a perturbed cell, the encoder frozen: actions, then the decoder."""

from __future__ import annotations

import abc
from dataclasses import asdict
from typing import Any

import lightning
import numpy as np
import torch
from pydantic import JsonValue
from torch import nn

from bench.data.datamodule import CellBatch, PerturbationDataModule
from bench.data.loaders import Rows
from bench.models.response.config import CELLS, ResponseConfig
from bench.models.response.token_head import TokenHead
from bench.nn.encoder import Encoded
from bench.nn.masking import bernoulli_mask
from bench.objectives.jepa import pooled_regulariser, report_regulariser
from bench.objectives.nll import gaussian_nll
from bench.training.checkpoints import weights_hash
from bench.training.curves import log_agreement
from bench.training.trainer import optimiser

#: Pairs per step of both stages. Source: BioJEPAC report v0.4.
PAIR_BATCH = 32
#: Weights of likelihood, variance and covariance. Source: BioJEPAC report v0.4, eq. 12.
LIKELIHOOD, VARIANCE, COVARIANCE = 25.0, 25.0, 1.0
#: Learning rate of the decoder. Source: BioJEPAC report v0.4.
DECODER_RATE = 1e-3


class PairStage(lightning.LightningModule, abc.ABC):
    """A stage on pairs; a subclass says what is trained and by which loss.

    Args:
        encoder: Frozen; one token per gene.
        response: What is fitted.
        settings: Its parts.
        rate: Highest learning rate.
        seed: Seed of masks and dropped identities.

    """

    name = "pairs"

    def __init__(
        self, encoder: nn.Module, response: TokenHead, settings: ResponseConfig, rate: float, seed: int
    ) -> None:
        super().__init__()
        self.encoder, self.response = encoder, response
        self.settings, self.rate, self.seed = settings, rate, seed

    def described(self, datamodule: PerturbationDataModule) -> dict[str, JsonValue]:
        """What is trained, and from where, as plain values: a checkpoint of anything else is not gone on from."""
        return {
            "stage": self.name,
            "settings": asdict(self.settings),
            "rate": self.rate,
            "seed": self.seed,
            "encoder": weights_hash(self.encoder),
            "start": weights_hash(self.response),
            "data": datamodule.dataset.hash,
            "split": datamodule.split.split_id,
        }

    @abc.abstractmethod
    def losses(self, batch: CellBatch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Weighted parts of the loss; their sum is minimised.

        Args:
            batch: Perturbed cells beside their controls.
            generator: Source of every random choice, on the CPU.
        """

    def train(self, mode: bool = True) -> PairStage:
        """Switch what is trained; the encoder stays as it is used later."""
        super().train(mode)
        self.encoder.eval()
        return self

    def training_step(self, batch: CellBatch, batch_idx: int = 0) -> torch.Tensor:
        """One step."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        parts = self.losses(batch, generator)
        total: torch.Tensor = torch.stack(list(parts.values())).sum()
        self.log_dict({f"{self.name}/{name}": value.detach() for name, value in parts.items()})
        return total


class ActionStage(PairStage):
    """Second stage: the latents of a perturbed cell as a Gaussian, given those of a control cell and the actions.

    ``loss = 25 NLL + 25 variance + 1 covariance``; the latter two of the predicted means, over tokens in ``report``
    (as published) and over cells otherwise. Where the control cell is masked, as published, only hidden genes count in
    the likelihood.

    Source: BioJEPAC report v0.4, eq. 11 and 12; its code averages over the width where eq. 11 sums. Its variance and
    covariance of the targets have no gradient and are left out.
    """

    name = "action"

    def losses(self, batch: CellBatch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Likelihood and spread of a batch."""
        controls, hidden = batch.controls, None
        with torch.no_grad():
            if self.settings.context_mask:
                hidden = self._mask(len(controls), controls.shape[1], generator).to(controls.device)
            context: Encoded = self.encoder(controls) if hidden is None else self.encoder(controls, hidden)
            target: Encoded = self.encoder(batch.cells)
        mean, logvar = self.response(context, batch.condition, generator)
        parts = {"likelihood": LIKELIHOOD * gaussian_nll(mean, target.tokens, logvar, hidden)}
        tokens = self.settings.predictor == "report"
        if tokens or len(mean) > 1:  # one cell alone, at the end of an epoch, has no spread over cells
            spread = report_regulariser(mean) if tokens else pooled_regulariser(mean.mean(dim=1))
            parts |= {"variance": VARIANCE * spread.variance, "covariance": COVARIANCE * spread.covariance}
        return parts

    def _mask(self, cells: int, genes: int, generator: torch.Generator) -> torch.Tensor:
        return bernoulli_mask(cells, genes, self.settings.context_mask, generator)

    def configure_optimizers(self) -> Any:
        """The optimiser that every stage uses; the composer learns at a tenth of the rate, as published."""
        composer, predictor = list(self.response.composer.parameters()), list(self.response.predictor.parameters())
        return optimiser(predictor, self.rate, self.settings.head_weight_decay, self.settings.head_steps, slow=composer)


class DecoderStage(PairStage):
    """Third stage: the decoder alone, by squared error of the difference between a cell and its one control.

    The control is not masked, as it is not in prediction.

    Source: BioJEPAC report v0.4.
    """

    name = "decoder"

    def train(self, mode: bool = True) -> DecoderStage:
        """Switch the decoder; all else is used as in prediction."""
        super().train(mode)
        self.response.composer.eval()
        self.response.predictor.eval()
        return self

    def losses(self, batch: CellBatch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Squared error of a batch."""
        with torch.no_grad():
            context: Encoded = self.encoder(batch.controls)
            mean, _ = self.response(context, batch.condition)
        error = self.response.decode(mean, context) - (batch.cells - batch.controls)
        return {"error": error.square().mean()}

    def configure_optimizers(self) -> Any:
        """The optimiser that every stage uses."""
        decoder = list(self.response.decoder.parameters())
        return optimiser(decoder, self.rate, self.settings.head_weight_decay, self.settings.head_steps)


class HeldOut:
    """Errors of predicted means of the val conditions, per (condition, context), from ``CELLS`` input cells each.

    What a mean is predicted to be is compared with the mean itself: the shift from any control has the same error.

    Args:
        datamodule: The task.
        encoder: Frozen; one token per gene.
    """

    def __init__(self, datamodule: PerturbationDataModule, encoder: nn.Module) -> None:
        self.encoder, self.x, inner = encoder, datamodule.dataset.x, datamodule.dataset
        self.cells: list[tuple[int, int, Rows]] = []
        for unit in datamodule.task.units_of("val"):
            place = inner.conditions.index(unit.perturbation), inner.contexts.index(unit.context)
            self.cells.append((*place, inner.unit_rows(unit)))
        self.controls = [torch.from_numpy(inner.x[rows[:CELLS]].toarray()) for rows in datamodule.input_rows]
        self._tokens: list[torch.Tensor] = []
        self._starts: dict[int, Encoded] = {}

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
            controls, tokens, mean = self._predict(response, i)
            predicted = (controls + response.decode(mean, Encoded(tokens, tokens))).clamp(min=0).mean(dim=0)
            truth = torch.from_numpy(np.asarray(self.x[rows].mean(axis=0)).ravel()).to(predicted)
            errors.append((predicted - truth).square().mean())
            predicted_shifts.append(predicted - controls.mean(dim=0))
            true_shifts.append(truth - controls.mean(dim=0))
        if logger:
            log_agreement(logger, torch.stack(predicted_shifts), torch.stack(true_shifts), step)
        return float(torch.stack(errors).mean())
