"""Scores of candidates for a query: cosines of shifts, with and without what all perturbations have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats

Rows = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Predictions nearer to each other than this share of the largest predicted value (of 1 where all are smaller), in
#: every gene, are one: float32 keeps no more of an expression value.
NOISE = 1e-6


def merged(shifts: Floats, step: float) -> Rows:
    """Find predictions that are the same up to rounding.

    Args:
        shifts: Predicted shifts ``[C, G]``.
        step: Largest difference in a gene that is none.

    Returns:
        For each the first that it equals ``[C]``; itself where there is none.
    """
    first = np.arange(len(shifts))
    if len(shifts) < 2:
        return first
    # Sorted along one direction, equal rows are neighbours.
    direction = np.random.default_rng(0x5A3E).standard_normal(shifts.shape[1])
    along = shifts @ direction
    order = np.argsort(along, kind="stable")
    gaps = np.diff(along[order]) > step * np.abs(direction).sum()
    for group in np.split(order, np.flatnonzero(gaps) + 1):
        left = np.sort(group)
        while len(left) > 1:
            same = np.abs(shifts[left] - shifts[left[0]]).max(axis=1) <= step
            first[left[same]] = left[0]
            left = left[~same]
    return first


@dataclass(frozen=True, eq=False)
class Gallery:
    """Predicted shifts of C candidates, in whatever space.

    Attributes:
        shifts: ``[C, K]``; rows of one prediction are the same to the last bit.
        known: Whether the model knows anything of a candidate ``[C]``; the others are ranked last, all alike.
    """

    shifts: Floats
    known: Bools

    @classmethod
    def of(cls, shifts: Floats, first: Rows, known: Bools) -> Gallery:
        """Make equal what is equal up to rounding.

        Args:
            shifts: ``[C, K]``.
            first: From :func:`merged`.
            known: ``[C]``.
        """
        return cls(shifts[first], known)

    def take(self, rows: Rows) -> Gallery:
        """Some of the candidates."""
        return Gallery(self.shifts[rows], self.known[rows])

    @property
    def centred(self) -> Floats:
        """Shifts less their mean over the candidates that are known ``[C, K]``; zeros where all are alike.

        Adding any vector to all predictions changes nothing in it.
        """
        if not self.known.any():
            return np.zeros_like(self.shifts)
        known = self.shifts[self.known]
        if (known == known[0]).all():  # a mean of equal numbers is not always that number
            return np.zeros_like(self.shifts)
        return np.asarray(self.shifts - known.mean(axis=0))

    def scores(self, queries: Floats, centre: Floats | None = None) -> Floats:
        """Cosine of each query with each candidate ``[Q, C]``; 0 with a shift of zero, minus infinity of the unknown.

        Args:
            queries: Measured shifts ``[Q, K]``.
            centre: What measured shifts have in common ``[K]``: it is taken off them, and the predictions' own mean off
                these. Absent: shifts as they are.
        """
        ours = self.shifts if centre is None else self.centred
        theirs = queries if centre is None else queries - centre
        cosines = unit(theirs) @ unit(ours).T
        return np.where(self.known, cosines, -np.inf)

    def distances(self, goals: Floats, centre: Floats | None = None) -> Floats:
        """Squared distance of each predicted shift to each goal ``[Q, C]``; infinite of the unknown.

        Args:
            goals: Shifts to be reached ``[Q, K]``.
            centre: As for :meth:`scores`: then predictions differ from it by what they differ from their own mean.
        """
        ours = self.shifts if centre is None else self.centred + centre
        # As differences, not by the expanded square: equal predictions are then equally far to the last bit.
        away = (
            np.stack([((ours - goal) ** 2).sum(axis=1) for goal in goals]) if len(goals) else np.empty((0, len(ours)))
        )
        return np.where(self.known, away, np.inf)


def unit(vectors: Floats) -> Floats:
    """Vectors at length 1 ``[N, K]``; a vector of zeros stays."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0))
