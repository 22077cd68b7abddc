"""The second stage, one for all: frozen encoder -> action-conditioned predictor -> decoder -> shift of a condition.

It is fitted on condition means. Every control cell of a context is a possible start, so a cell-level loss has the same
minimum, only with the noise of single cells in its gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import lightning
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from bench.models.actions import ActionTable
from bench.models.base import Ledger, Runtime
from bench.models.selection import FOLDS, MIN_VAL_CONDITIONS
from bench.models.training import KeepBest, Precision, optimiser, train
from bench.nn.composer import Composer
from bench.nn.decoder import PerGeneDecoder, SharedDecoder
from bench.nn.encoder import Encoded
from bench.nn.predictor import FilmPredictor, FixedPredictor, ReportPredictor

Residual = Literal["train_mean", "additive", "none"]
LatentTarget = Literal["genes", "own"]
PredictorKind = Literal["film", "fixed", "report"]
DecoderKind = Literal["per_gene", "shared"]
#: Learning rates tried where there are enough val conditions to choose by; the second is the default.
RATES = (3e-4, 1e-3, 3e-3)
DEFAULT_RATE = RATES[1]
#: (condition, context) pairs per step.
PAIRS = 256
#: Control cells over which a val prediction is averaged, and from which token predictors predict.
CELLS = 32
#: Steps between looks at the val conditions.
LOOK_EVERY = 10


@dataclass(frozen=True)
class HeadSettings:
    """What the second stage is made of; see :class:`bench.models.encoder_model.EncoderModel` for each."""

    residual: Residual
    latent_target: LatentTarget
    predictor: PredictorKind
    decoder: DecoderKind
    action_width: int
    width: int
    depth: int
    heads: int
    steps: int
    rate: float
    seeds: int
    weight_decay: float
    identity_dropout: float
    precision: Precision
    context_mask: float = 0.0

    @property
    def of_tokens(self) -> bool:
        """Whether each gene's own token is predicted: then :mod:`bench.models.token_response` fits the response."""
        return self.latent_target == "own" and self.predictor != "film"


@dataclass(frozen=True)
class Targets:
    """Shifts to be learned or chosen by, one row per (condition, context).

    Attributes:
        condition: Index into ``data.conditions`` ``[T]``.
        context: Index into ``data.contexts`` ``[T]``.
        shift: In target space ``[T, W]``.
    """

    condition: torch.Tensor
    context: torch.Tensor
    shift: torch.Tensor

    def part(self, rows: torch.Tensor) -> Targets:
        """Take some rows."""
        return Targets(self.condition[rows], self.context[rows], self.shift[rows])

    def __len__(self) -> int:
        return len(self.condition)


@dataclass(frozen=True)
class ResponseTask:
    """Everything that a response is fitted on; the same for every encoder but for the latents.

    Attributes:
        table: Actions of the conditions.
        base: What is predicted before anything is learned, in target space ``[C, W]``.
        base_genes: The same in genes ``[C, G]``.
        train: Targets of the train conditions.
        val: Targets of the val conditions.
        starts: Draws the encoded control cells to start from: ``(context [B], generator) -> Encoded``; without a
            generator the first ``CELLS`` of each context, ``[B * CELLS]``.
        to_genes: Linear map from target space to genes ``[G, W]``; ``None`` = targets are genes.
        latent_width: Width of the encoder's latents.
        genes: Number of genes.
        composer: Weights that the action composer starts from, where it was aligned.
    """

    table: ActionTable
    base: torch.Tensor
    base_genes: torch.Tensor
    train: Targets
    val: Targets
    starts: Callable[[torch.Tensor, torch.Generator | None], Encoded]
    to_genes: torch.Tensor | None
    latent_width: int
    genes: int
    composer: dict[str, torch.Tensor] | None = None


