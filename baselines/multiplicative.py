"""The product of the single perturbations' fold changes; an unseen one counts as the mean fold change of train."""

from __future__ import annotations

import numpy as np

from bench.data.datamodule import PerturbationDataModule
from bench.models.base import ShiftModel
from bench.stats.shifts import additive, shifts_by_identity


class Multiplicative(ShiftModel):
    """Predict a combination by multiplying the fold changes of its constituents: the other sum of singles.

    ``y = log1p((expm1(c) + e) * prod over constituents of ((expm1(y') + e) / (expm1(c) + e)) - e)``, of means of
    log-expression read as expression, as ``fold_change`` does. Of genes that are expressed it is ``additive``; of
    others log1p is nearly linear, and the two differ by what every model with a logarithmic link says of any pair: that
    is no knowledge of which perturbations interact. So it is the bar for what pairs do beyond their singles.

    Args:
        pseudocount: ``e``, in counts per total: the share below which fold changes are noise.

    Source: multiplicative expectation of independent effects (Mani et al. 2008, for fitness), here of mean expression.
    """

    def __init__(self, pseudocount: float = 0.1) -> None:
        super().__init__()
        if not (np.isfinite(pseudocount) and pseudocount > 0):
            raise ValueError(f"pseudocount is {pseudocount:g}; expected above 0")
        self.pseudocount = pseudocount

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Look up the train fold changes."""
        bulk, e = datamodule.pseudobulk("train").by_condition(), self.pseudocount
        control = datamodule.input_means.mean(axis=0)
        level = np.expm1(control) + e
        folds = np.log(np.maximum(np.expm1(control + bulk.shifts) + e, e)) - np.log(level)
        known, mean = shifts_by_identity(bulk.conditions, folds), folds.mean(axis=0)
        shifts = {}
        for name in datamodule.predicted_conditions:
            fold, fallbacks = additive(name, known, mean)
            shifts[name] = np.log1p(np.maximum(level * np.exp(fold) - e, 0.0)) - control, fallbacks
        self.keep(datamodule, shifts)
        self.fit_report.parameters = {"fit": bulk.shifts.size}
