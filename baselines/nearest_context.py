"""The shift of the same perturbation in the context that looks most alike before it is perturbed."""

from __future__ import annotations

import numpy as np

from baselines._across_contexts import Elsewhere, rows_of
from bench.data.datamodule import PerturbationDataModule
from bench.models.base import ShiftModel


class NearestContext(ShiftModel):
    """Predict a perturbation's shift in the train context whose mean input control is nearest.

    Nearest by Euclidean distance over all genes, among the contexts that hold the perturbation. What none holds is
    predicted as :class:`baselines.same_perturbation_mean.SamePerturbationMean` does.
    """

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Find the nearest context of each unit."""
        train, means = datamodule.pseudobulk("train"), datamodule.input_means
        place = {name: i for i, name in enumerate(datamodule.dataset.contexts)}
        elsewhere = Elsewhere(train)
        found = {}
        for unit in datamodule.predicted_units:
            rows = rows_of(train, unit.perturbation)
            others = means[[place[train.contexts[row]] for row in rows]]
            away = ((others - means[place[unit.context]]) ** 2).sum(axis=1)
            found[unit] = (train.shifts[rows[int(np.argmin(away))]], 0) if rows else elsewhere(unit.perturbation)
        self.keep_units(datamodule, found)
        self.fit_report.parameters = {"fit": train.shifts.size}
