"""Optional parts of an evaluation: single cells, the published per-cell forms, doubles, states; absent = None."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.tracks.response.metrics.functional import LARGEST, BoolT, FloatG, FloatT, FloatTG, bounded

Begins: TypeAlias = NDArray[np.int64]  # [T + 1]: the cells of condition t are begins[t] to begins[t + 1]
Index: TypeAlias = slice | NDArray[Any]  # some of T conditions, or of N cells
IntTK: TypeAlias = NDArray[np.intp]  # [T, K]
Values: TypeAlias = NDArray[Any]  # [N, K] floats of N cells


def cells_of(begins: Begins, index: Index) -> tuple[Index, Begins]:
    """Positions of the cells of some conditions, and where each of these now begins; a slice for a slice."""
    if isinstance(index, slice):
        first, last, step = index.indices(len(begins) - 1)
        if step == 1 and last >= first:
            return slice(int(begins[first]), int(begins[last])), begins[first : last + 1] - begins[first]
    chosen = np.arange(len(begins) - 1)[index]
    blocks = [np.arange(begins[t], begins[t + 1]) for t in chosen.tolist()]
    return np.concatenate([*blocks, np.empty(0, dtype=np.int64)]).astype(np.int64), np.cumsum([0, *map(len, blocks)])


def begins_among(begins: Begins, kept: NDArray[np.bool_]) -> Begins:
    """Where each condition begins once only the cells `kept` [N] are left."""
    before: Begins = np.concatenate([[0], np.cumsum(kept)])
    return before[begins]


@dataclass(frozen=True, eq=False)
class GearsTruth:
    """Truth as GEARS sees it: all controls serve as input and as reference.

    Args:
        y: [T, G] means of all test cells.
        control: [G] or [T, G] mean of all controls.
        de_genes: [T, K] indices of GEARS' top DE genes (K = 20, fewer only if there are fewer genes).
    """

    y: FloatTG
    control: FloatG | FloatTG
    de_genes: IntTK

    def subset(self, rows: Index) -> GearsTruth:
        """The same for some conditions; a shared `control` stays shared."""
        control = self.control if self.control.ndim == 1 else self.control[rows]
        return GearsTruth(self.y[rows], control, self.de_genes[rows])


@dataclass(frozen=True, eq=False)
class Sample:
    """Cells of T conditions, one after the other.

    Args:
        begins: [T + 1] where the cells of each condition begin.
        scores: [N, K] principal-component scores, own targets held at the mean.
        markers: [N, P] expression of the markers.
        variance: [T, G] variance over all cells of the condition (not only these).
    """

    begins: Begins
    scores: Values
    markers: Values
    variance: Values

    @property
    def counts(self) -> NDArray[np.int64]:
        """[T] cells of each condition."""
        return np.diff(self.begins)

    def of(self, t: int, values: str) -> Values:
        """[n, K] `scores` or `markers` of the cells of condition t."""
        return np.asarray(getattr(self, values)[self.begins[t] : self.begins[t + 1]])

    def subset(self, index: Index) -> Sample:
        """The same for some conditions."""
        cells, begins = cells_of(self.begins, index)
        return Sample(begins, self.scores[cells], self.markers[cells], self.variance[index])

    def keep(self, kept: NDArray[np.bool_]) -> Sample:
        """The same conditions with only some of their cells [N]; `variance` stays that of all."""
        return replace(
            self, begins=begins_among(self.begins, kept), scores=self.scores[kept], markers=self.markers[kept]
        )

    def bounded(self) -> Sample:
        """The same cells with values cut off at +-1e9; itself where none is beyond."""
        scores, markers, variance = (
            bounded(x, most)
            for x, most in ((self.scores, LARGEST), (self.markers, LARGEST), (self.variance, LARGEST**2))
        )
        if scores is self.scores and markers is self.markers and variance is self.variance:
            return self
        return replace(self, scores=scores, markers=markers, variance=variance)


@dataclass(frozen=True, eq=False)
class CellPair:
    """Held-out cells beside predicted ones, both a random sample in random order.

    Args:
        truth: Held-out cells.
        predicted: Predicted cells; at least two per condition.

    Raises:
        ValueError: the two do not fit together, or a condition has fewer than two predicted cells.
    """

    truth: Sample
    predicted: Sample

    def __post_init__(self) -> None:
        for name in ("scores", "markers"):
            a, b = getattr(self.truth, name).shape[1], getattr(self.predicted, name).shape[1]
            if a != b:
                raise ValueError(f"cells: {name} has {a} columns in the truth and {b} in the prediction")
        if self.truth.variance.shape != self.predicted.variance.shape:
            raise ValueError("cells: truth and prediction have other conditions or genes")
        if (self.predicted.counts < 2).any():
            raise ValueError("cells: every condition needs at least two predicted cells")
        for name in ("scores", "markers", "variance"):
            if not np.isfinite(getattr(self.predicted, name)).all():
                raise ValueError(f"cells: predicted {name} has values that are not finite")
        object.__setattr__(self, "predicted", self.predicted.bounded())

    @property
    def too_few(self) -> BoolT:
        """[T] conditions with fewer than two held-out cells."""
        return self.truth.counts < 2

    def subset(self, index: Index) -> CellPair:
        """The same for some conditions."""
        return CellPair(self.truth.subset(index), self.predicted.subset(index))


@dataclass(frozen=True, eq=False)
class LegacyCells:
    """Test cells as BioJEPAC sees them: each beside one random control cell.

    Args:
        begins: [T + 1] where the cells of each condition begin.
        cells: [N, K] expression of the first K of `genes` of the cell's condition (K = 20).
        controls: [N, K] the same of its control.
        genes: [T, 50] top DE genes of each condition, best first.
        spread: [T] mean over all genes of the variance over the condition's cells, ddof 0.
    """

    begins: Begins
    cells: Values
    controls: Values
    genes: NDArray[Any]
    spread: FloatT

    def subset(self, index: Index) -> LegacyCells:
        """The same for some conditions."""
        cells, begins = cells_of(self.begins, index)
        return LegacyCells(begins, self.cells[cells], self.controls[cells], self.genes[index], self.spread[index])

    def keep(self, kept: NDArray[np.bool_]) -> LegacyCells:
        """The same conditions with only some of their cells [N]."""
        return replace(
            self, begins=begins_among(self.begins, kept), cells=self.cells[kept], controls=self.controls[kept]
        )


@dataclass(frozen=True, eq=False)
class AdditiveShifts:
    """Additive shifts of the doubles whose singles are in train.

    Args:
        row: [T] row of each condition below; -1 = it is no such double.
        additive: [4, D, G] sums of the singles' shifts from all their cells, from one half and from the other, against
            the controls of the prediction; and what to add to have them against the controls of the truth.
        resolved: [T] whether replicates agree on what the double does beyond its singles.
        kept: [D, G] the same sums from cells that no prediction was fitted on, against the controls of the truth.
        kept_resolved: [T] whether replicates agree on what the double does beyond these.
    """

    row: NDArray[np.int64]
    additive: NDArray[Any]
    resolved: BoolT
    kept: NDArray[Any]
    kept_resolved: BoolT

    def subset(self, index: Index) -> AdditiveShifts:
        """The same for some conditions."""
        return replace(
            self, row=self.row[index], resolved=self.resolved[index], kept_resolved=self.kept_resolved[index]
        )

    def of(self, rows: NDArray[np.int64]) -> FloatTG:
        """[4, len(rows), G] additive shifts of these conditions."""
        return np.asarray(self.additive[:, self.row[rows]], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class UnitCodes:
    """Which condition and context each unit is.

    Args:
        condition: [T] number of its condition.
        context: [T] number of its context.
    """

    condition: NDArray[np.int64]
    context: NDArray[np.int64]

    def subset(self, index: Index) -> UnitCodes:
        """The same for some units."""
        return UnitCodes(self.condition[index], self.context[index])


@dataclass(frozen=True, eq=False)
class StateShifts:
    """Shifts of T units in each of K states of their context's cells.

    Args:
        true: [T, K, G] true shifts; NaN where a state has too few cells.
        predicted: [T, K, G] predicted shifts of the input cells in each state.

    Raises:
        ValueError: the two do not fit together, or a prediction has holes where the truth has none.
    """

    true: NDArray[Any]
    predicted: NDArray[Any]

    def __post_init__(self) -> None:
        if self.true.shape != self.predicted.shape:
            raise ValueError(f"states: truth has shape {self.true.shape}, prediction {self.predicted.shape}")
        if (np.isfinite(self.true).all(axis=(1, 2)) & ~np.isfinite(self.predicted).all(axis=(1, 2))).any():
            raise ValueError("states: a predicted shift is not finite where the truth is known")
        object.__setattr__(self, "predicted", bounded(self.predicted))

    def subset(self, index: Index) -> StateShifts:
        """The same for some units."""
        return StateShifts(self.true[index], self.predicted[index])
