"""The one rule by which closed forms choose hyperparameters: val conditions, or folds of the train conditions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from bench.data.datamodule import PerturbationDataModule, Pseudobulk
from bench.models.base import Ledger
from bench.shifts import Floats

Setting = TypeVar("Setting")
#: With fewer val conditions the choice is made by leaving out train conditions instead.
MIN_VAL_CONDITIONS = 10
FOLDS = 5


def part_of(bulk: Pseudobulk, keep: Sequence[int]) -> Pseudobulk:
    """Take some conditions of a pseudobulk."""
    rows = np.asarray(keep, dtype=np.int64)
    return Pseudobulk(tuple(bulk.conditions[i] for i in keep), bulk.means[rows], bulk.shifts[rows], bulk.cells[rows])


def choose(
    settings: Sequence[Setting],
    fit_predict: Callable[[Setting, Pseudobulk, tuple[str, ...]], Floats],
    data: PerturbationDataModule,
    ledger: Ledger,
) -> Setting:
    """Choose the setting with the smallest squared error of the predicted condition means.

    The error of a mean does not depend on any control, so no shared noise can favour a setting. With 10 or more val
    conditions they decide; otherwise 5 folds that leave train conditions out do, and the val conditions are not used.

    Args:
        settings: Candidates; the first wins ties.
        fit_predict: ``(setting, train, conditions) -> shifts [len(conditions), G]``, fitted on ``train`` alone.
        data: The task.
        ledger: Gets the number of trials and a sentence on how the choice was made.
    """
    train, val = data.pseudobulk("train"), data.pseudobulk("val")
    if len(val.conditions) >= MIN_VAL_CONDITIONS:
        rounds = [(train, val)]
        how = f"smallest squared error on {len(val.conditions)} val conditions"
    else:
        folds = np.random.default_rng([data.split.seed, 0xF01D]).permutation(len(train.conditions)) % FOLDS
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

    errors = [error(setting) for setting in settings]
    best = settings[int(np.argmin(errors))]
    ledger.trials, ledger.selection = len(settings), f"{best}: {how}, of {len(settings)} settings"
    return best
