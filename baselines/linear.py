"""Bilinear ridge on gene embeddings from the train pseudobulk's PCA (Ahlmann-Eltze and Huber 2025)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from bench.core.conditions import constituents
from bench.core.typing import Floats
from bench.data.datamodule import PerturbationDataModule, Pseudobulk
from bench.data.features.gene_embedding import gene_scores
from bench.models.base import ShiftModel
from bench.models.shift_rules import Affine, Described, ShiftRule
from bench.training.selection import choose

#: Candidates for a rank or a ridge where the other is given.
RANKS = (10, 5, 20, 50)
RIDGES = (0.1, 0.01, 1.0, 10.0)
#: The eight that are tried otherwise: a cross through the paper's fixed setting (10, 0.1), which comes first, out to
#: both ends of either, and the most components once more, under more penalty, since they are of use only held back.
GRID = ((10, 0.1), (5, 0.1), (20, 0.1), (50, 0.1), (10, 0.01), (10, 1.0), (10, 10.0), (50, 1.0))


def bilinear_ridge(y: Floats, g: Floats, p: Floats, ridge: float) -> Floats:
    """Solve ``y ~ g K p`` with a ridge on either side.

    ``K = (g'g + l I)^-1 g' y p' (p p' + l I)^-1``

    Args:
        y: ``[G, T]``.
        g: Gene embedding ``[G, k]``.
        p: Perturbation embedding ``[k, T]``.
        ridge: ``l``.

    Returns:
        ``K [k, k]``.

    Source: Ahlmann-Eltze and Huber 2025, equation of the linear model; ``l = 0.1`` there.
    """
    left = np.linalg.solve(g.T @ g + ridge * np.eye(g.shape[1]), g.T @ y @ p.T)
    solution: Floats = np.linalg.solve(p @ p.T + ridge * np.eye(p.shape[0]), left.T).T
    return solution


def _embed(condition: str, g: Floats, index: Mapping[str, int]) -> Floats:
    """Sum of the rows of ``g [G, k]`` of a condition's targets ``[k]``."""
    return np.asarray(sum((g[index[gene]] for gene in constituents(condition)), np.zeros(g.shape[1])))


@dataclass(frozen=True)
class Setting:
    """One point of the grid."""

    rank: int
    ridge: float


class Linear(ShiftModel):
    """Predict ``b + G K p``: gene scores ``G`` from the train pseudobulk, ``p`` the row of the perturbed gene.

    ``b`` is the mean shift over train conditions and the control; combinations sum their targets' rows. A condition
    with a target that is not among the measured genes has no embedding: it falls back to the train mean. So does every
    condition where no train condition has one, and nothing can be learned.

    Args:
        rank: Number of components; 0 chooses among 5, 10, 20, 50.
        ridge: Ridge penalty; 0 chooses among 0.01, 0.1, 1, 10.
    """

    version = 3  # 2 did not count a fallback where no train condition is embedded; 1 tried 16 settings

    def __init__(self, rank: int = 0, ridge: float = 0.0) -> None:
        super().__init__()
        if rank < 0 or ridge < 0:
            raise ValueError("rank and ridge must not be negative")
        self.rank, self.ridge = rank, ridge

    def fit(self, datamodule: PerturbationDataModule) -> None:
        """Choose rank and ridge, then solve for K."""
        ranks = (self.rank,) if self.rank else RANKS
        ridges = (self.ridge,) if self.ridge else RIDGES
        points = product(ranks, ridges) if self.rank or self.ridge else GRID
        settings = [Setting(rank, ridge) for rank, ridge in points]
        control = datamodule.input_means.mean(axis=0)

        def fit_predict(setting: Setting, train: Pseudobulk, conditions: Sequence[str]) -> Floats:
            return self._predict(setting, train, control, datamodule, conditions)

        best = choose(settings, fit_predict, datamodule, self.fit_report)
        train, names = datamodule.pseudobulk("train").by_condition(), datamodule.predicted_conditions
        shifts = fit_predict(best, train, names)
        known = bool(self._embedded(train, datamodule))
        missing = [len(datamodule.dataset.unmeasured(n) if known else constituents(n)) for n in names]
        self.keep(
            datamodule,
            {
                name: (datamodule.train_shift if n else shift, n)
                for name, shift, n in zip(names, shifts, missing, strict=True)
            },
            self._rule_of(best, train, control, datamodule),
        )
        k = min(best.rank, len(train.conditions))
        self.fit_report.parameters = {"fit": k * k + len(datamodule.genes) * (k + 1)}

    def _predict(
        self,
        setting: Setting,
        train: Pseudobulk,
        control: Floats,
        datamodule: PerturbationDataModule,
        names: Sequence[str],
    ) -> Floats:
        g, k, centre = self._solve(setting, train, control, datamodule)
        index = datamodule.dataset.gene_index
        mean = train.shifts.mean(axis=0)
        return np.array(
            [mean if datamodule.dataset.unmeasured(n) else centre + g @ k @ _embed(n, g, index) for n in names]
        )

    def _solve(
        self, setting: Setting, train: Pseudobulk, control: Floats, datamodule: PerturbationDataModule
    ) -> tuple[Floats, Floats, Floats]:
        """Gene scores ``G [G, k]``, ``K [k, k]`` and ``b [G]``."""
        g = gene_scores(np.vstack([train.means, control]), setting.rank)
        index = datamodule.dataset.gene_index
        usable = self._embedded(train, datamodule)
        # The control is a column of zeros on both sides, as in the paper's code; it only damps the mean.
        centre = train.shifts.sum(axis=0) / (len(train.conditions) + bool(usable))
        y = np.column_stack([*(train.shifts[i] - centre for i in usable), -centre])
        p = np.column_stack([*(_embed(train.conditions[i], g, index) for i in usable), np.zeros(g.shape[1])])
        return g, bilinear_ridge(y, g, p, setting.ridge), centre

    @staticmethod
    def _embedded(train: Pseudobulk, datamodule: PerturbationDataModule) -> list[int]:
        """The train conditions whose targets are all measured."""
        return [i for i, name in enumerate(train.conditions) if not datamodule.dataset.unmeasured(name)]

    def _rule_of(
        self, setting: Setting, train: Pseudobulk, control: Floats, datamodule: PerturbationDataModule
    ) -> ShiftRule:
        """The same for any condition of measured genes."""
        g, k, centre = self._solve(setting, train, control, datamodule)
        return ShiftRule((Described(tuple(datamodule.genes), g),), Affine((g @ k).T, centre))
