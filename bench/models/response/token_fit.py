"""The published second and third stage: a predictor of the encoder's own tokens, then a decoder of their differences.

They stand in for :mod:`bench.models.response.mean_fit` where ``predictor`` is ``report`` or ``fixed`` and
``latent_target`` is ``own``: latents of single cells have a spread to be predicted, so they are fitted on pairs of
cells, not on means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from bench.data.datamodule import PerturbationDataModule
from bench.models.response.actions import ActionTable
from bench.models.response.config import CELLS, DEFAULT_RATE, RATES, ResponseConfig
from bench.models.response.frozen_tokens import (
    MOST_BYTES,
    Bags,
    Drawn,
    Kept,
    Numbered,
    NumberedPairs,
    drawn_in,
    kept_tokens,
)
from bench.models.response.token_head import TokenHead
from bench.models.response.token_looks import HeldOut
from bench.models.response.token_stages import PAIR_BATCH, ActionStage, DecoderStage, PairStage
from bench.nn.encoder import Encoded
from bench.training.fit import FitContext, FitReport
from bench.training.flops import flops_of, forward_flops_of
from bench.training.rounds import Rounds, in_rounds
from bench.training.selection import FOLDS, MIN_VAL_CONDITIONS
from bench.training.trainer import CHECKPOINTS, KeepBest, train


@dataclass(frozen=True)
class TokenTask:
    """What the stages are fitted on.

    Attributes:
        encoder: Frozen.
        table: Actions of the conditions.
        datamodule: Cells and split.
        composer: Weights that the action composer starts from, where it was aligned.
        checkpoint_activations: Trade time for memory.
        heads: Attention heads of the predictor: the encoder's.
        most_bytes: What each of the tables of :mod:`bench.models.response.frozen_tokens` may take.
    """

    encoder: nn.Module
    table: ActionTable
    datamodule: PerturbationDataModule
    composer: dict[str, torch.Tensor] | None = None
    checkpoint_activations: bool = False
    heads: int = 4
    most_bytes: int = MOST_BYTES

    def loader(self, seed: int, steps: int, settings: ResponseConfig) -> DataLoader[Any]:
        """Pairs of so many steps, with their rows."""
        once = settings.pairing == "once"
        pairs = PerturbationDataModule(self.datamodule.task, batch_size=PAIR_BATCH, seed=seed, paired_once=once)
        numbered = Numbered(pairs.dataset, self.bags(seed, settings))
        return in_rounds(pairs.train_dataloader(), steps, CHECKPOINTS, numbered)

    def bags(self, seed: int, settings: ResponseConfig) -> Bags:
        """What pairs are filled up by."""
        return Bags(self.datamodule, settings.bag, seed)

    def drawn(self, seed: int, steps: int, settings: ResponseConfig) -> Drawn:
        """What these steps draw."""
        sampler = cast(Rounds, self.loader(seed, steps, settings).sampler)
        return drawn_in(sampler.drawn(steps // len(sampler)), self.bags(seed, settings))


@torch.no_grad()
def token_width(encoder: nn.Module, datamodule: PerturbationDataModule, settings: ResponseConfig) -> int:
    """Width of an encoder's tokens.

    Raises:
        ValueError: If it does not have one token per gene, also under the mask that is asked for.
    """
    genes = len(datamodule.genes)
    cell = torch.zeros(1, genes)
    tokens = encoder(cell).tokens
    if tokens.shape[1] != genes:
        raise ValueError(
            f"predictor={settings.predictor} with latent_target=own needs one token per gene, and this encoder has "
            f"{tokens.shape[1]} per cell: choose encoder=gene_transformer, or predictor=film"
        )
    if settings.context_mask and getattr(encoder, "identity", None) != "report":
        raise ValueError(
            "context_mask needs hidden genes to keep their tokens: choose token_identity=report, or context_mask=0"
        )
    return int(tokens.shape[2])


def _train(
    stage: PairStage,
    kept: nn.Module,
    measure: Callable[[], float] | None,
    task: TokenTask,
    ledger: FitReport,
    runtime: FitContext,
) -> tuple[float, int]:
    """Train a stage for its steps; return the smallest value measured and its step, or infinity and the last step."""
    steps = stage.steps
    if not steps:
        return float("inf"), 0
    ledger.flops = (ledger.flops or 0.0) + _flops(stage, task) * PAIR_BATCH * steps
    keep = KeepBest(kept, measure, max(1, steps // stage.settings.looks), f"val/{stage.name}") if measure else None
    described = stage.described(task.datamodule)
    stage.train()  # Lightning leaves modules in the mode that they are in: the stage before had the composer drop names
    ledger.earlier_s += train(
        stage,
        task.loader(stage.seed, steps, stage.settings),
        steps,
        stage.name,
        callbacks=[keep] if keep else [],
        precision=stage.settings.precision,
        logger=runtime.logger,
        say=runtime.say,
        folder=runtime.stage_folder(stage.name, described),
        fresh=runtime.fresh,
        described=described,
    )
    return (keep.history[keep.best_step], keep.best_step) if keep else (float("inf"), steps)


def _flops(stage: PairStage, task: TokenTask) -> float:
    """Floating-point operations of a training step, per pair; what is kept is looked up, and counted elsewhere."""
    genes, index = len(task.datamodule.genes), torch.zeros(2, dtype=torch.int64)
    cells, generator = torch.zeros(2, genes), torch.Generator().manual_seed(0)
    rows = torch.zeros(2, stage.settings.bag, dtype=torch.int64)
    batch = NumberedPairs(cells, cells, index, index, rows, rows)
    with stage.blank(genes):
        counted = flops_of(lambda: torch.stack(list(stage.losses(batch, generator).values())).sum())
    stage.zero_grad(set_to_none=True)
    return counted / 2


def _flops_kept(task: TokenTask, tokens: Kept) -> float:
    """Floating-point operations of computing the tokens that are kept."""
    cells = torch.zeros(2, len(task.datamodule.genes))
    return forward_flops_of(lambda: task.encoder(cells)) / 2 * len(tokens.keys) if tokens.fits else 0.0


def fit(task: TokenTask, settings: ResponseConfig, ledger: FitReport, runtime: FitContext) -> list[TokenHead]:
    """Fit predictor and composer, then the decoder, once per head seed.

    With 10 or more val conditions, the learning rate of the first and the step of both are those of the smallest
    error of the val conditions' means. With fewer, the rate is the default one and the last step is kept: folds would
    cost as many further trainings of a predictor that is dearer than all else.

    Args:
        task: What to fit on.
        settings: Parts, steps, and the rate (0 = choose).
        ledger: Gets cells, steps, trials, parameters, what is kept and how the choice was made.
        runtime: Head seed, logger and progress.

    Raises:
        ValueError: If the encoder does not fit.
    """
    width, genes = token_width(task.encoder, task.datamodule, settings), len(task.datamodule.genes)
    enough = len(task.datamodule.split.val) >= MIN_VAL_CONDITIONS
    held = HeldOut(task.datamodule, task.encoder, task.most_bytes) if enough else None
    rates = (settings.head_learning_rate,) if settings.head_learning_rate else RATES if enough else (DEFAULT_RATE,)
    seeds = [runtime.head_seed * 1_000 + k for k in range(settings.head_seeds)]
    steps = max(settings.head_steps, settings.decoder_steps)
    rows = np.unique(np.concatenate([task.drawn(seed, steps, settings).rows for seed in seeds]))
    tokens = kept_tokens(task.encoder, task.datamodule.dataset.x, rows, width, task.most_bytes)
    ledger.flops = (ledger.flops or 0.0) + _flops_kept(task, tokens)

    def actions(rate: float, seed: int) -> tuple[float, int, float, TokenHead]:
        response = TokenHead(
            task.table, settings, genes, width, seed, task.composer, task.checkpoint_activations, task.heads,
            getattr(task.encoder, "slopes", None),
        )  # fmt: skip
        stage = ActionStage(task.encoder, response, settings, rate, seed, tokens)
        measure = partial(held.latent_error, response) if held else None
        value, step = _train(stage, response, measure, task, ledger, runtime)
        return value, step, rate, response

    responses, chosen, taken = [], [], 0
    for k, seed in enumerate(seeds):
        trials = [actions(rate, seed) for rate in rates]
        _, step, rate, response = min(trials, key=lambda trial: trial[0])
        if k == 0:
            ledger.trials, rates = len(trials), (rate,)
        response.requires_grad_(False)
        response.decoder.requires_grad_(True)
        stage = DecoderStage(task.encoder, response, settings, settings.decoder_rate, seed, tokens)
        stage.keep(task.drawn(seed, stage.steps, settings), task.bags(seed, settings), task.most_bytes)
        ledger.flops += stage.flops_of_moved(genes)
        if held:
            held.settle(response)

        def measure_genes(response: TokenHead = response, stage: DecoderStage = stage) -> float:
            assert held is not None
            return held.gene_error(response, runtime.logger, stage.global_step)

        _, decoder_step = _train(stage, response.decoder, measure_genes if held else None, task, ledger, runtime)
        taken += len(trials) * settings.head_steps + stage.steps
        responses.append(response.eval())
        chosen.append(f"{step}+{decoder_step}")
    _record(responses, chosen, rate, taken, task, settings, ledger)
    if tokens.fits:
        ledger.selection = f"{ledger.selection}; frozen tokens of {len(rows)} cells kept ({tokens.bytes / 1e6:.0f} MB)"
    return responses


def _record(
    responses: list[TokenHead],
    chosen: list[str],
    rate: float,
    taken: int,
    task: TokenTask,
    settings: ResponseConfig,
    ledger: FitReport,
) -> None:
    """Write down what was fitted and how it was chosen."""
    n_val = len(task.datamodule.split.val)
    if n_val >= MIN_VAL_CONDITIONS:
        how = f"smallest squared error of means on {n_val} val conditions, of {ledger.trials} rates"
    else:
        how = f"the last ones, as there are only {n_val} val conditions and {FOLDS} folds would be {FOLDS} more fits"
    of = f"{settings.head_steps}+{settings.decoder_steps or settings.head_steps}"
    head = f"head rate {rate:g}, steps (actions+decoder) {'/'.join(chosen)} of {of}: {how}"
    ledger.selection = f"{ledger.selection}; {head}" if ledger.selection else head
    ledger.steps += taken
    ledger.cells_seen += taken * 2 * PAIR_BATCH * settings.bag  # a pair is two bags
    for name in ("composer", "predictor", "decoder"):
        parts: Iterable[Any] = (getattr(response, name) for response in responses)
        ledger.parameters[name] = sum(p.numel() for part in parts for p in part.parameters())


@torch.no_grad()
def predict(
    encoder: nn.Module, responses: Iterable[nn.Module], controls: torch.Tensor, condition: torch.Tensor
) -> torch.Tensor:
    """Predict cells ``[B, G]`` from control cells: each with its own shift, never below 0, averaged over responses.

    All control cells are used: a shift is the predicted cell less what the decoder reads in that very control, so the
    mean over a few would carry the noise of which ones they are.

    Args:
        encoder: Frozen.
        responses: Fitted from different seeds.
        controls: Input cells ``[B, G]``.
        condition: Index into ``data.conditions`` ``[B]``.
    """
    heads = [cast(TokenHead, response) for response in responses]
    blocks = []
    for i in range(0, len(controls), CELLS):
        cells, index = controls[i : i + CELLS], condition[i : i + CELLS]
        context: Encoded = encoder(cells)
        moved = [
            (cells.double() + head.decode(head(context, index)[0], context).double()).clamp(min=0) for head in heads
        ]
        blocks.append(torch.stack(moved).mean(dim=0))
    return torch.cat(blocks)
