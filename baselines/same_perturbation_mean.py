"""The mean shift of the same perturbation in other contexts: the floor of whoever claims to know a context."""

from __future__ import annotations

from baselines._across_contexts import Elsewhere
from bench.data.datamodule import PerturbationDataModule
from bench.models.base import ShiftModel


class SamePerturbationMean(ShiftModel):
    """Predict a perturbation's mean shift over the train contexts that hold it, each context counting once.

    A combination that none holds is the sum of its constituents' means; a perturbation that none holds is predicted by
    the train mean and counts as a fallback. With one context this is ``additive``.
    """

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Take the means."""
        train = datamodule.pseudobulk("train")
        elsewhere = Elsewhere(train)
        self.keep(datamodule, {name: elsewhere(name) for name in datamodule.predicted_conditions})
        self.fit_report.parameters = {"fit": len(set(train.conditions)) * len(datamodule.genes)}
