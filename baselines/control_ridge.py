"""Ridge regression, per perturbation, from principal components of a context's controls to the shift there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from baselines._across_contexts import Elsewhere, predict_units, rows_of
from bench.core.typing import Floats
from bench.core.units import Unit
from bench.data.datamodule import PerturbationDataModule
from bench.data.pseudobulk import Pseudobulk
from bench.models.base import ShiftModel
from bench.stats.cellspace import principal_axes
from bench.training.embedding import spread_rows

#: Train cells that the axes are taken from.
PCA_CELLS = 4_000


@dataclass(frozen=True)
class Setting:
    """One point of the grid: components, and the penalty as a share of their summed variance between contexts."""

    components: int
    ridge: float


class ControlRidge(ShiftModel):
    """Predict ``b_p + W_p z_c``: z are the mean scores of a context's input controls on principal axes of train cells.

    ``b`` and ``W`` are fitted over the train contexts that hold the perturbation, with one penalty for all
    perturbations. What no train context holds is predicted as
    :class:`baselines.same_perturbation_mean.SamePerturbationMean` does.

    Source: Hoerl and Kennard 1970; what a frozen encoder has to beat on unseen contexts.

    Args:
        components: Principal components; 0 = chosen by the val units, with the penalty.
        ridge: Penalty as a share of the summed variance of the scores; 0 = chosen.
    """

    def __init__(self, components: int = 0, ridge: float = 0.0) -> None:
        super().__init__()
        if components < 0:
            raise ValueError(f"components is {components}; expected 1 or more, or 0 to choose it")
        if not (np.isfinite(ridge) and ridge >= 0):
            raise ValueError(f"ridge is {ridge:g}; expected a penalty above 0, or 0 to choose one")
        self.components, self.ridge = components, ridge

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Choose components and penalty, then solve."""
        data = datamodule.dataset
        place = {name: i for i, name in enumerate(data.contexts)}
        widths = (self.components,) if self.components else (10, 30)
        ridges = (self.ridge,) if self.ridge else (0.1, 0.01, 1.0, 0.001)
        rows = spread_rows(datamodule.representation_rows("train"), PCA_CELLS, datamodule.seed)
        mean, axes = principal_axes(data.x[rows].toarray(), max(widths))
        scores = (datamodule.input_means - mean) @ axes.T.astype(np.float64)

        def solve(setting: Setting, train: Pseudobulk, units: Sequence[Unit]) -> Floats:
            elsewhere = Elsewhere(train)
            z = scores[:, : setting.components]
            contexts = np.array([place[context] for context in train.contexts])
            penalty = setting.ridge * z[np.unique(contexts)].var(axis=0).sum()
            out = np.empty((len(units), train.shifts.shape[1]))
            for name in dict.fromkeys(unit.perturbation for unit in units):
                mine = [i for i, unit in enumerate(units) if unit.perturbation == name]
                held = rows_of(train, name)
                base, _ = elsewhere(name)
                out[mine] = base
                if len(held) > 1:
                    x, y = z[contexts[held]], train.shifts[held]
                    centred = x - x.mean(axis=0)
                    # As many equations as contexts: there are fewer of them than components, or few more.
                    gram = centred @ centred.T + penalty * len(held) * np.eye(len(held))
                    asked = z[[place[units[i].context] for i in mine]] - x.mean(axis=0)
                    out[mine] += asked @ centred.T @ np.linalg.solve(gram, y - y.mean(axis=0))
            return out

        settings = [Setting(width, ridge) for ridge in ridges for width in widths]
        setting = predict_units(self, datamodule, settings, solve)
        self.fit_report.parameters = {
            "fit": len(set(datamodule.split.train)) * len(datamodule.genes) * setting.components
        }
