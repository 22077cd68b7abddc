"""What bars for several contexts share: shifts of a perturbation in the train contexts that hold it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

import numpy as np

from bench.core.conditions import constituents, identity
from bench.core.typing import Floats
from bench.core.units import Unit
from bench.data.datamodule import PerturbationDataModule
from bench.data.pseudobulk import Pseudobulk
from bench.models.base import ShiftModel
from bench.stats.shifts import additive, shifts_by_identity, single_shift
from bench.training.selection import choose_for_contexts

Setting = TypeVar("Setting")
#: ``(setting, train units, units asked for) -> shifts [U, G]``.
Solve: TypeAlias = Callable[[Setting, Pseudobulk, Sequence[Unit]], Floats]


def rows_of(train: Pseudobulk, perturbation: str) -> list[int]:
    """Rows of a perturbation's train units, one per context that holds it."""
    wanted = identity(perturbation)
    return [i for i, name in enumerate(train.conditions) if identity(name) == wanted]


class Elsewhere:
    """Mean shift of each perturbation over the train contexts that hold it, each context counting once.

    A combination that no context holds is the sum of its constituents' mean shifts; a compound that none holds at a
    dose takes its mean shift at the nearest; what is in no train unit is the train mean, and counts as a fallback.

    Args:
        train: Train units.
    """

    def __init__(self, train: Pseudobulk) -> None:
        names = tuple(dict.fromkeys(train.conditions))
        means = [train.shifts[rows_of(train, name)].mean(axis=0) for name in names]
        self._known = shifts_by_identity(names, np.array(means))
        self._mean: Floats = train.shifts.mean(axis=0)

    def __call__(self, perturbation: str) -> tuple[Floats, int]:
        """Shift ``[G]`` of a perturbation, and how many of its constituents fell back."""
        if identity(perturbation) in self._known:
            return self._known[identity(perturbation)], 0
        if len(genes := constituents(perturbation)) == 1:
            near = single_shift(genes[0], perturbation, self._known)
            return (self._mean, 1) if near is None else (near, 0)
        return additive(perturbation, self._known, self._mean)

    def of(self, units: Sequence[Unit]) -> Floats:
        """Shifts ``[U, G]`` of units."""
        return np.array([self(unit.perturbation)[0] for unit in units])


def predict_units(
    model: ShiftModel, datamodule: PerturbationDataModule, settings: Sequence[Setting], solve: Solve[Setting]
) -> Setting:
    """Choose a setting, fit on all train units, and keep the shifts of the predicted units.

    Args:
        model: Gets its shifts and its ledger.
        datamodule: The task.
        settings: Candidates, see :func:`bench.training.selection.choose_for_contexts`.
        solve: The closed form.

    Returns:
        The setting.
    """
    setting = choose_for_contexts(settings, solve, datamodule, model.fit_report)
    train, units = datamodule.pseudobulk("train"), datamodule.predicted_units
    elsewhere = Elsewhere(train)
    predicted = solve(setting, train, units)
    model.keep_units(
        datamodule,
        {unit: (shift, elsewhere(unit.perturbation)[1]) for unit, shift in zip(units, predicted, strict=True)},
    )
    return setting
