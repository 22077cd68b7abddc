"""The mean fold change of the same perturbation elsewhere, applied to the context's own expression."""

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
    """One point of the grid, in counts per total."""

    pseudocount: float


class FoldChange(ShiftModel):
    """Multiply a context's own expression by the mean fold change of the perturbation in the train contexts.

    ``y = log1p((expm1(c) + e) * exp(mean over contexts of log((expm1(y') + e) / (expm1(c') + e))) - e)``: means of
    log-expression, read as expression. A gene that the context hardly has can then hardly fall: it knows a context
    without having learned anything of how contexts differ.

    Args:
        pseudocount: ``e``; 0 = chosen by the val units among four below 1, at which this would be the mean shift of
            log-expression: another bar.
    """

    def __init__(self, pseudocount: float = 0.0) -> None:
        super().__init__()
        if not (np.isfinite(pseudocount) and pseudocount >= 0):
            raise ValueError(f"pseudocount is {pseudocount:g}; expected above 0, or 0 to choose it")
        self.pseudocount = pseudocount

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Choose the pseudocount, then apply the mean fold changes."""
        place = {name: i for i, name in enumerate(datamodule.dataset.contexts)}

        def inputs(contexts: Sequence[str]) -> Floats:
            return datamodule.input_means[[place[context] for context in contexts]]

        def solve(setting: Setting, train: Pseudobulk, units: Sequence[Unit]) -> Floats:
            e = setting.pseudocount
            folds = np.log(np.expm1(train.means) + e) - np.log(np.expm1(inputs(train.contexts)) + e)
            bulk = Pseudobulk(train.conditions, train.means, folds, train.cells, train.contexts)
            own = inputs([unit.context for unit in units])
            moved = (np.expm1(own) + e) * np.exp(Elsewhere(bulk).of(units)) - e
            return np.asarray(np.log1p(np.maximum(moved, 0.0)) - own)

        values = (self.pseudocount,) if self.pseudocount else (0.1, 0.03, 0.3, 0.01)
        predict_units(self, datamodule, [Setting(value) for value in values], solve)
        self.fit_report.parameters = {"fit": datamodule.pseudobulk("train").shifts.size}
