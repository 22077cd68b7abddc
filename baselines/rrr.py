"""Reduced-rank ridge: features of the perturbed genes to the leading components of the train shifts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from baselines._condition_features import predict_from_features
from baselines.ridge import ridge_regression
from bench.core.typing import Floats
from bench.data.datamodule import PerturbationDataModule, Pseudobulk
from bench.data.features.resolve import load_banks
from bench.models.base import ShiftModel

#: Candidates for a rank or a ridge where the other is given.
RANKS = (16, 4, 64)
RIDGES = (100.0, 10.0, 1_000.0)
#: The eight that are tried otherwise: all but the fewest components under the largest penalty.
GRID = tuple(point for point in product(RANKS, RIDGES) if point != (min(RANKS), max(RIDGES)))


def leading_components(d: Floats, rank: int) -> Floats:
    """Right singular vectors of the centred shifts.

    Args:
        d: Shifts ``[T, G]``.
        rank: Components; at most the rank of the centred shifts are returned.

    Returns:
        ``[G, K]``, orthonormal columns.
    """
    _, s, vt = np.linalg.svd(d - d.mean(axis=0), full_matrices=False)
    found: Floats = vt[: min(rank, int((s > s[:1] * 1e-10).sum()))].T
    return found


@dataclass(frozen=True)
class Setting:
    """One point of the grid."""

    rank: int
    ridge: float


@dataclass(frozen=True, eq=False)
class Reduced:
    """``mean + (b + f W) V'``.

    Attributes:
        weights: ``W [F, K]``.
        intercept: ``b [K]``.
        components: ``V [G, K]``.
        mean: Mean train shift ``[G]``.
    """

    weights: Floats
    intercept: Floats
    components: Floats
    mean: Floats

    def __call__(self, features: Floats) -> Floats:
        """Shifts ``[N, G]``."""
        return np.asarray(self.mean + (self.intercept + features @ self.weights) @ self.components.T)


class ReducedRankRidge(ShiftModel):
    """Predict ``b + V W f``: ridge regression on the scores of the train shifts' principal components ``V``.

    Args:
        features: What describes a perturbed gene: ``card`` (the banks that the data set's card names), ``pca``,
            ``coexpression``, ``pairs:FILE``, a table (.parquet, .csv, .npz); several joined by ``+``.
        rank: Number of components; 0 chooses among 4, 16 and 64.
        ridge: Ridge penalty; 0 chooses among 10, 100 and 1,000.

    Source: reduced-rank regression (Izenman 1975) with the components of the shifts themselves in place of those of
    the fitted shifts: ridge on principal-component scores.
    """

    solved_by = Reduced

    def __init__(self, features: str = "card", rank: int = 0, ridge: float = 0.0) -> None:
        super().__init__()
        if rank < 0:
            raise ValueError(f"rank is {rank}; expected a number of components from 1, or 0 to choose one")
        if not (np.isfinite(ridge) and ridge >= 0):
            raise ValueError(f"ridge is {ridge:g}; expected a penalty above 0, or 0 to choose one")
        self.features, self.rank, self.ridge = features, rank, ridge

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Choose rank and penalty, then solve for W.

        Raises:
            ValueError: If the shifts of the train conditions do not have that many components.
        """
        most = min(len(datamodule.split.train) - 1, len(datamodule.genes))
        if self.rank > most:
            raise ValueError(
                f"rank is {self.rank}, but the shifts of {len(datamodule.split.train)} train conditions and "
                f"{len(datamodule.genes)} genes have at most {most} components"
            )

        def solve(setting: Setting, f: Floats, train: Pseudobulk) -> Reduced:
            v = leading_components(train.shifts, setting.rank)
            mean = train.shifts.mean(axis=0)
            w, b = ridge_regression(f, (train.shifts - mean) @ v, setting.ridge)
            return Reduced(w, b, v, mean)

        ranks = (self.rank,) if self.rank else RANKS
        points = product(ranks, (self.ridge,) if self.ridge else RIDGES) if self.rank or self.ridge else GRID
        # Ranks beyond the data are one and the same.
        settings = list(dict.fromkeys(Setting(min(rank, most), ridge) for rank, ridge in points))
        best, rows, width = predict_from_features(
            self, datamodule, load_banks(self.features, datamodule), settings, solve
        )
        k = min(best.rank, rows - 1)
        self.fit_report.parameters = {"fit": k * (width + 1) + len(datamodule.genes) * (k + 1)}
