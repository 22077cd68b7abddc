"""The second stage, one for all: frozen encoder -> action-conditioned predictor -> decoder -> shift of a condition.

It is fitted on condition means. Every control cell of a context is a possible start, so a cell-level loss has the same
minimum, only with the noise of single cells in its gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from bench.models.response.config import DEFAULT_RATE, RATES, ResponseConfig
from bench.models.response.folds import folds
from bench.models.response.mean_head import MeanHead, ResponseTask, Targets
from bench.training.curves import ValCurve, log_agreement
from bench.training.fit import FitContext, FitReport
from bench.training.flops import flops_of
from bench.training.selection import MIN_VAL_CONDITIONS
from bench.training.trainer import KeepBest, train

#: Steps between looks at the val conditions.
LOOK_EVERY = 10


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
    settings: ResponseConfig,
    rate: float,
    seed: int,
    held: Targets | None,
    steps: int,
    runtime: FitContext,
) -> tuple[MeanHead, KeepBest | None]:
    """Train one response for some steps of the schedule; with held-out targets, keep its best step."""
    response = MeanHead(task, settings, rate, seed)

    def error() -> float:
        """Mean squared error of the held-out shifts, for the choice of the step; logged where they are the val ones."""
        # Beside the train mean, controls cancel here as they do in what is learned (one context): judging against
        # others would add noise alone.
        assert held is not None
        if task.several and held is task.val:
            response.shrink(held)
        predicted, true = response.shifts_of(held)
        if runtime.logger and held is task.val:
            log_agreement(runtime.logger, predicted, true, response.global_step)
        return float((predicted - true).square().mean())

    keep = KeepBest(response, error, LOOK_EVERY) if held is not None else None
    callbacks: list[Callback] = [keep] if keep else []
    if keep is None and runtime.logger and len(task.val):
        callbacks.append(ValCurve(response, lambda: response.shifts_of(task.val), steps))
    if keep and not steps:
        keep.look(0)
    if steps:
        loader = DataLoader(_Steps(steps), batch_size=None, collate_fn=_identity)
        train(
            response,
            loader,
            steps,
            "response",
            callbacks=callbacks,
            precision=settings.precision,
            logger=runtime.logger,
            say=runtime.say,
        )
    return response.eval(), keep


def fit(task: ResponseTask, settings: ResponseConfig, ledger: FitReport, runtime: FitContext) -> list[MeanHead]:
    """Fit one response per head seed.

    With 10 or more val units (conditions, where there is one context), the learning rate and each seed's step are those
    of the smallest val error. With fewer, the rate is the default one, and the number of steps is chosen by 5 folds
    that leave train conditions out, or contexts, where these are what is new in the test; but where all genes of the
    test conditions are known and so are the contexts, nothing is chosen: folds stand for unknown genes, which no step
    at all may predict best.

    Args:
        task: What to fit on.
        settings: Parts, and the rate (0 = choose).
        ledger: Gets steps, trials, parameters and how the choice was made.
        runtime: Head seed, logger and progress.
    """
    seeds = [runtime.head_seed * 1_000 + k for k in range(settings.head_seeds)]
    enough = len(task.val) >= MIN_VAL_CONDITIONS
    known = task.all_known and not task.new_contexts
    choose = _by_val if enough else _by_default if known else _by_folds
    before = ledger.steps
    responses, head = choose(task, settings, seeds, ledger, runtime)
    trained = ledger.steps - before
    probe = MeanHead(task, settings, DEFAULT_RATE, seeds[0])
    ledger.flops = (ledger.flops or 0.0) + trained * flops_of(lambda: probe.loss(0))
    ledger.selection = f"{ledger.selection}; {head}" if ledger.selection else head
    # The base needs no parameter: what is counted is what was fitted, over all head seeds.
    ledger.parameters["response"] = sum(p.numel() for r in responses for p in r.parameters())
    return responses


def _counted(targets: Targets) -> str:
    """Say how many val conditions there are, and in how many contexts where there are several."""
    conditions, contexts = (len(set(of.tolist())) for of in (targets.condition, targets.context))
    return f"{conditions} val conditions" if contexts == 1 else f"{len(targets)} val units of {contexts} contexts"


def _by_val(
    task: ResponseTask, settings: ResponseConfig, seeds: Sequence[int], ledger: FitReport, runtime: FitContext
) -> tuple[list[MeanHead], str]:
    """Responses at the rate and steps of the smallest val error, and how they were chosen."""

    def attempt(rate: float, seed: int) -> tuple[float, float, MeanHead, int]:
        response, keep = _fit_one(task, settings, rate, seed, task.val, settings.head_steps, runtime)
        assert keep is not None
        return keep.history[keep.best_step], rate, response, keep.best_step

    rates = (settings.head_learning_rate,) if settings.head_learning_rate else RATES
    first = min((attempt(rate, seeds[0]) for rate in rates), key=lambda trial: trial[0])
    fitted = [first, *(attempt(first[1], seed) for seed in seeds[1:])]
    ledger.trials, ledger.error = len(rates), _of_genes(settings, float(np.mean([error for error, *_ in fitted])))
    ledger.steps += settings.head_steps * (len(rates) + len(seeds) - 1)
    how = f"smallest squared error on {_counted(task.val)}, of {len(rates)} rates"
    return [response for _, _, response, _ in fitted], _sentence(first[1], [step for *_, step in fitted], settings, how)


def _by_folds(
    task: ResponseTask, settings: ResponseConfig, seeds: Sequence[int], ledger: FitReport, runtime: FitContext
) -> tuple[list[MeanHead], str]:
    """Responses at the default rate and the step of the smallest error over folds, and how it was chosen."""
    rate = settings.head_learning_rate or DEFAULT_RATE
    curves = []
    for fold, held in folds(task, seeds[0]):
        _, keep = _fit_one(fold, settings, rate, seeds[0], held, settings.head_steps, runtime)
        assert keep is not None
        curves.append(keep.history)
    looked = sorted(curves[0]) if curves else []
    errors = np.array([[curve[step] for step in looked] for curve in curves])
    step = looked[int(np.argmin(errors.mean(axis=0)))] if curves else settings.head_steps
    ledger.error = _of_genes(settings, float(errors.mean(axis=0).min())) if curves else None
    responses = [_fit_one(task, settings, rate, seed, None, step, runtime)[0] for seed in seeds]
    ledger.steps += settings.head_steps * len(curves) + step * len(seeds)
    of = "contexts" if task.new_contexts else "conditions"
    how = f"smallest squared error over {len(curves)} folds of the train {of}, default rate"
    return responses, _sentence(rate, [step] * len(seeds), settings, how)


def _by_default(
    task: ResponseTask, settings: ResponseConfig, seeds: Sequence[int], ledger: FitReport, runtime: FitContext
) -> tuple[list[MeanHead], str]:
    """Responses at the default rate after all steps, and why."""
    rate = settings.head_learning_rate or DEFAULT_RATE
    responses = [_fit_one(task, settings, rate, seed, None, settings.head_steps, runtime)[0] for seed in seeds]
    ledger.steps += settings.head_steps * len(seeds)
    how = "default rate, the last step: too few val conditions, and folds would leave out genes that are known here"
    return responses, _sentence(rate, [settings.head_steps] * len(seeds), settings, how)


def _of_genes(settings: ResponseConfig, error: float) -> float | None:
    """An error, where it is one of genes: in latents of its own, each encoder has another unit."""
    return None if settings.latent_target == "own" else error


def _sentence(rate: float, steps: Sequence[int], settings: ResponseConfig, how: str) -> str:
    return f"head rate {rate:g}, steps {'/'.join(map(str, steps))} of {settings.head_steps}: {how}"
