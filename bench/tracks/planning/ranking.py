"""Where a candidate stands in a ranking, in expectation over all orders of tied candidates.

Ties take the expectation of the *measure*, not the measure of the expected rank. Only then does whoever cannot tell
candidates apart score exactly what a random order does: ``H_C / C`` for the reciprocal rank.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats

Rows = NDArray[np.int64]

#: Scores closer than this are tied.
TIE = 1e-9
#: Tops of a ranking that are looked at.
TOPS = (1, 5, 10)
#: What is measured of a ranking.
MEASURES = ("mrr", *(f"hit{k}" for k in TOPS), "rank")
#: Permutations of the null.
PERMUTATIONS = 199


class Places(NamedTuple):
    """Where every candidate stands in the ranking of each query.

    Attributes:
        above: Candidates clearly better ``[Q, C]``.
        tied: Candidates as good, itself among them ``[Q, C]``.
    """

    above: Rows
    tied: Rows

    def of(self, column: Rows) -> Places:
        """Those of one candidate of each query ``[Q]``."""
        rows = np.arange(len(column))
        return Places(self.above[rows, column], self.tied[rows, column])


def places(scores: Floats) -> Places:
    """Place candidates by their scores, best first.

    Args:
        scores: Higher is better ``[Q, C]``; minus infinity = last.
    """
    queries, candidates = scores.shape
    order = np.argsort(-scores, axis=1, kind="stable")
    ordered = np.take_along_axis(scores, order, axis=1)
    with np.errstate(invalid="ignore"):  # infinity less infinity: tied
        begins = np.concatenate([np.ones((queries, 1), np.bool_), ordered[:, :-1] - ordered[:, 1:] > TIE], axis=1)
    at = np.broadcast_to(np.arange(candidates), scores.shape)
    first = np.maximum.accumulate(np.where(begins, at, 0), axis=1)
    ends = np.concatenate([begins[:, 1:], np.ones((queries, 1), np.bool_)], axis=1)
    last = np.minimum.accumulate(np.where(ends, at, candidates)[:, ::-1], axis=1)[:, ::-1]
    above, tied = np.empty(scores.shape, np.int64), np.empty(scores.shape, np.int64)
    np.put_along_axis(above, order, first, axis=1)
    np.put_along_axis(tied, order, last - first + 1, axis=1)
    return Places(above, tied)


def measure(name: str, where: Places, candidates: int) -> Floats:
    """Measure places, each in expectation over the orders of those that are tied.

    Args:
        name: ``mrr``: 1 / rank. ``hit<k>``: whether it is among the first ``k``. ``rank``: (rank - 1) / (C - 1).
        where: Places, of any shape.
        candidates: ``C``.

    Returns:
        In the shape of the places.
    """
    above, tied = where
    if name == "mrr":
        harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, candidates + 1))])
        return np.asarray((harmonic[above + tied] - harmonic[above]) / tied)
    if name == "rank":
        return np.asarray((above + (tied - 1) / 2) / max(candidates - 1, 1))
    return np.asarray(np.clip(int(name.removeprefix("hit")) - above, 0, tied) / tied)


def chance(name: str, candidates: int) -> float:
    """What a random order gives: ``H_C / C``, ``min(1, k / C)``, and 1/2 (0 for one candidate)."""
    return float(measure(name, Places(np.zeros(1, np.int64), np.full(1, candidates)), candidates)[0])


def within_strata(values: Floats, own: Rows, strata: Rows, seed: int) -> tuple[float, float]:
    """Compare a mean with its permutation null: whose candidate is whose is shuffled within strata.

    Args:
        values: What each query would score if a candidate were the right one ``[Q, C]``.
        own: The right one of each query ``[Q]``.
        strata: Stratum of each candidate ``[C]``, such as (number of perturbed genes, seen).
        seed: Of the permutations.

    Returns:
        The null's exact mean (what is had for knowing the stratum alone), and the share of permutations, the observed
        order among them, that do as well or better.
    """
    same = strata[own][:, None] == strata
    mean = float((np.where(same, values, 0.0).sum(axis=1) / same.sum(axis=1)).mean())
    rows, observed = np.arange(len(own)), values[np.arange(len(own)), own].mean()
    rng = np.random.default_rng([seed, 0x9E12])
    groups = [np.flatnonzero(strata == value) for value in np.unique(strata).tolist()]
    as_good = 0
    for _ in range(PERMUTATIONS):
        moved = np.arange(values.shape[1])
        for group in groups:
            moved[group] = rng.permutation(group)
        as_good += bool(values[rows, moved[own]].mean() >= observed - 1e-12)
    return mean, (1 + as_good) / (1 + PERMUTATIONS)
