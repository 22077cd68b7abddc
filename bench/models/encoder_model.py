"""Every model with a frozen encoder: an encoder maker and a response. Make the encoder, freeze it, fit the response."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import nn

from bench.core.arguments import checked
from bench.core.typing import Floats
from bench.data.datamodule import InputBatch, PerturbationDataModule
from bench.data.features.bank import FeatureBank
from bench.data.features.resolve import load_banks
from bench.models.base import PerturbationModel
from bench.models.encoder_maker import EncoderMaker
from bench.models.kept import Asked, Kept, put_back
from bench.models.response import Frozen, Response, ResponseConfig, response_of
from bench.models.response.actions import ActionTable
from bench.models.steered import Steered
from bench.nn.encoder import Encoded
from bench.training.embedding import MAX_CELLS, embed_rows, linear_decoder, scale_of, spread_rows
from bench.training.trainer import one_thread

#: The feature spec of the track in which the frozen encoder describes the perturbed genes.
FROM_ENCODER = "from_encoder"


class _Once(nn.Module):
    """Encodes a tensor once, however often it is given the same; for as long as the tensor is kept."""

    def __init__(self, encode: Callable[[torch.Tensor], Encoded]) -> None:
        super().__init__()
        self._encode, self._known = [encode], dict[tuple[int, int], Encoded]()  # in a list: no module of this one

    def forward(self, cells: torch.Tensor) -> Encoded:
        """Encode ``[B, G]``."""
        key = (cells.data_ptr(), len(cells))
        if key not in self._known:
            self._known[key] = self._encode[0](cells)
        return self._known[key]


class EncoderModel(PerturbationModel, abc.ABC):
    """A frozen encoder, and a response fitted on it: the same response for every encoder.

    Args:
        maker: Makes the encoder.
        response: Strategy of the second stage, or the settings by which one is chosen.
    """

    emits_cells = False

    @checked
    def __init__(self, maker: EncoderMaker, response: Response | ResponseConfig) -> None:
        super().__init__()
        self.maker = maker
        self.response = response_of(response) if isinstance(response, ResponseConfig) else response
        self.encoder: nn.Module
        self._table: ActionTable
        self._missing: dict[str, int] = {}

    @property
    def action_table(self) -> ActionTable:
        """What is known of the actions of every condition; of a fitted model."""
        return self._table

    def make_encoder(self, datamodule: PerturbationDataModule) -> nn.Module:
        """Make (and train) the encoder."""
        return self.maker.make(datamodule, self)

    def embed(self, cells: torch.Tensor) -> torch.Tensor:
        """Pooled latent of each cell ``[B, D]``, of the frozen encoder, not standardised."""
        encoded: Encoded = self.encoder(cells)
        return encoded.pooled

    @property
    def small(self) -> bool:
        """Whether one thread is enough."""
        return self.maker.small and self.response.config.predictor == "film"

    def freeze_encoder(self, datamodule: PerturbationDataModule) -> None:
        """Make the encoder and freeze it; what ``bench frozen`` evaluates."""
        with one_thread(self.small):
            self.encoder = self.make_encoder(datamodule)
        self.encoder.eval()
        for parameter in self.encoder.parameters():
            parameter.requires_grad_(False)
        self.fit_report.parameters["encoder"] = sum(p.numel() for p in self.encoder.parameters())

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Make the encoder, freeze it, and fit the response."""
        self.freeze_encoder(datamodule)
        with one_thread(self.small):
            frozen = self._measured(datamodule)
            banks = self._banks(datamodule, frozen.weights)
            self.record_banks(banks, datamodule)
            table = ActionTable(datamodule, banks)
            self._table, self._missing = table, table.missing
            self.fit_report.error = None  # that of the encoder is none of the whole model
            self.response.fit(frozen, table, datamodule, self.fit_report, self.fit_context)

    def _measured(self, datamodule: PerturbationDataModule) -> Frozen:
        """Take the latents' scale and the linear decoder from (a sample of) the train cells and input controls."""
        rows = spread_rows(datamodule.representation_rows("train"), MAX_CELLS, datamodule.seed)
        z = embed_rows(self.embed, datamodule.dataset.x, rows)
        scale = scale_of(z)
        weights, _ = linear_decoder(scale(z), datamodule.dataset.x[rows])
        self.register_buffer("latent_mean", torch.from_numpy(scale.mean))
        self.register_buffer("latent_sd", torch.from_numpy(scale.sd))
        return Frozen(
            encoder=self.encoder,
            embed=self.embed,
            standardised=self.standardised,
            scale=scale,
            weights=weights,
            heads=self.maker.heads,
            checkpoint_activations=self.maker.checkpoint_activations,
        )

    def _banks(self, datamodule: PerturbationDataModule, weights: Floats) -> list[FeatureBank]:
        banks: list[FeatureBank] = []
        for spec in self.response.config.features.split("+"):
            if spec == FROM_ENCODER:
                if not np.abs(weights).max() > 1e-12:
                    raise ValueError("features=from_encoder: this encoder's latents say nothing about any gene")
                banks.append(
                    FeatureBank(
                        FROM_ENCODER, tuple(datamodule.genes), weights.astype(np.float32), "linear decoder weights"
                    )
                )
            else:
                banks += load_banks(spec, datamodule)
        return banks

    @torch.no_grad()
    def standardised(self, cells: torch.Tensor) -> Encoded:
        """Encode cells; the pooled vector is standardised by train cells."""
        encoded: Encoded = self.encoder(cells)
        pooled = (encoded.pooled - self.get_buffer("latent_mean")) / self.get_buffer("latent_sd")
        tokens = pooled[:, None] if encoded.tokens.shape[1] == 1 else encoded.tokens
        return Encoded(tokens, pooled)

    @torch.no_grad()
    def predict_step(self, batch: InputBatch, batch_idx: int = 0) -> torch.Tensor:
        """Predict what the response makes of the input cells, in float64."""
        with one_thread(self.small):
            return self.response.predict(batch, self.encoder, self.standardised)

    @torch.no_grad()
    def predict_means(self, controls: torch.Tensor, conditions: Sequence[int], context: int) -> torch.Tensor:
        """As of any model; the control cells, which are the same for all conditions, are encoded once."""
        encoder, standardised = _Once(self.encoder), _Once(self.standardised)
        with one_thread(self.small):
            return self.response.means(controls, conditions, context, encoder, standardised)

    def steered(self, controls: torch.Tensor, conditions: Sequence[int], context: int) -> Steered | None:
        """As of any model, where its response lets gradients through to the sum of the actions."""
        return self.response.steered(controls, conditions, self.encoder, self.standardised)

    @torch.no_grad()
    def own_latents(self, cells: torch.Tensor) -> torch.Tensor:
        """Pooled latent of each cell, standardised by train cells ``[B, D]``: one that never moves is 0."""
        with one_thread(self.small):
            encoded: Encoded = self.standardised(cells.to(self.device))
            return encoded.pooled

    @torch.no_grad()
    def latent_shifts(self, controls: torch.Tensor, conditions: Sequence[int], context: int) -> torch.Tensor:
        """Mean shift of these latents that is predicted for conditions ``[C, D]``, in float64.

        Where the response predicts genes, or tokens, that of the predicted cells, encoded.

        Args:
            controls: Control cells ``[B, G]``.
            conditions: Indices into ``data.conditions``.
            context: Index into ``data.contexts``.
        """
        encoder, standardised = _Once(self.encoder), _Once(self.standardised)
        with one_thread(self.small):
            found = self.response.latent_shifts(controls, conditions, encoder, standardised)
            if found is not None:
                return found
            where = torch.full((len(controls),), context)
            before: torch.Tensor = standardised(controls).pooled.double().mean(dim=0)
            after = []
            for one in conditions:
                batch = InputBatch(controls, torch.full_like(where, one), where)
                cells = self.response.predict(batch, encoder, standardised).float().clamp(min=0)  # as all cells are
                after.append(self.standardised(cells).pooled.double().mean(dim=0))
            return torch.stack(after) - before

    def members(self) -> Iterator[PerturbationModel]:
        """The model with the networks of each head seed alone, one after the other; to be used before the next."""
        networks = self.response.networks
        try:
            for one in networks if len(networks) > 1 else ():
                self.response.networks = nn.ModuleList([one])
                yield self
        finally:
            self.response.networks = networks

    def fallbacks(self, condition: str) -> int:
        """Count constituents that have no feature and are in no train condition."""
        return self._missing[condition]

    @property
    def unkept(self) -> str:
        """Whether the encoder can be rebuilt away from its data."""
        return self.maker.unkept

    def kept(self) -> Kept:
        """Weights of encoder and response, features of the genes, and what the response adds to."""
        whole = Kept(state=dict(self.state_dict()))
        return whole.with_part(self._table.kept().under("actions")).with_part(self.response.kept().under("response"))

    def restore(self, kept: Kept, asked: Asked) -> None:
        """Make encoder and response of the same shapes for the conditions asked for, and load the weights."""
        of_encoder = {n.removeprefix("encoder."): t for n, t in kept.state.items() if n.startswith("encoder.")}
        self.encoder = self.maker.blank(len(asked.genes), of_encoder)
        for name in ("latent_mean", "latent_sd"):
            self.register_buffer(name, torch.empty_like(kept.state[name]))
        self._table = ActionTable.restored(kept.part("actions"), asked.conditions)
        self._missing = self._table.missing
        self.response.rebuild(
            kept.part("response"), self._table, asked, len(kept.state["latent_mean"]), self.maker.heads
        )
        put_back(self, kept.state)
