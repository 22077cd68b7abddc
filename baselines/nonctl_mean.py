"""The mean of all perturbed train cells, each cell counting once, whatever the perturbation (Systema)."""

from __future__ import annotations

import numpy as np

from bench.core.typing import Floats
from bench.data.datamodule import PerturbationDataModule, Pseudobulk
from bench.models.base import ShiftModel
from bench.models.shift_rules import constant


def nonctl_shift(train: Pseudobulk) -> Floats:
    """Mean over the perturbed train cells, less the input cells of their contexts ``[G]``.

    Added to the input cells of one context it is the mean of the perturbed cells themselves.

    Args:
        train: Train conditions; zeros when there is none.

    Source: the non-control mean of Viñas Torné et al. 2025 (Systema), doi:10.1038/s41587-025-02777-8.
    """
    total = train.cells.sum()
    return np.asarray(train.cells @ train.shifts / total if total else np.zeros(train.shifts.shape[1]))


class NonctlMean(ShiftModel):
    """Predict the cell-weighted mean of the train shifts.

    It differs from ``train_mean`` in that a condition counts by its cells.

    Source: Viñas Torné et al. 2025 (Systema), doi:10.1038/s41587-025-02777-8.
    """

    row_kind = "control"

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Average the train cells."""
        shift = nonctl_shift(datamodule.pseudobulk("train").by_condition())
        self.keep(datamodule, dict.fromkeys(datamodule.predicted_conditions, (shift, 0)), constant(shift))
        self.fit_report.parameters = {"fit": len(datamodule.genes)}