class Response(lightning.LightningModule):
    """Predict the shift of a condition from encoded control cells, as base + learned residual.

    Args:
        task: What it is fitted on.
        settings: Its parts.
        rate: Learning rate.
        seed: Seed of its weights, of the order of its starts and of the dropped identities.
    """

    def __init__(self, task: ResponseTask, settings: HeadSettings, rate: float, seed: int) -> None:
        super().__init__()
        self.settings, self.rate, self.seed, self.genes = settings, rate, seed, task.genes
        state = torch.random.get_rng_state()
        torch.manual_seed(seed)
        out = task.base.shape[1]
        self.table = task.table
        self.composer = Composer(
            task.table.widths,
            width=settings.action_width,
            n_identities=task.table.identities,
            identity_dropout=settings.identity_dropout,
        )
        if task.composer:
            self.composer.load_state_dict(task.composer, strict=False)
        self.predictor: nn.Module
        if settings.predictor == "film":
            self.predictor = FilmPredictor(
                task.latent_width,
                settings.action_width,
                depth=settings.depth,
                hidden=settings.width,
                # As wide for every encoder: a bottleneck of the encoder's width would favour wide ones.
                out_width=settings.width,
            )
        else:
            kind = FixedPredictor if settings.predictor == "fixed" else ReportPredictor
            self.predictor = kind(
                task.genes, task.latent_width, settings.action_width, depth=settings.depth, heads=settings.heads
            )
        self.decoder: nn.Module
        if settings.decoder == "shared":
            self.decoder = SharedDecoder(task.latent_width)
        else:
            read = settings.width if settings.predictor == "film" else task.latent_width
            self.decoder = PerGeneDecoder(out, read, zero=True)
        torch.random.set_rng_state(state)
        self.register_buffer("base", task.base, persistent=False)
        scale = (task.train.shift - task.base[task.train.condition]).square().mean().clamp_min(1e-8)
        self.register_buffer("scale", scale, persistent=False)
        self._train, self._starts = task.train, task.starts

    def fit_on(self, targets: Targets) -> None:
        """Choose the targets to train on."""
        self._train = targets

    def forward(
        self, start: Encoded, condition: torch.Tensor, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Predict the residual of conditions, in target space ``[B, W]``.

        Args:
            start: Encoded control cells, latents standardised.
            condition: ``[B]``.
            generator: Of the dropped identities, in training.
        """
        actions, present = self.table.compose(self.composer, condition, generator)
        mean, _ = self.predictor(start, actions, present)
        decoded: torch.Tensor = self.decoder(mean)
        return decoded

    def training_step(self, step: int, batch_idx: int = 0) -> torch.Tensor:
        """Squared error of a draw of conditions from random control cells, in units of the error of the base."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + int(step))
        rows = torch.arange(len(self._train))
        if len(rows) > PAIRS:
            rows = torch.randperm(len(rows), generator=generator)[:PAIRS]
        batch = self._train.part(rows)
        # Targets and start cells stay on the CPU, where they are drawn; a batch of them is small.
        start = self._here(self._starts(batch.context, generator))
        condition, shift = batch.condition.to(self.device), batch.shift.to(self.device)
        predicted = self.get_buffer("base")[condition] + self(start, condition, generator)
        loss: torch.Tensor = (predicted - shift).square().mean() / self.get_buffer("scale")
        self.log("response/loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        """The optimiser that every stage uses."""
        parameters = [p for p in self.parameters() if p.requires_grad]
        return optimiser(parameters, self.rate, self.settings.weight_decay, self.settings.steps)

    @torch.no_grad()
    def error(self, targets: Targets) -> float:
        """Mean squared error of predicted shifts, each a mean over ``CELLS`` control cells."""
        condition, shift = targets.condition.to(self.device), targets.shift.to(self.device)
        return float((self.get_buffer("base")[condition] + self.mean_of(targets) - shift).square().mean())

    def _here(self, start: Encoded) -> Encoded:
        return Encoded(start.tokens.to(self.device), start.pooled.to(self.device))

    def mean_of(self, targets: Targets) -> torch.Tensor:
        """Mean residual of each target over the first control cells of its context ``[T, W]``."""
        start = self._here(self._starts(targets.context, None))
        each = self(start, targets.condition.to(self.device).repeat_interleave(CELLS))
        mean: torch.Tensor = each.view(len(targets), CELLS, -1).mean(dim=1)
        return mean


class _Steps(torch.utils.data.IterableDataset[int]):
    """Step numbers: a response draws its own batches from them."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.steps))


def _identity(item: Any) -> Any:
    return item


def _fit_one(
    task: ResponseTask,
    settings: HeadSettings,
    rate: float,
    seed: int,
    on: Targets,
    held: Targets | None,
    steps: int,
    runtime: Runtime,
) -> tuple[Response, KeepBest | None]:
    """Train one response for some steps of the schedule; with held-out targets, keep its best step."""
    response = Response(task, settings, rate, seed)
    response.fit_on(on)
    keep = KeepBest(response, lambda: response.error(held), LOOK_EVERY) if held is not None else None
    if keep and not steps:
        keep.look(0)
    if steps:
        loader = DataLoader(_Steps(steps), batch_size=None, collate_fn=_identity)
        train(
            response,
            loader,
            steps,
            "response",
            callbacks=[keep] if keep else [],
            precision=settings.precision,
            logger=runtime.logger,
            say=runtime.say,
        )
    return response.eval(), keep


def fit(task: ResponseTask, settings: HeadSettings, ledger: Ledger, runtime: Runtime) -> list[Response]:
    """Fit one response per head seed.

    With 10 or more val conditions, the learning rate and each seed's step are those of the smallest val error. With
    fewer, the rate is the default one, and the number of steps is chosen by 5 folds that leave train conditions out.

    Args:
        task: What to fit on.
        settings: Parts, and the rate (0 = choose).
        ledger: Gets steps, trials, parameters and how the choice was made.
        runtime: Head seed, logger and progress.
    """
    seeds = [runtime.head_seed * 1_000 + k for k in range(settings.seeds)]
    enough = len(set(task.val.condition.tolist())) >= MIN_VAL_CONDITIONS
    trained = 0
    if enough:
        rates = (settings.rate,) if settings.rate else RATES
        trials = []
        for rate in rates:
            response, keep = _fit_one(task, settings, rate, seeds[0], task.train, task.val, settings.steps, runtime)
            assert keep is not None
            trials.append((keep.history[keep.best_step], rate, response, keep.best_step))
            trained += settings.steps
        _, rate, first, step = min(trials, key=lambda trial: trial[0])
        responses, chosen = [first], [step]
        for seed in seeds[1:]:
            response, keep = _fit_one(task, settings, rate, seed, task.train, task.val, settings.steps, runtime)
            assert keep is not None
            responses.append(response)
            chosen.append(keep.best_step)
            trained += settings.steps
        ledger.trials = len(rates)
        count = len(set(task.val.condition.tolist()))
        how = f"smallest squared error on {count} val conditions, of {len(rates)} rates"
    else:
        rate = settings.rate or DEFAULT_RATE
        curves = []
        conditions = torch.tensor(sorted(set(task.train.condition.tolist())))
        folds = torch.from_numpy(np.random.default_rng([seeds[0], 0xF01D]).permutation(len(conditions)) % FOLDS)
        for k in range(FOLDS):
            held = torch.isin(task.train.condition, conditions[folds == k])
            if not held.any() or held.all():
                continue
            inner, outer = task.train.part(~held), task.train.part(held)
            _, keep = _fit_one(task, settings, rate, seeds[0], inner, outer, settings.steps, runtime)
            assert keep is not None
            curves.append([keep.history[step] for step in sorted(keep.history)])
            looked = sorted(keep.history)
            trained += settings.steps
        step = looked[int(np.argmin(np.mean(curves, axis=0)))] if curves else settings.steps
        responses, chosen = [], []
        for seed in seeds:
            response, _ = _fit_one(task, settings, rate, seed, task.train, None, step, runtime)
            responses.append(response)
            chosen.append(step)
            trained += step
        how = f"smallest squared error over {len(curves)} folds of the train conditions, default rate"
    head = f"head rate {rate:g}, steps {'/'.join(map(str, chosen))} of {settings.steps}: {how}"
    ledger.selection = f"{ledger.selection}; {head}" if ledger.selection else head
    ledger.steps += trained
    # The base needs no parameter: what is counted is what was fitted, over all head seeds.
    ledger.parameters["response"] = sum(p.numel() for r in responses for p in r.parameters())
    return responses


def allowed(settings: HeadSettings) -> None:
    """Refuse settings that do not go together.

    Raises:
        ValueError: With the reason.
    """
    for name, kind in (("residual", Residual), ("latent_target", LatentTarget), ("predictor", PredictorKind)):
        if getattr(settings, name) not in get_args(kind):
            raise ValueError(f"{name}: expected one of {', '.join(get_args(kind))}")
    if settings.steps < 0 or settings.seeds < 1 or settings.rate < 0:
        raise ValueError("head_steps and head_learning_rate must not be negative, head_seeds at least 1")
    if settings.of_tokens and settings.residual != "none":
        raise ValueError(
            f"predictor={settings.predictor} with latent_target=own predicts whole cells and adds no mean shift: "
            f"set residual=none (it is {settings.residual}), or predictor=film"
        )
    if not 0 <= settings.context_mask < 1:
        raise ValueError("context_mask must be at least 0 and less than 1")
    if settings.context_mask and not (settings.of_tokens and settings.predictor == "report"):
        raise ValueError("context_mask needs predictor=report and latent_target=own")
