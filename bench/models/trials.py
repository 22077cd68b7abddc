"""Settings of an objective, tried one after the other on one task; what is held out says which stays.

Every objective gets the same number of trials, its own setting among them, so that none wins by being tuned longer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from bench.core.arguments import resolved
from bench.models.base import PerturbationModel
from bench.training.fit import FitReport
from bench.training.objective import Objective

M = TypeVar("M", bound=PerturbationModel)
Setting = dict[str, Any]
#: What belongs to the run and not to the trial that is taken over.
_OF_RUN = {"fit_report", "fit_context", "_resolved"}


def offered(objective: Objective, trials: int, seed: int) -> list[Setting]:
    """Draw the settings to try: the objective's own first, others of its grid without repetition.

    Args:
        objective: With the values that may be tried in ``search``.
        trials: How many settings.
        seed: Of the draw.

    Raises:
        ValueError: More trials than there are settings.
    """
    own = {name: resolved(objective)[name] for name in objective.search}
    grid = [dict(zip(own, values, strict=True)) for values in itertools.product(*objective.search.values())]
    others = [setting for setting in grid if setting != own]
    if trials - 1 > len(others):
        raise ValueError(f"trials is {trials}; {type(objective).__name__} has {1 + len(others)} settings to try")
    drawn = np.random.default_rng([seed, 0x7121A1]).permutation(len(others))[: trials - 1]
    return [own, *(others[i] for i in drawn)]


def take_best(
    model: M,
    settings: list[Setting],
    fit: Callable[[M], None],
) -> None:
    """Fit a model with each setting, and become the one of the smallest error; the first wins ties.

    What all trials cost stands in the model's report: another objective's number of trials is to be compared with it.

    Args:
        model: With a ``fit_report`` that gets the costs and how the choice was made.
        settings: Arguments that differ from the model's own.
        fit: Fits one trial, whose report then holds its ``error``.

    Raises:
        ValueError: Nothing is held out by which a trial could be judged.
    """
    best, errors = None, list[float]()
    for number, setting in enumerate(settings, 1):
        trial = _sibling(model, setting, f"trial {number} of {len(settings)}: ")
        fit(trial)
        error = trial.fit_report.error
        if error is None:
            raise ValueError("trials need units that are held out for the choice: this split or response has none")
        _add(model.fit_report, trial.fit_report)
        if best is None or error < min(errors):
            best = trial
        errors.append(error)
    assert best is not None
    vars(model).update({name: value for name, value in vars(best).items() if name not in _OF_RUN})
    report, chosen = best.fit_report, int(np.argmin(errors))
    model.fit_report.parameters, model.fit_report.trials = report.parameters, len(settings)
    model.fit_report.error = errors[chosen]
    tried = ", ".join(f"{_words(setting)}: {error:.5g}" for setting, error in zip(settings, errors, strict=True))
    sentence = f"{_words(settings[chosen])}: smallest held-out error of {len(settings)} trials ({tried})"
    model.fit_report.selection = f"{sentence}; {report.selection}" if report.selection else sentence


def _sibling(model: M, setting: Mapping[str, Any], announced: str) -> M:
    """The same model with another setting and a single trial; it shares checkpoints with runs that have it by name."""
    changed = {**setting, "trials": 1}
    made = type(model)(**{**resolved(model), **changed})
    context = model.fit_context
    made.fit_context = replace(
        context,
        arguments={**context.arguments, **changed},
        say=lambda text: context.say(announced + text),
    )
    return made


def _add(total: FitReport, trial: FitReport) -> None:
    total.cells_seen += trial.cells_seen
    total.steps += trial.steps
    total.flops = (total.flops or 0.0) + (trial.flops or 0.0)


def _words(setting: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value:g}" for name, value in setting.items())
