"""Nothing happens: the prediction is the input cells themselves."""

from __future__ import annotations

import numpy as np

from bench.data.datamodule import PerturbationDataModule
from bench.models.base import ShiftModel


class NoChange(ShiftModel):
    """Predict no shift at all: the named bar below which a model does harm."""

    def fit(self, data: PerturbationDataModule) -> None:
        """Nothing to learn."""
        zero = np.zeros(len(data.genes))
        self.keep(data, dict.fromkeys(data.predicted_conditions, (zero, 0)))
        self.ledger.parameters = {"fit": 0}
