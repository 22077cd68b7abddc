"""The one rule by which closed forms choose hyperparameters: val conditions, or folds of the train conditions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from bench.core.conditions import bare
from bench.core.typing import Floats
from bench.core.units import Unit
from bench.data.datamodule import PerturbationDataModule, Pseudobulk
from bench.training.fit import FitReport

Setting = TypeVar("Setting")
#: With fewer val conditions the choice is made by leaving out train conditions instead.
MIN_VAL_CONDITIONS = 10
FOLDS = 5
#: Settings that a run may try. A number of trials, never a time: what is chosen must not depend on the machine.
MAX_TRIALS = 8


def part_of(bulk: Pseudobulk, keep: Sequence[int]) -> Pseudobulk:
    """Take some conditions of a pseudobulk."""
    rows = np.asarray(keep, dtype=np.int64)
    names, contexts = (tuple(of[i] for i in keep) if of else () for of in (bulk.conditions, bulk.contexts))
    return Pseudobulk(names, bulk.means[rows], bulk.shifts[rows], bulk.cells[rows], contexts)


def rounds(datamodule: PerturbationDataModule) -> tuple[list[tuple[Pseudobulk, Pseudobulk]], str]:
    """What a setting is fitted on and judged by, once or several times; and how that is called in a record.

    With 10 or more val conditions they judge; otherwise 5 folds that leave train conditions out do, and the val
    conditions are not used.
    """
    train, val = (datamodule.pseudobulk(part).by_condition() for part in ("train", "val"))
    if len(val.conditions) >= MIN_VAL_CONDITIONS:
        return [(train, val)], f"smallest squared error on {len(val.conditions)} val conditions"
    # All doses of a compound are left out together.
    number = {name: i for i, name in enumerate(dict.fromkeys(map(bare, train.conditions)))}
    fold = np.random.default_rng([datamodule.split.seed, 0xF01D]).permutation(len(number)) % FOLDS
    folds = fold[[number[bare(name)] for name in train.conditions]]
    found = [
        (part_of(train, np.flatnonzero(folds != k).tolist()), part_of(train, np.flatnonzero(folds == k).tolist()))
        for k in range(FOLDS)
        if (folds == k).any() and (folds != k).any()
    ]
    how = f"smallest squared error over {len(found)} folds of the train conditions (only {len(val.conditions)} val)"
    return found, how


def choose(
    settings: Sequence[Setting],
    fit_predict: Callable[[Setting, Pseudobulk, tuple[str, ...]], Floats],
    datamodule: PerturbationDataModule,
    ledger: FitReport,
) -> Setting:
    """Choose the setting with the smallest squared error of the predicted condition means.

    The error of a mean does not depend on any control, so no shared noise can favour a setting. The first 8 settings
    are tried, in their order, by :func:`rounds`.

    Fitting against one half of the controls and judging against the other only adds noise: of 195 choices of ``ridge``,
    ``rrr``, ``knn`` and ``linear`` with 50 to 500 controls it changed 12, and no test score by more than chance
    (``benchmarks/selection_controls.py``).

    Args:
        settings: Candidates; the first wins ties.
        fit_predict: ``(setting, train, conditions) -> shifts [len(conditions), G]``, fitted on ``train`` alone.
        datamodule: The task.
        ledger: Gets the number of trials and a sentence on how the choice was made.
    """
    parts, how = rounds(datamodule) if len(settings) > 1 else ([], "")

    def error(setting: Setting) -> Floats:
        losses = [
            ((fit_predict(setting, fitted, held.conditions) - held.shifts) ** 2).mean(axis=1) for fitted, held in parts
        ]
        return np.concatenate(losses) if losses else np.zeros(1)

    return _best(settings, error, how, ledger)


def rounds_of_contexts(datamodule: PerturbationDataModule) -> tuple[list[tuple[Pseudobulk, Pseudobulk]], str]:
    """The same for settings that are about contexts: units stand for themselves.

    With 10 or more val units they judge; otherwise train contexts are left out, in 5 folds at most. With one train
    context nothing can.
    """
    train, val = (datamodule.pseudobulk(part) for part in ("train", "val"))
    if len(val.conditions) >= MIN_VAL_CONDITIONS:
        count = len(set(val.contexts))
        return [(train, val)], f"smallest squared error on {len(val.conditions)} val units of {count} contexts"
    names = sorted(set(train.contexts))
    order = np.random.default_rng([datamodule.split.seed, 0xF01D]).permutation(len(names)) % FOLDS
    fold = np.array([order[names.index(context)] for context in train.contexts])
    found = [
        (part_of(train, np.flatnonzero(fold != k).tolist()), part_of(train, np.flatnonzero(fold == k).tolist()))
        for k in np.unique(fold).tolist()
        if (fold != k).any()
    ]
    how = f"smallest squared error over {len(found)} folds of {len(names)} train contexts"
    return found, f"{how} (only {len(val.conditions)} val units)"


def choose_for_contexts(
    settings: Sequence[Setting],
    fit_predict: Callable[[Setting, Pseudobulk, tuple[Unit, ...]], Floats],
    datamodule: PerturbationDataModule,
    ledger: FitReport,
) -> Setting:
    """Choose as :func:`choose` does, where predictions are of units: ``(setting, train, units) -> [len(units), G]``."""
    parts, how = rounds_of_contexts(datamodule) if len(settings) > 1 else ([], "")

    def error(setting: Setting) -> Floats:
        losses = [
            ((fit_predict(setting, fitted, held.units) - held.shifts) ** 2).mean(axis=1) for fitted, held in parts
        ]
        return np.concatenate(losses) if losses else np.zeros(1)

    return _best(settings, error, how, ledger)


def _best(settings: Sequence[Setting], error: Callable[[Setting], Floats], how: str, ledger: FitReport) -> Setting:
    """The setting of the smallest mean error, and how it was found."""
    if len(settings) == 1:
        ledger.trials, ledger.selection = 1, f"{settings[0]}: the only setting"
        return settings[0]
    tried = settings[:MAX_TRIALS]
    best = tried[int(np.argmin([float(error(setting).mean()) for setting in tried]))]
    ledger.trials, ledger.selection = len(tried), f"{best}: {how}, of {_counted(len(tried), len(settings))}"
    return best


def _counted(tried: int, offered: int) -> str:
    """Say how many settings were tried, and what ended the search if not all were."""
    if tried == offered:
        return f"{tried} settings"
    return f"the first {tried} of {offered} settings: the budget of {MAX_TRIALS} trials was spent"
