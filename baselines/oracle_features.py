"""Ridge regression on the true network of simulated data: the head-room of whatever predicts from features."""

from __future__ import annotations

import numpy as np

from baselines._condition_features import predict_from_features
from baselines.ridge import RIDGES, Setting, ridge_regression
from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.data.datamodule import PerturbationDataModule, Pseudobulk
from bench.data.features.bank import FeatureBank
from bench.data.features.resolve import targets
from bench.models.base import ShiftModel
from bench.models.shift_rules import Affine


class OracleFeatures(ShiftModel):
    """Predict as ``ridge`` does, from the generator's own features, of which the table ``view_a`` is a noisy view.

    These are the total effects of the perturbed genes on each module and on the stress program: the cause of the
    shifts, not the shifts. What is particular to a single edge of the network is not in them, nor are planted
    interactions: a replicate can still do better, and so can the plain sum on combinations of train singles. Their
    scales are kept, since all are log changes of a program: a program that hardly any gene acts on is not blown up.
    It sees train cells alone, as all models do.

    Args:
        ridge: Ridge penalty; 0 chooses among the powers of ten from 0.01 to 100,000.
    """

    row_kind = "head-room"

    needs_simulation = True

    def __init__(self, ridge: float = 0.0) -> None:
        super().__init__()
        if not (np.isfinite(ridge) and ridge >= 0):
            raise ValueError(f"ridge is {ridge:g}; expected a penalty above 0, or 0 to choose one")
        self.ridge = ridge

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Choose the penalty, then solve.

        Raises:
            BenchError: If the data were not simulated.
        """
        drawn = datamodule.dataset.simulation
        if drawn is None:
            raise BenchError(
                f"model 'oracle_features' reads the true network of simulated data, and '{datamodule.dataset.name}' is "
                f"not simulated. Use it with --data simulated, or ridge with --features."
            )
        genes, values = tuple(drawn.genes.tolist()), drawn.outgoing
        seen = np.isin(genes, targets(datamodule.split.train))
        scale = np.sqrt(values[seen].var(axis=0).mean()) if seen.any() else 1.0
        scaled = (values / max(scale, 1e-12)).astype(np.float32)
        bank = FeatureBank("true_network", genes, scaled, "the true network of the simulated data")

        def solve(setting: Setting, f: Floats, train: Pseudobulk) -> Affine:
            return Affine(*ridge_regression(f, train.shifts, setting.ridge))

        settings = [Setting(ridge) for ridge in ((self.ridge,) if self.ridge else RIDGES)]
        _, _, width = predict_from_features(self, datamodule, [bank], settings, solve, standardise=False)
        self.fit_report.parameters = {"fit": len(datamodule.genes) * (width + 1)}
        self.warnings.append("oracle_features reads the true network of the simulator: head-room, not a method")
