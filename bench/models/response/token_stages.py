"""What is trained on pairs of a control cell and a perturbed cell, the encoder frozen: actions, then the decoder."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, ClassVar

import lightning
import numpy as np
import torch
from pydantic import JsonValue
from torch import nn

from bench.data.datamodule import CellBatch, PerturbationDataModule
from bench.data.loaders import Rows
from bench.models.response.config import ResponseConfig
from bench.models.response.frozen_tokens import Bags, Drawn, Kept, Numbered, NumberedPairs, pair_keys
from bench.models.response.token_head import TokenHead
from bench.nn.encoder import Encoded
from bench.nn.masking import bernoulli_mask
from bench.objectives.jepa import report_regulariser
from bench.objectives.nll import gaussian_nll
from bench.training.checkpoints import weights_hash
from bench.training.flops import forward_flops_of
from bench.training.trainer import optimiser

#: Pairs per step of both stages. Source: BioJEPAC report v0.4.
PAIR_BATCH = 32
#: Weights of likelihood, variance and covariance. Source: BioJEPAC report v0.4, eq. 12.
LIKELIHOOD, VARIANCE, COVARIANCE = 25.0, 25.0, 1.0
#: Pairs, with the rows of their cells where what frozen parts make of them is kept.
Pairs = CellBatch | NumberedPairs


class PairStage(lightning.LightningModule, abc.ABC):
    """A stage on pairs; a subclass says what is trained and by which loss.

    Args:
        encoder: Frozen; one token per gene.
        response: What is fitted.
        settings: Its parts.
        rate: Highest learning rate.
        seed: Seed of masks and dropped identities.
        tokens: The encoder's tokens of the cells that are drawn, where they are kept.

    """

    name = "pairs"
    #: Settings of stages that come after it.
    later: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        encoder: nn.Module,
        response: TokenHead,
        settings: ResponseConfig,
        rate: float,
        seed: int,
        tokens: Kept | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.response = encoder, response
        self.settings, self.rate, self.seed = settings, rate, seed
        self.tokens = tokens

    @property
    def steps(self) -> int:
        """Steps that it takes."""
        return self.settings.head_steps

    def starts(self, batch: Pairs) -> Encoded:
        """Tokens of the control cells."""
        return self._encoded(batch.controls, batch.control_rows if isinstance(batch, NumberedPairs) else None)

    def targets(self, batch: Pairs) -> Encoded:
        """Tokens of the perturbed cells."""
        return self._encoded(batch.cells, batch.rows if isinstance(batch, NumberedPairs) else None)

    def _encoded(self, cells: torch.Tensor, rows: torch.Tensor | None) -> Encoded:
        """Tokens of cells ``[B, G]``; those of bags ``[B, K]`` are means."""
        if self.tokens is None or rows is None or (rows.shape[1] == 1 and not self.tokens.fits):
            encoded: Encoded = self.encoder(cells)
            return encoded
        tokens = self.tokens.means(rows.cpu().numpy(), cells.device)
        return Encoded(tokens, tokens.mean(1))

    def described(self, datamodule: PerturbationDataModule) -> dict[str, JsonValue]:
        """What is trained, and from where, as plain values: a checkpoint of anything else is not gone on from."""
        return {
            "stage": self.name,
            "settings": {name: value for name, value in asdict(self.settings).items() if name not in self.later},
            "rate": self.rate,
            "seed": self.seed,
            "encoder": weights_hash(self.encoder),
            "start": weights_hash(self.response),
            "data": datamodule.dataset.hash,
            "split": datamodule.split.split_id,
        }

    @contextlib.contextmanager
    def blank(self, genes: int) -> Iterator[None]:
        """Take what is kept to be zero, for as long as operations of a step are counted."""
        before = self.tokens
        self.tokens = self._zero(genes) if before is not None and before.fits else before
        try:
            yield
        finally:
            self.tokens = before

    def _zero(self, genes: int) -> Kept:
        """A table of one row, number 0, of zeros ``[G, D]``."""
        zeros = torch.zeros(1, genes, self.response.width)
        return Kept(np.zeros(1, dtype=np.int64), lambda places, device: zeros, 1)

    @abc.abstractmethod
    def losses(self, batch: Pairs, generator: torch.Generator) -> dict[str, torch.Tensor]:
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

    def training_step(self, batch: Pairs, batch_idx: int = 0) -> torch.Tensor:
        """One step."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        parts = self.losses(batch, generator)
        total: torch.Tensor = torch.stack(list(parts.values())).sum()
        self.log_dict({f"{self.name}/{name}": value.detach() for name, value in parts.items()})
        return total


