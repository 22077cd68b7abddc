"""The mean shift of the train conditions, whatever the perturbation: the floor of every metric."""

from __future__ import annotations

from bench.data.datamodule import PerturbationDataModule
from bench.models.base import ShiftModel
from bench.models.shift_rules import constant


class TrainMean(ShiftModel):
    """Predict the condition-weighted mean of the train shifts.

    Source: the ``mean`` row of Ahlmann-Eltze and Huber 2025.
    """

    row_kind = "control"

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Average the train shifts."""
        shift = datamodule.train_shift
        self.keep(datamodule, dict.fromkeys(datamodule.predicted_conditions, (shift, 0)), constant(shift))
        self.fit_report.parameters = {"fit": len(datamodule.genes)}
