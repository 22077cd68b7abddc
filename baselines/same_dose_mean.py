"""The mean shift of the train conditions at the same dose: what is had for knowing how much, but not of what."""

from __future__ import annotations

import numpy as np

from bench.core.conditions import read_treated
from bench.data.datamodule import PerturbationDataModule
from bench.models.base import ShiftModel


class SameDoseMean(ShiftModel):
    """Predict the mean shift of the train units at the dose and time that are asked for, each unit counting once.

    Where no train unit has them, those of the nearest dose and time stand in, by the logs of their ratios. In a screen
    of one dose, or of genes, this is ``train_mean``.
    """

    row_kind = "control"

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Average the train shifts dose by dose."""
        bulk = datamodule.pseudobulk("train")
        doses = [read_treated(name) for name in bulk.conditions]
        found = {}
        for name in datamodule.predicted_conditions:
            away = np.array([read_treated(name).distance(dose) for dose in doses])
            found[name] = bulk.shifts[away <= away.min() + 1e-9].mean(axis=0), 0
        self.keep(datamodule, found)
        self.fit_report.parameters = {"fit": len(set(doses)) * len(datamodule.genes)}
