"""The mean shift of the train conditions, whatever the perturbation: the floor of every metric."""

from __future__ import annotations

from bench.data.datamodule import PerturbationDataModule
from bench.models.base import ShiftModel


class TrainMean(ShiftModel):
    """Predict the condition-weighted mean of the train shifts.

    Source: the ``mean`` row of Ahlmann-Eltze and Huber 2025.
    """

    row_kind = "control"

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Average the train shifts."""
        self.keep(datamodule, dict.fromkeys(datamodule.predicted_conditions, (datamodule.train_shift, 0)))
        self.fit_report.parameters = {"fit": len(datamodule.genes)}
