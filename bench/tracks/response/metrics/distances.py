"""Comparisons of two samples of cells as pure functions: cells in rows, one number (or one per gene) out.

All are free of a bias by the number of cells: two samples of one distribution give 0 (or the nominal coverage) on
average whether they hold 10 cells or 300.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatNK: TypeAlias = NDArray[np.float64]  # [n, K] cells x coordinates
FloatP: TypeAlias = NDArray[np.float64]  # [P]

#: Bandwidths of the MMD kernel in units of the median squared distance (Gretton et al. 2012, median heuristic).
BANDWIDTHS = (0.5, 1.0, 2.0)


def squared_distances(x: NDArray[Any], y: NDArray[Any]) -> FloatNK:
    """||x_i - y_j||^2, [n, m], at least 0."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    return np.asarray(np.maximum((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2.0 * a @ b.T, 0.0))


def mean_of_pairs(matrix: FloatNK) -> float:
    """Mean of the entries off the diagonal of a square matrix."""
    n = len(matrix)
    return float((matrix.sum() - np.trace(matrix)) / (n * (n - 1)))


class Distances(NamedTuple):
    """Squared distances between predicted cells X [n, K] and true cells Y [m, K].

    Args:
        xx: [n, n].
        yy: [m, m].
        xy: [n, m].
    """

    xx: FloatNK
    yy: FloatNK
    xy: FloatNK


def distances(x: NDArray[Any], y: NDArray[Any]) -> Distances:
    """All squared distances within and between two samples."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    return Distances(squared_distances(a, a), squared_distances(b, b), squared_distances(a, b))


def energy_distance(between: Distances) -> float:
    """2 E||X - Y|| - E||X - X'|| - E||Y - Y'|| over distinct cells (U form), Euclidean.

    May fall below 0 by chance. Source: Szekely and Rizzo 2013; Peidli et al. 2024 (scPerturb), who use squared
    distances, of which nothing but the distance of the means is left.
    """
    xx, yy, xy = map(np.sqrt, between)
    return 2.0 * float(xy.mean()) - mean_of_pairs(xx) - mean_of_pairs(yy)


def mmd_squared(between: Distances) -> float:
    """Squared maximum mean discrepancy, unbiased (U form), with the mean of three RBF kernels.

    The bandwidths are 1/2, 1 and 2 times the median of the true cells' squared distances, so that no prediction can
    widen its own kernel.

    Source: Gretton et al. 2012, eq. 3.
    """
    median = float(np.median(between.yy[np.triu_indices(len(between.yy), 1)])) or 1.0

    def kernel(squared: FloatNK) -> FloatNK:
        # Each bandwidth is half the next one, so its kernel is the square of the next one's.
        widest = np.exp(squared * (-0.5 / (BANDWIDTHS[-1] * median)))
        middle = widest * widest
        return np.asarray((widest + middle + middle * middle) / len(BANDWIDTHS))

    xx, yy, xy = map(kernel, between)
    return mean_of_pairs(xx) + mean_of_pairs(yy) - 2.0 * float(xy.mean())


def sum_of_gaps(x: NDArray[Any]) -> FloatP:
    """Sum over pairs i < j of abs(x_i - x_j), by column [P]; from the sorted values."""
    ordered = np.sort(np.asarray(x, dtype=np.float64), axis=0)
    n = len(ordered)
    total: FloatP = (2.0 * np.arange(n) - n + 1.0) @ ordered
    return total


def crps(predicted: NDArray[Any], true: NDArray[Any]) -> FloatP:
    """Fair continuous ranked probability score of a sample, mean over the true cells, by gene [P].

    E abs(X - x) - E abs(X - X') / 2 over distinct predicted cells: the number of predicted cells does not change its
    expectation. Source: Ferro 2014; for many predicted cells it equals Gneiting and Raftery 2007, eq. 20.
    """
    n, m = len(predicted), len(true)
    within = sum_of_gaps(predicted)
    across = sum_of_gaps(np.concatenate([predicted, true])) - within - sum_of_gaps(true)
    return np.asarray(across / (n * m) - within / (n * (n - 1)))


def places(predicted: NDArray[Any], true: NDArray[Any]) -> tuple[FloatNK, FloatNK]:
    """Where true values stand among n predicted ones, [cells, P]: shares that are less, and less or equal.

    The place of a value is spread evenly over [less, less + equal + 1] / (n + 1): uniform if it is one more draw of the
    same distribution, whatever its atoms. Source: randomised probability integral transform (Smith 1985; Czado,
    Gneiting and Held 2009).
    """
    n, genes = predicted.shape
    # One search for all genes: each is moved to a stretch of its own.
    width = 2.0 * max(1.0, float(np.abs(predicted).max(initial=0.0)), float(np.abs(true).max(initial=0.0))) + 1.0
    stretch = width * np.arange(genes)
    ordered = np.sort((np.asarray(predicted, dtype=np.float64) + stretch).T, axis=1).ravel()
    wanted = np.asarray(true, dtype=np.float64) + stretch
    below, upto = (np.searchsorted(ordered, wanted, side=side) - n * np.arange(genes) for side in ("left", "right"))
    return below / (n + 1), (upto + 1) / (n + 1)


def coverage(low: FloatNK, high: FloatNK, level: float) -> FloatP:
    """Share of true values inside the central interval of the predicted ones, by gene [P]; arguments of `places`.

    Half of all counts are 0, and an interval that contains 0 would cover them all: here a value is inside with the
    share of its place that is.
    """
    tail = (1.0 - level) / 2.0
    inside = np.maximum(np.minimum(high, 1.0 - tail) - np.maximum(low, tail), 0.0)
    return np.asarray((inside / (high - low)).mean(axis=0))
