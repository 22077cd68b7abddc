"""Interaction: does a prediction know how contexts differ in their response, beyond what each of them has in common?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.tracks.response.metrics.cache import cached
from bench.tracks.response.metrics.evaluation import Evaluation
from bench.tracks.response.metrics.functional import BoolT, FloatT, FloatTG
from bench.tracks.response.metrics.registry import metric

#: Contexts and perturbations that a crossed block needs: below, double centring leaves little but noise.
MIN_CROSSED = 4


class Grid(NamedTuple):
    """Test units in which every perturbation is measured in every context.

    Attributes:
        rows: Their positions ``[C, P]``; empty where there are too few.
        genes: Columns that are scored in all of them ``[G']``.
    """

    rows: NDArray[np.int64]
    genes: NDArray[np.int64]


@cached("truth")
def grid(evaluation: Evaluation) -> Grid:
    """The crossed block: perturbations that all contexts have.

    Where fewer than four are in all, the context with the fewest units is left out, and so on.
    """
    assert evaluation.crossed is not None
    contexts, context = np.unique(evaluation.crossed.context, return_inverse=True)
    names, name = np.unique(evaluation.crossed.condition, return_inverse=True)
    place = np.full((len(contexts), len(names)), -1, dtype=np.int64)
    place[context, name] = np.arange(len(context))
    kept = np.arange(len(contexts))
    while len(kept) >= MIN_CROSSED:
        common = np.flatnonzero((place[kept] >= 0).all(axis=0))
        if len(common) >= MIN_CROSSED:
            return Grid(place[np.ix_(kept, common)], np.flatnonzero(evaluation.gallery_scored))
        kept = np.delete(kept, int(np.argmin((place[kept] >= 0).sum(axis=1))))
    return Grid(np.empty((0, 0), dtype=np.int64), np.empty(0, dtype=np.int64))


def interactions(shifts: FloatTG, block: Grid) -> FloatTG:
    """What is left of shifts once perturbations and contexts have lost their means, over the block's units.

    Args:
        shifts: ``[T, G]``.
        block: C contexts and P perturbations.

    Returns:
        ``x(p, c) - mean over c - mean over p + mean``, centred over genes ``[C * P, G']``.
    """
    x = shifts[block.rows][:, :, block.genes]
    x = x - x.mean(axis=0, keepdims=True) - x.mean(axis=1, keepdims=True) + x.mean(axis=(0, 1), keepdims=True)
    x = x.reshape(-1, x.shape[2])
    return np.asarray(x - x.mean(axis=1, keepdims=True) if x.size else x)


@cached("truth")
def true_interactions(evaluation: Evaluation) -> FloatTG:
    """Of the true shifts."""
    return interactions(evaluation.d, grid(evaluation))


def uncrossed(evaluation: Evaluation) -> BoolT:
    """Units outside the crossed block, or without any interaction."""
    out = np.ones(len(evaluation.y), dtype=np.bool_)
    rows = grid(evaluation).rows.ravel()
    if len(rows):
        out[rows] = ~(true_interactions(evaluation).std(axis=1) > evaluation.truth_noise[rows])
    return out


@metric(
    "interaction_r",
    better="high",
    chance=0.0,
    range=(-1.0, 1.0),
    needs=frozenset({"crossed"}),
    undefined=uncrossed,
    formula="corr over genes of d_hat.. and d.., where x..(p, c) = x - its mean over contexts - its mean over "
    "perturbations + the mean of all, over test units in which 4 or more perturbations and contexts are crossed",
    source="this benchmark; interaction of two-way tables: Fisher and Mackenzie 1923, Tukey 1949",
    trap="the plain form corr(d_hat - b, d - b), b = same perturbation elsewhere, pays for shrinking b, and its "
    "partial form for denoising it; here b has no part",
)
def interaction_r(evaluation: Evaluation) -> FloatT:
    """Correlation of the parts of predicted and true shifts that neither perturbation nor context explains, [T].

    A prediction that does not know the context (the same shift everywhere), or adds to each context one thing that it
    gives to all perturbations, is 0 by construction. Degenerate: 0.
    """
    out = np.full(len(evaluation.y), np.nan)
    block = grid(evaluation)
    if block.rows.size:
        rows, true = block.rows.ravel(), true_interactions(evaluation)
        mine = interactions(evaluation.d_hat, block)
        size = np.sqrt(np.vecdot(mine, mine) * np.vecdot(true, true))
        r = np.vecdot(mine, true) / np.where(size > 0, size, np.nan)
        out[rows] = np.where(mine.std(axis=1) > evaluation.prediction_noise[rows], np.clip(r, -1.0, 1.0), np.nan)
    return out
