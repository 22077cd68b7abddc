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

import torch
from torch import nn

from bench.data.datamodule import CellBatch, PerturbationDataModule
from bench.models.response.actions import ActionTable
from bench.models.response.config import CELLS, DEFAULT_RATE, RATES, ResponseConfig
from bench.models.response.token_head import TokenHead
from bench.models.response.token_stages import DECODER_RATE, PAIR_BATCH, ActionStage, DecoderStage, HeldOut, PairStage
from bench.nn.encoder import Encoded
from bench.training.fit import FitContext, FitReport
from bench.training.flops import flops_of
from bench.training.rounds import in_rounds
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
    """

    encoder: nn.Module
    table: ActionTable
    datamodule: PerturbationDataModule
    composer: dict[str, torch.Tensor] | None = None
    checkpoint_activations: bool = False
    heads: int = 4


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
    steps = stage.settings.head_steps
    if not steps:
        return float("inf"), 0
    ledger.flops = (ledger.flops or 0.0) + _flops(stage, task) * PAIR_BATCH * steps
    keep = KeepBest(kept, measure, max(1, steps // stage.settings.looks), f"val/{stage.name}") if measure else None
    pairs = PerturbationDataModule(task.datamodule.task, batch_size=PAIR_BATCH, seed=stage.seed)
    described = stage.described(task.datamodule)
    ledger.earlier_s += train(
        stage,
        in_rounds(pairs.train_dataloader(), steps, CHECKPOINTS),
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
    """Floating-point operations of a training step, per pair."""
    cells, index = torch.zeros(2, len(task.datamodule.genes)), torch.zeros(2, dtype=torch.int64)
    batch, generator = CellBatch(cells, cells, index, index), torch.Generator().manual_seed(0)
    counted = flops_of(lambda: torch.stack(list(stage.losses(batch, generator).values())).sum())
    stage.zero_grad(set_to_none=True)
    return counted / 2


def fit(task: TokenTask, settings: ResponseConfig, ledger: FitReport, runtime: FitContext) -> list[TokenHead]:
    """Fit predictor and composer, then the decoder, once per head seed, each for ``settings.head_steps`` steps.

    With 10 or more val conditions, the learning rate of the first and the step of both are those of the smallest
    error of the val conditions' means. With fewer, the rate is the default one and the last step is kept: folds would
    cost as many further trainings of a predictor that is dearer than all else.

    Args:
        task: What to fit on.
        settings: Parts, and the rate (0 = choose).
        ledger: Gets cells, steps, trials, parameters and how the choice was made.
        runtime: Head seed, logger and progress.

    Raises:
        ValueError: If the encoder does not fit.
    """
    width, genes = token_width(task.encoder, task.datamodule, settings), len(task.datamodule.genes)
    enough = len(task.datamodule.split.val) >= MIN_VAL_CONDITIONS
    held = HeldOut(task.datamodule, task.encoder) if enough else None
    rates = (settings.head_learning_rate,) if settings.head_learning_rate else RATES if enough else (DEFAULT_RATE,)

    def actions(rate: float, seed: int) -> tuple[float, int, float, TokenHead]:
        response = TokenHead(
            task.table, settings, genes, width, seed, task.composer, task.checkpoint_activations, task.heads
        )
        stage = ActionStage(task.encoder, response, settings, rate, seed)
        measure = partial(held.latent_error, response) if held else None
        value, step = _train(stage, response, measure, task, ledger, runtime)
        return value, step, rate, response

    responses, steps, stages = [], [], 0
    for k in range(settings.head_seeds):
        seed = runtime.head_seed * 1_000 + k
        trials = [actions(rate, seed) for rate in rates]
        _, step, rate, response = min(trials, key=lambda trial: trial[0])
        stages += len(trials) + 1
        if k == 0:
            ledger.trials, rates = len(trials), (rate,)
        response.requires_grad_(False)
        response.decoder.requires_grad_(True)
        stage = DecoderStage(task.encoder, response, settings, DECODER_RATE, seed)

        def measure_genes(response: TokenHead = response, stage: DecoderStage = stage) -> float:
            assert held is not None
            return held.gene_error(response, runtime.logger, stage.global_step)

        _, decoder_step = _train(stage, response.decoder, measure_genes if held else None, task, ledger, runtime)
        responses.append(response.eval())
        steps.append(f"{step}+{decoder_step}")
    _record(responses, steps, rate, stages, task, settings, ledger)
    return responses


def _record(
    responses: list[TokenHead],
    steps: list[str],
    rate: float,
    stages: int,
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
    head = f"head rate {rate:g}, steps (actions+decoder) {'/'.join(steps)} of {settings.head_steps} each: {how}"
    ledger.selection = f"{ledger.selection}; {head}" if ledger.selection else head
    ledger.steps += stages * settings.head_steps
    ledger.cells_seen += stages * settings.head_steps * 2 * PAIR_BATCH  # a pair is two cells
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
