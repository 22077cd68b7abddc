"""The template of every model with a frozen encoder: make the encoder, freeze it, fit the shared response, predict."""

from __future__ import annotations

import abc
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from bench.core.typing import Floats
from bench.data.datamodule import InputBatch, PerturbationDataModule
from bench.data.features.bank import FeatureBank
from bench.data.features.resolve import load_banks
from bench.models.base import PerturbationModel
from bench.models.response import mean_fit, token_fit
from bench.models.response.actions import ActionTable
from bench.models.response.alignment import align
from bench.models.response.mean_response import ResponseTask
from bench.models.response.mean_task import make_task
from bench.models.response.settings import (
    CELLS,
    DecoderKind,
    HeadSettings,
    LatentTarget,
    PredictorKind,
    Residual,
    allowed,
)
from bench.models.response.token_fit import TokenTask
from bench.nn.encoder import Encoded
from bench.training.embedding import MAX_CELLS, embed_rows, linear_decoder, scale_of, spread_rows
from bench.training.trainer import Precision, one_thread

#: The feature spec of the track in which the frozen encoder describes the perturbed genes.
FROM_ENCODER = "from_encoder"


class EncoderModel(PerturbationModel, abc.ABC):
    """A frozen encoder with the shared second stage; a subclass says which encoder.

    Args:
        features: What describes a perturbed gene: ``card`` (the banks that the data set's card names), ``pca``,
            ``coexpression``, ``pairs:FILE``, a table (.parquet, .csv, .npz), ``from_encoder`` (the per-gene weights of
            a linear decoder fitted on the frozen encoder's latents); several joined by ``+``.
        residual: What the response adds to: ``train_mean``, ``additive`` or ``none``.
        latent_target: ``genes`` (predict shifts of genes) or ``own`` (predict shifts of the encoder's own latents,
            decoded by a linear decoder fitted on train cells; with ``fixed`` or ``report``, the tokens of perturbed
            cells, on pairs of cells, then the decoder: needs a token per gene and residual ``none``).
        predictor: ``film`` (pooled context, FiLM by the actions), ``fixed`` (gene queries) or ``report`` (as
            published).
        decoder: ``per_gene`` or ``shared`` (as published: one linear map for all genes).
        head_width: Hidden width of the film predictor.
        head_depth: Blocks of the predictor.
        action_width: Width of an action.
        identity_dropout: How often a known perturbation's identity is dropped in training.
        head_steps: Training steps of the response, at most: the val conditions choose the step, or folds where they are
            few; all steps are taken where they are few and all genes of the test conditions are known.
        head_learning_rate: 0 chooses among 3e-4, 1e-3, 3e-3 by the val conditions.
        head_weight_decay: Weight decay of the response.
        head_seeds: Responses fitted from different seeds and averaged.
        align_epochs: Epochs of InfoNCE alignment of the first two feature banks before the response; 0 = none.
        precision: ``32-true`` or ``bf16-mixed``.
        context_mask: With ``report`` and ``own``: share of the control cell's genes that are hidden in training; only
            they count in the likelihood (0.6 as published; prediction hides none).
    """

    emits_cells = False
    #: Attention heads of token predictors; set by models that have some.
    heads: int = 4
    #: Whether token predictors trade time for memory; set by models that can.
    checkpoint_activations: bool = False

    def __init__(
        self,
        features: str = "card",
        residual: Residual = "train_mean",
        latent_target: LatentTarget = "genes",
        predictor: PredictorKind = "film",
        decoder: DecoderKind = "per_gene",
        head_width: int = 256,
        head_depth: int = 2,
        action_width: int = 128,
        identity_dropout: float = 0.2,
        head_steps: int = 200,
        head_learning_rate: float = 0.0,
        head_weight_decay: float = 1.0,
        head_seeds: int = 3,
        align_epochs: int = 0,
        precision: Precision = "32-true",
        context_mask: float = 0.0,
    ) -> None:
        super().__init__()
        self.features, self.align_epochs = features, align_epochs
        self.head = HeadSettings(
            residual=residual,
            latent_target=latent_target,
            predictor=predictor,
            decoder=decoder,
            action_width=action_width,
            width=head_width,
            depth=head_depth,
            heads=self.heads,
            steps=head_steps,
            rate=head_learning_rate,
            seeds=head_seeds,
            weight_decay=head_weight_decay,
            identity_dropout=identity_dropout,
            precision=precision,
            context_mask=context_mask,
        )
        allowed(self.head)
        self.encoder: nn.Module
        self.responses: nn.ModuleList
        self._missing: dict[str, int] = {}

    @abc.abstractmethod
    def make_encoder(self, datamodule: PerturbationDataModule) -> nn.Module:
        """Make (and train) the encoder: a module that maps expression ``[B, G]`` to :class:`Encoded`."""

    def embed(self, cells: torch.Tensor) -> torch.Tensor:
        """Pooled latent of each cell ``[B, D]``, of the frozen encoder, not standardised."""
        encoded: Encoded = self.encoder(cells)
        return encoded.pooled

    @property
    def small(self) -> bool:
        """Whether one thread is enough."""
        return self.head.predictor == "film"

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
            self._fit_response(datamodule)

    def _fit_response(self, datamodule: PerturbationDataModule) -> None:
        rows = spread_rows(datamodule.representation_rows("train"), MAX_CELLS, datamodule.seed)
        z = embed_rows(self.embed, datamodule.dataset.x, rows)
        scale = scale_of(z)
        weights, _ = linear_decoder(scale(z), datamodule.dataset.x[rows])
        self.register_buffer("latent_mean", torch.from_numpy(scale.mean))
        self.register_buffer("latent_sd", torch.from_numpy(scale.sd))
        banks = self._banks(datamodule, weights)
        self.record_banks(banks, datamodule)
        table = ActionTable(datamodule, banks)
        self._missing = table.missing
        if self.head.of_tokens:
            self._fit_tokens(datamodule, table)
            return
        task = make_task(datamodule, table, self.embed, self.standardised, scale, weights, self.head)
        self.register_buffer("base", task.base_genes.double())
        self.register_buffer("to_genes", task.to_genes if task.to_genes is not None else torch.empty(0))
        if self.align_epochs:
            task = replace(
                task, composer=align(table, self.head.action_width, self.align_epochs, datamodule, self.fit_context)
            )
        self.responses = nn.ModuleList(mean_fit.fit(task, self.head, self.fit_report, self.fit_context))
        self._record_residual(task)
        self._log_val(task)

    def _fit_tokens(self, datamodule: PerturbationDataModule, table: ActionTable) -> None:
        aligned = None
        if self.align_epochs:
            aligned = align(table, self.head.action_width, self.align_epochs, datamodule, self.fit_context)
        task = TokenTask(self.encoder, table, datamodule, aligned, self.checkpoint_activations)
        self.responses = nn.ModuleList(token_fit.fit(task, self.head, self.fit_report, self.fit_context))

    def _banks(self, datamodule: PerturbationDataModule, weights: Floats) -> list[FeatureBank]:
        banks: list[FeatureBank] = []
        for spec in self.features.split("+"):
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

    def _record_residual(self, task: ResponseTask) -> None:
        """Say how much of the train conditions' deviation from the base was learned."""
        base = task.base[task.train.condition]
        with torch.no_grad():
            moved = torch.stack([r.mean_of(task.train) for r in self.responses]).mean(dim=0)  # type: ignore[operator]
        ratio = float(moved.norm() / (task.train.shift - base).norm().clamp_min(1e-12))
        self.fit_report.selection = f"{self.fit_report.selection}; residual ratio on train {ratio:.2f}"

    @torch.no_grad()
    def _log_val(self, task: ResponseTask) -> None:
        """Log the val panel, beside what the base alone reaches: in target space, for curves, not for boards."""
        if not self.fit_context.logger or not len(task.val):
            return
        base = task.base[task.val.condition]
        moved = torch.stack([r.mean_of(task.val) for r in self.responses]).mean(dim=0)  # type: ignore[operator]

        def panel(predicted: torch.Tensor, name: str) -> dict[str, float]:
            pairs = torch.stack([predicted, task.val.shift])
            centred = pairs - pairs.mean(dim=-1, keepdim=True)
            a, b = centred / centred.norm(dim=-1, keepdim=True).clamp_min(1e-12)
            error = (predicted - task.val.shift).square().mean()
            return {f"val/{name}pearson_delta": float((a * b).sum(dim=-1).mean()), f"val/{name}mse": float(error)}

        self.fit_context.logger.log_metrics({**panel(base + moved, ""), **panel(base, "base_")})

    @torch.no_grad()
    def predict_step(self, batch: InputBatch, batch_idx: int = 0) -> torch.Tensor:
        """Add the predicted shift to the input cells, in float64."""
        if self.head.of_tokens:
            return token_fit.predict(self.encoder, self.responses, batch.controls, batch.condition)
        condition = batch.condition
        cells = batch.controls if self.head.predictor == "film" else batch.controls[:CELLS]
        with one_thread(self.small):
            start = self.standardised(cells)
            moved = torch.stack([r(start, condition[: len(cells)]) for r in self.responses]).double().mean(dim=0)
        to_genes = self.get_buffer("to_genes")
        if to_genes.numel():
            moved = moved @ to_genes.double().T
        if len(cells) < len(condition):
            moved = moved.mean(dim=0, keepdim=True)
        return batch.controls.double() + self.get_buffer("base")[condition] + moved

    def fallbacks(self, condition: str) -> int:
        """Count constituents that have no feature and are in no train condition."""
        return self._missing[condition]
