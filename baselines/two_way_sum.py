"""The mean of the perturbation elsewhere, plus what the context's few train perturbations have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from baselines._across_contexts import Elsewhere, predict_units
from bench.core.typing import Floats
from bench.core.units import Unit
from bench.data.datamodule import PerturbationDataModule
from bench.data.pseudobulk import Pseudobulk
from bench.models.base import ShiftModel


@dataclass(frozen=True)
class Setting:
    """One point of the grid."""

    share: float


class TwoWaySum(ShiftModel):
    """Predict ``b_p + share * mean over j of (d_jc - b_j)``: j are the train units of the same context.

    ``b`` is the mean of the same perturbation elsewhere. A context without train units has no second part. The plain
    sum of both means would count the grand mean twice.

    Source: two-way additive model (Tukey 1949), shrunken; the bar of few-shot contexts.

    Args:
        share: How much of the context's own part is added; 0 = chosen by the val units among five.
    """

    def __init__(self, share: float = 0.0) -> None:
        super().__init__()
        if not (np.isfinite(share) and 0 <= share <= 1):
            raise ValueError(f"share is {share:g}; expected above 0 and at most 1, or 0 to choose it")
        self.share = share

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Choose the share, then take both parts."""

        def solve(setting: Setting, train: Pseudobulk, units: Sequence[Unit]) -> Floats:
            elsewhere = Elsewhere(train)
            left = train.shifts - elsewhere.of(train.units)
            contexts = np.array(train.contexts)
            own = np.array([left[contexts == u.context].mean(axis=0) if u.context in contexts else 0.0 * left[0]
                            for u in units])  # fmt: skip
            return elsewhere.of(units) + setting.share * own

        shares = (self.share,) if self.share else (0.5, 0.25, 0.75, 1.0, 0.1)
        predict_units(self, datamodule, [Setting(share) for share in shares], solve)
        self.fit_report.parameters = {"fit": datamodule.pseudobulk("train").shifts.size}
