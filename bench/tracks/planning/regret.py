"""How much is lost by acting on predictions: measured distance of what was chosen against the best that there was.

    regret = [D_B(chosen) - D_B(argmin D_A)] / [D_B(no-op) - D_B(argmin D_A)]

``D_A`` and ``D_B`` are unbiased squared distances to the goal, measured on two halves of the cells: the best is chosen
on one half and judged on the other, so that nobody is compared with the luckiest of many noisy measurements. 0 = as
good as choosing by an experiment of half the size, 1 = as good as doing nothing. Averages over goals come before the
division, so that goals that are hardly off cannot blow up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.tracks.planning.ranking import places

Bools = NDArray[np.bool_]

#: The room between doing nothing and the best must be this many standard errors (over goals) above 0.
MIN_STANDARD_ERRORS = 2.0


def squared_distances(a: Floats, noise_a: Floats, b: Floats, noise_b: Floats) -> Floats:
    """Unbiased squared distances of two sets of measured means ``[N, M]``.

    Args:
        a: Means ``[N, K]``.
        noise_a: Sampling variance of each, summed over ``K`` ``[N]``.
        b: Means of other cells ``[M, K]``.
        noise_b: ``[M]``.
    """
    square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.asarray(square - noise_a[:, None] - noise_b)


def chosen_distance(scores: Floats, distance: Floats, allowed: Bools) -> Floats:
    """Measured distance of the candidate of the highest score ``[Q]``; of several, their mean.

    Args:
        scores: ``[Q, C]``.
        distance: Measured ``[Q, C]``.
        allowed: Which candidates a query has ``[Q, C]``, each at least one.
    """
    where = places(np.where(allowed, scores, -np.inf))
    # Where nothing is known of any that is allowed, all of them are tied with those that are not.
    first = (where.above == 0) & allowed
    return np.asarray(np.where(first, distance, 0.0).sum(axis=1) / first.sum(axis=1))


def excess(scores: Floats, d_a: Floats, d_b: Floats, allowed: Bools) -> Floats:
    """Numerator: how much farther than the best the chosen candidate is ``[Q]``.

    Args:
        scores: Of the candidates, by a predictor ``[Q, C]``.
        d_a: Distances by which the best is chosen ``[Q, C]``.
        d_b: Distances by which all are judged ``[Q, C]``.
        allowed: ``[Q, C]``.
    """
    return chosen_distance(scores, d_b, allowed) - chosen_distance(-d_a, d_b, allowed)


def room(no_op: Floats, d_a: Floats, d_b: Floats, allowed: Bools) -> Floats:
    """Denominator: how much nearer than doing nothing the best is ``[Q]``.

    Args:
        no_op: Distance of the goal from where one is, on the half that judges ``[Q]``.
        d_a: See :func:`excess`.
        d_b: See :func:`excess`.
        allowed: See :func:`excess`.
    """
    return np.asarray(no_op - chosen_distance(-d_a, d_b, allowed))


def scale_of(rooms: Floats) -> float:
    """Mean room over goals ``[T]``, by which excesses are divided; NaN where it is not clear of 0: nothing helps."""
    known = rooms[np.isfinite(rooms)]
    if len(known) < 2:
        return float("nan")
    error = float(known.std(ddof=1)) / np.sqrt(len(known))
    mean = float(known.mean())
    return mean if mean > MIN_STANDARD_ERRORS * error and mean > 0 else float("nan")
