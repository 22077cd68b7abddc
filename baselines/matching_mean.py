"""The mean of the constituents' train singles; an unseen one counts as the non-control mean (Systema)."""

from __future__ import annotations

import numpy as np

from baselines.nonctl_mean import nonctl_shift
from bench.core.conditions import constituents
from bench.data.datamodule import PerturbationDataModule
from bench.models.base import ShiftModel
from bench.models.shift_rules import of_singles
from bench.stats.shifts import shifts_by_identity, single_shift, singles


class MatchingMean(ShiftModel):
    """Predict a combination as the mean of its constituents' train singles: a damped ``additive``.

    Only singles match: train combinations that hold a constituent count in the non-control mean alone. A constituent
    whose single is not in train takes the non-control mean and counts as a fallback; an unseen single is therefore
    predicted as ``nonctl_mean`` predicts it. A compound that is in train takes its shift at the nearest train dose. The
    means are absolute in the source; as all are taken against the same input cells, the mean of the shifts says the
    same.

    Source: the matching mean of Viñas Torné et al. 2025 (Systema), doi:10.1038/s41587-025-02777-8, as its published
    script computes it.
    """

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Look up the train singles."""
        bulk = datamodule.pseudobulk("train").by_condition()
        known, rest = shifts_by_identity(bulk.conditions, bulk.shifts), nonctl_shift(bulk)
        shifts = {}
        for name in datamodule.predicted_conditions:
            found = [single_shift(gene, name, known) for gene in constituents(name)]
            parts = [rest if shift is None else shift for shift in found]
            shifts[name] = np.mean(parts, axis=0), sum(shift is None for shift in found)
        self.keep(datamodule, shifts, of_singles(*singles(bulk.conditions, bulk.shifts), averaged=True))
        self.fit_report.parameters = {"fit": bulk.shifts.size}