class ActionStage(PairStage):
    """Second stage: the latents of a perturbed cell as a Gaussian, given those of a control cell and the actions.

    ``loss = 25 NLL + 25 variance + 1 covariance``; the latter two of the predicted means, over tokens. ``fixed`` is
    trained by the likelihood alone: targets that are frozen cannot collapse, and a spread that they do not have would
    be asked of the predictions. Where the control cell is masked, as published, only hidden genes count in the
    likelihood.

    Source: BioJEPAC report v0.4, eq. 11 and 12; its code averages over the width where eq. 11 sums. Its variance and
    covariance of the targets have no gradient and are left out.
    """

    name = "action"
    later = frozenset({"decoder_steps", "decoder_rate"})

    def losses(self, batch: Pairs, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Likelihood and spread of a batch."""
        controls, hidden = batch.controls, None
        with torch.no_grad():
            if self.settings.context_mask:
                hidden = self._mask(len(controls), controls.shape[1], generator).to(controls.device)
            context: Encoded = self.starts(batch) if hidden is None else self.encoder(controls, hidden)
            target = self.targets(batch)
        mean, logvar = self.response(context, batch.condition, generator)
        parts = {"likelihood": LIKELIHOOD * gaussian_nll(mean, target.tokens, logvar, hidden, self.settings.nll_beta)}
        if self.settings.predictor == "report":
            spread = report_regulariser(mean)
            parts |= {"variance": VARIANCE * spread.variance, "covariance": COVARIANCE * spread.covariance}
        return parts

    def _mask(self, cells: int, genes: int, generator: torch.Generator) -> torch.Tensor:
        return bernoulli_mask(cells, genes, self.settings.context_mask, generator)

    def configure_optimizers(self) -> Any:
        """The optimiser that every stage uses; the composer learns at a tenth of the rate, as published."""
        composer, predictor = list(self.response.composer.parameters()), list(self.response.predictor.parameters())
        return optimiser(predictor, self.rate, self.settings.head_weight_decay, self.steps, slow=composer)


class DecoderStage(PairStage):
    """Third stage: the decoder alone, by squared error of the difference between a cell and its one control.

    The control is not masked, as it is not in prediction. What is decoded is the difference between what the frozen
    predictor makes of a pair and the control's tokens: of pairs that are drawn again it is kept.

    Source: BioJEPAC report v0.4.
    """

    name = "decoder"
    moved: Kept | None = None

    @property
    def steps(self) -> int:
        """Steps that it takes."""
        return self.settings.decoder_steps or self.settings.head_steps

    def train(self, mode: bool = True) -> DecoderStage:
        """Switch the decoder; all else is used as in prediction."""
        super().train(mode)
        self.response.composer.eval()
        self.response.predictor.eval()
        return self

    @contextlib.contextmanager
    def blank(self, genes: int) -> Iterator[None]:
        """See :class:`PairStage`."""
        before = self.moved
        self.moved = None if before is None else self._zero(genes)
        try:
            with super().blank(genes):
                yield
        finally:
            self.moved = before

    def keep(self, drawn: Drawn, bags: Bags, most: int) -> None:
        """Compute once what is decoded of each pair, where pairs are drawn again and there is room.

        Args:
            drawn: What is drawn in all steps.
            bags: Fills pairs up.
            most: Bytes that it may take.
        """
        pairs = Numbered(bags.data, bags)
        cells, controls = drawn.pairs[:, 0], drawn.pairs[:, 1]

        def compute(places: Rows, device: torch.device) -> torch.Tensor:
            batch = pairs[cells[places], controls[places]]
            return self._moved(self._encoded(batch.controls.to(device), batch.control_rows), batch.condition.to(device))

        kept = Kept(pair_keys(cells, controls), compute, 4 * bags.data.x.shape[1] * self.response.width, most)
        self.moved = kept if drawn.repeated and kept.fits else None

    def flops_of_moved(self, genes: int) -> float:
        """Floating-point operations of computing what is kept of all pairs."""
        if self.moved is None:
            return 0.0
        cells, index = torch.zeros(1, genes), torch.zeros(1, dtype=torch.int64)
        with self.blank(genes):
            each = forward_flops_of(lambda: self._moved(self._encoded(cells, index[:, None]), index))
        return each * len(self.moved.keys)

    def _moved(self, context: Encoded, condition: torch.Tensor) -> torch.Tensor:
        mean, _ = self.response(context, condition)
        moved: torch.Tensor = mean - context.tokens
        return moved

    def losses(self, batch: Pairs, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Squared error of a batch."""
        with torch.no_grad():
            if self.moved is not None and isinstance(batch, NumberedPairs):
                keys = pair_keys(batch.rows[:, 0].cpu().numpy(), batch.control_rows[:, 0].cpu().numpy())
                moved = self.moved(keys, batch.cells.device)
            else:
                moved = self._moved(self.starts(batch), batch.condition)
        error = self.response.decode_moved(moved) - (batch.cells - batch.controls)
        return {"error": error.square().mean()}

    def configure_optimizers(self) -> Any:
        """The optimiser that every stage uses."""
        decoder = list(self.response.decoder.parameters())
        return optimiser(decoder, self.rate, self.settings.head_weight_decay, self.steps)
