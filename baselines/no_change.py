"""Nothing happens: the prediction is the input cells themselves."""

from __future__ import annotations

import numpy as np

from bench.data.datamodule import PerturbationDataModule
from bench.models.base import ShiftModel
from bench.models.shift_rules import constant


class NoChange(ShiftModel):
    """Predict no shift at all: the named bar below which a model does harm."""

    row_kind = "control"

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Nothing to learn."""
        zero = np.zeros(len(datamodule.genes))
        self.keep(datamodule, dict.fromkeys(datamodule.predicted_conditions, (zero, 0)), constant(zero))
        self.fit_report.parameters = {"fit": 0}
