"""The one rule by which closed forms choose hyperparameters: val conditions, or folds of the train conditions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from bench.core.typing import Floats
from bench.data.datamodule import PerturbationDataModule, Pseudobulk
from bench.training.fit import FitReport

Setting = TypeVar("Setting")
#: With fewer val conditions the choice is made by leaving out train conditions instead.
MIN_VAL_CONDITIONS = 10
FOLDS = 5
#: What a run may spend on choosing, whichever ends first; the first setting is tried in any case.
MAX_TRIALS = 8
MAX_CPU_MINUTES = 5.0


def part_of(bulk: Pseudobulk, keep: Sequence[int]) -> Pseudobulk:
    """Take some conditions of a pseudobulk."""
    rows = np.asarray(keep, dtype=np.int64)
    return Pseudobulk(tuple(bulk.conditions[i] for i in keep), bulk.means[rows], bulk.shifts[rows], bulk.cells[rows])


def choose(
    settings: Sequence[Setting],
    fit_predict: Callable[[Setting, Pseudobulk, tuple[str, ...]], Floats],
    datamodule: PerturbationDataModule,
    ledger: FitReport,
) -> Setting:
    """Choose the setting with the smallest squared error of the predicted condition means.

    The error of a mean does not depend on any control, so no shared noise can favour a setting. With 10 or more val
    conditions they decide; otherwise 5 folds that leave train conditions out do, and the val conditions are not used.
    Settings are tried in their order until 8 are tried or 5 minutes of processor time are spent.

    Args:
        settings: Candidates; the first wins ties.
        fit_predict: ``(setting, train, conditions) -> shifts [len(conditions), G]``, fitted on ``train`` alone.
        datamodule: The task.
        ledger: Gets the number of trials and a sentence on how the choice was made.
    """
    if len(settings) == 1:
        ledger.trials, ledger.selection = 1, f"{settings[0]}: the only setting"
        return settings[0]
    train, val = (datamodule.pseudobulk(part).by_condition() for part in ("train", "val"))
    if len(val.conditions) >= MIN_VAL_CONDITIONS:
        rounds = [(train, val)]
        how = f"smallest squared error on {len(val.conditions)} val conditions"
    else:
        folds = np.random.default_rng([datamodule.split.seed, 0xF01D]).permutation(len(train.conditions)) % FOLDS
        rounds = [
            (part_of(train, np.flatnonzero(folds != k).tolist()), part_of(train, np.flatnonzero(folds == k).tolist()))
            for k in range(FOLDS)
            if (folds == k).any() and (folds != k).any()
        ]
        how = (
            f"smallest squared error over {len(rounds)} folds of the train conditions (only {len(val.conditions)} val)"
        )

    def error(setting: Setting) -> float:
        losses = [
            ((fit_predict(setting, fitted, held.conditions) - held.shifts) ** 2).mean(axis=1) for fitted, held in rounds
        ]
        return float(np.concatenate(losses).mean()) if losses else 0.0

    begin, errors = time.process_time(), [error(settings[0])]
    for setting in settings[1:MAX_TRIALS]:
        if time.process_time() - begin >= 60 * MAX_CPU_MINUTES:
            break
        errors.append(error(setting))
    best, tried = settings[int(np.argmin(errors))], len(errors)
    ledger.trials, ledger.selection = tried, f"{best}: {how}, of {_counted(tried, len(settings))}"
    return best


def _counted(tried: int, offered: int) -> str:
    """Say how many settings were tried, and what ended the search if not all were."""
    if tried == offered:
        return f"{tried} settings"
    budget = f"{MAX_TRIALS} trials" if tried >= MAX_TRIALS else f"{MAX_CPU_MINUTES:g} minutes of processor time"
    return f"the first {tried} of {offered} settings: the budget of {budget} was spent"
