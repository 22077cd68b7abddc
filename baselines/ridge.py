"""Ridge regression from features of the perturbed genes to the shift of every gene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from baselines._condition_features import predict_from_features
from bench.core.typing import Floats
from bench.data.datamodule import PerturbationDataModule, Pseudobulk
from bench.data.features.resolve import load_banks
from bench.models.base import ShiftModel
from bench.models.shift_rules import Affine

#: The grid: powers of ten between hardly any penalty and one under which little but the mean is left.
RIDGES = (100.0, 10.0, 1_000.0, 1.0, 10_000.0, 0.1, 100_000.0, 0.01)


def ridge_regression(f: Floats, d: Floats, ridge: float, weights: Floats | None = None) -> tuple[Floats, Floats]:
    """Solve ``d ~ b + f W`` with a penalty on ``W`` alone.

    ``W = (F'VF + l I)^-1 F'V(D - b)`` with ``F`` and ``D`` centred on their weighted means and ``V = diag(weights)``.
    With more features than conditions the same ``W`` is had from a system of ``T`` equations.

    Args:
        f: Features of the conditions ``[T, F]``.
        d: Shifts ``[T, G]``.
        ridge: ``l``, above 0.
        weights: Weight of each condition ``[T]``, above 0; ``None`` = 1 each.

    Returns:
        ``W [F, G]`` and the intercept ``b [G]``.

    Source: Hoerl and Kennard 1970; centring leaves the intercept out of the penalty.
    """
    v = np.ones(len(f)) if weights is None else weights
    f_mean, d_mean = v @ f / v.sum(), v @ d / v.sum()
    root = np.sqrt(v)[:, None]
    x, y = root * (f - f_mean), root * (d - d_mean)
    if x.shape[1] <= len(x):
        w: Floats = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)
    else:
        w = x.T @ np.linalg.solve(x @ x.T + ridge * np.eye(len(x)), y)
    return w, d_mean - f_mean @ w


def cell_weights(cells: Floats) -> Floats:
    """Weight conditions by their cells, ``n / (n + median n)``: a few cells say little, many no more than enough."""
    return cells / (cells + np.median(cells))


@dataclass(frozen=True)
class Setting:
    """One point of the grid."""

    ridge: float


class Ridge(ShiftModel):
    """Predict ``b + W f``: ``f`` are the standardised features of the perturbed genes, summed over a combination.

    Args:
        features: What describes a perturbed gene: ``card`` (the banks that the data set's card names), ``pca``,
            ``coexpression``, ``pairs:FILE``, a table (.parquet, .csv, .npz); several joined by ``+``.
        ridge: Ridge penalty; 0 chooses among the powers of ten from 0.01 to 100,000.
        cell_weights: Weight train conditions by their cells, n / (n + median n).
        identity: Give each perturbed gene of the train conditions a column of its own beside its features, as the
            learned models do: ``additive`` and features in one.
    """

    def __init__(
        self, features: str = "card", ridge: float = 0.0, cell_weights: bool = False, identity: bool = False
    ) -> None:
        super().__init__()
        if not (np.isfinite(ridge) and ridge >= 0):
            raise ValueError(f"ridge is {ridge:g}; expected a penalty above 0, or 0 to choose one")
        self.features, self.ridge = features, ridge
        self.cell_weights, self.identity = cell_weights, identity

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Choose the penalty, then solve for W."""

        def solve(setting: Setting, f: Floats, train: Pseudobulk) -> Affine:
            v = cell_weights(train.cells) if self.cell_weights else None
            return Affine(*ridge_regression(f, train.shifts, setting.ridge, v))

        settings = [Setting(ridge) for ridge in ((self.ridge,) if self.ridge else RIDGES)]
        banks = load_banks(self.features, datamodule)
        _, _, width = predict_from_features(self, datamodule, banks, settings, solve, identity=self.identity)
        self.fit_report.parameters = {"fit": len(datamodule.genes) * (width + 1)}
