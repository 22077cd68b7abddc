"""Nearest neighbours: the shifts of the train conditions whose perturbed genes have the most similar features."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.special import softmax

from baselines._condition_features import predict_from_features
from bench.core.typing import Floats
from bench.data.datamodule import PerturbationDataModule, Pseudobulk
from bench.data.features.resolve import load_banks
from bench.models.base import ShiftModel

#: The grid. Cosines of unrelated genes over a few dozen features spread by 0.1 to 0.3: about what is to count as near.
NEIGHBOURS = (10, 5, 20, 1)
TEMPERATURES = (0.3, 0.1)


def cosines(a: Floats, b: Floats) -> Floats:
    """Cosine of every row of ``a [N, F]`` with every row of ``b [T, F]``: ``[N, T]``; 0 with a row of zeros."""
    norms = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)
    found: Floats = np.divide(a @ b.T, norms, out=np.zeros_like(norms), where=norms > 0)
    return found


def nearest_mean(f: Floats, d: Floats, wanted: Floats, neighbours: int, temperature: float) -> Floats:
    """Average the shifts of the ``k`` nearest conditions, weighted by ``softmax(cosine / temperature)`` over these.

    Args:
        f: Features of the known conditions ``[T, F]``.
        d: Their shifts ``[T, G]``.
        wanted: Features of the predicted conditions ``[N, F]``.
        neighbours: ``k``; all conditions where there are fewer. The earlier condition wins a tie.
        temperature: Above 0.

    Returns:
        ``[N, G]``.
    """
    similar = cosines(wanted, f)
    near = np.argsort(-similar, axis=1, kind="stable")[:, :neighbours]
    weights = softmax(np.take_along_axis(similar, near, axis=1) / temperature, axis=1)
    found: Floats = np.einsum("nk,nkg->ng", weights, d[near])
    return found


@dataclass(frozen=True)
class Setting:
    """One point of the grid."""

    neighbours: int
    temperature: float


@dataclass(frozen=True, eq=False)
class Nearest:
    """The known conditions, and how their neighbours weigh: see :func:`nearest_mean`."""

    features: Floats
    shifts: Floats
    neighbours: int
    temperature: float

    def __call__(self, wanted: Floats) -> Floats:
        """Shifts ``[N, G]`` of conditions with these features ``[N, F]``."""
        return nearest_mean(self.features, self.shifts, wanted, self.neighbours, self.temperature)


class NearestNeighbours(ShiftModel):
    """Predict the weighted mean shift of the train conditions with the most similar features, by cosine.

    Features of a combination are the sum of its constituents', as for ``ridge``, so that its neighbours may be
    combinations too; a cosine does not see that a combination moves more genes than a single.

    Args:
        features: What describes a perturbed gene: ``card`` (the banks that the data set's card names), ``pca``,
            ``coexpression``, ``pairs:FILE``, a table (.parquet, .csv, .npz); several joined by ``+``.
        neighbours: Number of train conditions; 0 chooses among 1, 5, 10 and 20.
        temperature: Of the weights softmax(cosine / temperature); 0 chooses among 0.1 and 0.3.
    """

    solved_by = Nearest

    def __init__(self, features: str = "card", neighbours: int = 0, temperature: float = 0.0) -> None:
        super().__init__()
        if neighbours < 0:
            raise ValueError(f"neighbours is {neighbours}; expected a number from 1, or 0 to choose one")
        if not (np.isfinite(temperature) and temperature >= 0):
            raise ValueError(f"temperature is {temperature:g}; expected a number above 0, or 0 to choose one")
        self.features, self.neighbours, self.temperature = features, neighbours, temperature

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Choose the number of neighbours and the temperature, and look the neighbours up.

        Raises:
            ValueError: If there are fewer train conditions than neighbours.
        """
        most = len(datamodule.split.train)
        if self.neighbours > most:
            raise ValueError(f"neighbours is {self.neighbours}, but there are only {most} train conditions")

        def solve(setting: Setting, f: Floats, train: Pseudobulk) -> Nearest:
            return Nearest(f, train.shifts, setting.neighbours, setting.temperature)

        counts = (self.neighbours,) if self.neighbours else tuple(min(k, most) for k in NEIGHBOURS)
        temperatures = (self.temperature,) if self.temperature else TEMPERATURES
        # One neighbour weighs 1 at any temperature, and numbers beyond the data are one and the same.
        points = ((k, t if k > 1 else temperatures[0]) for k, t in product(counts, temperatures))
        settings = [Setting(*point) for point in dict.fromkeys(points)]
        best, rows, width = predict_from_features(
            self, datamodule, load_banks(self.features, datamodule), settings, solve
        )
        self.fit_report.parameters = {"fit": rows * (width + len(datamodule.genes))}
        if best.neighbours > rows:
            self.warnings.append(f"only {rows} train conditions have features: all of them are neighbours")
