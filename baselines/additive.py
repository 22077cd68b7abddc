"""The sum of the single perturbations' train shifts; an unseen one counts as the train mean."""

from __future__ import annotations

from bench.data.datamodule import PerturbationDataModule
from bench.models.base import ShiftModel
from bench.models.shift_rules import of_singles
from bench.stats.shifts import additive, shifts_by_identity, singles


class Additive(ShiftModel):
    """Predict a combination as the sum of its constituents' shifts.

    A constituent whose single is not in train takes the train-mean shift and counts as a fallback; an unseen single is
    therefore predicted by the train mean. A compound that is in train takes its shift at the nearest train dose.

    Source: Ahlmann-Eltze and Huber 2025, with singles restricted to train.
    """

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Look up the train shifts."""
        bulk = datamodule.pseudobulk("train").by_condition()
        known = shifts_by_identity(bulk.conditions, bulk.shifts)
        self.keep(
            datamodule,
            {name: additive(name, known, datamodule.train_shift) for name in datamodule.predicted_conditions},
            of_singles(*singles(bulk.conditions, bulk.shifts)),
        )
        self.fit_report.parameters = {"fit": bulk.shifts.size}
