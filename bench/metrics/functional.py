"""Formulas as pure functions: conditions in rows [T], genes in columns [G], one value per condition out.

`weights` [T, G] says which genes count: a boolean mask, or fractions where ties share a place. A gene of
weight 0 may hold anything, NaN included. NaN comes back where a formula has no value; who is to blame (the
truth or the prediction) is decided in `registry.evaluate`, never here.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatT: TypeAlias = NDArray[np.float64]  # [T]
FloatG: TypeAlias = NDArray[np.float64]  # [G]
FloatTG: TypeAlias = NDArray[np.float64]  # [T, G]
FloatTQ: TypeAlias = NDArray[np.float64]  # [T, Q], conditions against a gallery
BoolT: TypeAlias = NDArray[np.bool_]  # [T]
BoolG: TypeAlias = NDArray[np.bool_]  # [G]
BoolTG: TypeAlias = NDArray[np.bool_]  # [T, G]
WeightsTG: TypeAlias = NDArray[np.float64] | NDArray[np.bool_]  # [T, G], >= 0

# Centred values smaller than this share of the raw ones are what cancellation leaves of a constant (scipy's
# pearsonr warns at the same share).
CANCELLATION = 1e-13


def divide(numerator: FloatT, denominator: FloatT) -> FloatT:
    """Numerator / denominator, [T]; NaN where the denominator is not above 0."""
    out = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    with np.errstate(over="ignore"):  # a ratio to next to nothing is infinite, and `evaluate` deals with that
        np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def dot(x: FloatTG, y: FloatTG, weights: WeightsTG) -> FloatT:
    """sum_g w x y, [T]. Genes of weight 0 may be NaN; a NaN weight makes the row NaN."""
    counts = weights != 0
    product = np.multiply(x, y, out=np.zeros(weights.shape), where=counts)
    total: FloatT = np.einsum("tg,tg->t", product, weights.astype(np.float64))
    return total


def weighted_mean(x: FloatTG, weights: WeightsTG) -> FloatT:
    """sum_g w x / sum_g w, [T]; NaN where nothing counts."""
    return divide(dot(x, np.ones_like(x), weights), weights.sum(axis=1, dtype=np.float64))


def weighted_sd(x: FloatTG, weights: WeightsTG) -> FloatT:
    """Population standard deviation over the genes that count, [T]; NaN where nothing counts."""
    centred = x - weighted_mean(x, weights)[:, None]
    return np.sqrt(divide(dot(centred, centred, weights), weights.sum(axis=1, dtype=np.float64)))


def pearson(x: FloatTG, y: FloatTG, weights: WeightsTG) -> FloatT:
    """Pearson correlation over the genes that count, [T], in [-1, 1].

    sum w (x - mx)(y - my) / sqrt(sum w (x - mx)^2 x sum w (y - my)^2), with weighted means mx and my.
    NaN where x or y is constant or fewer than two genes count. Source: Pearson 1895; with a mask it equals
    `scipy.stats.pearsonr` of the masked genes.
    """
    sides = []
    for values in (x, y):
        centred = values - weighted_mean(values, weights)[:, None]
        norm = np.sqrt(dot(centred, centred, weights))
        rounding = CANCELLATION * np.sqrt(dot(values, values, weights))
        sides.append((centred, np.where(norm > rounding, norm, np.nan)))
    (cx, nx), (cy, ny) = sides
    # One division per norm: their product underflows for tiny shifts.
    r = np.clip(dot(cx / nx[:, None], cy / ny[:, None], weights), -1.0, 1.0)
    return np.where(np.isnan(nx) | np.isnan(ny), np.nan, r)


def average_ranks(x: FloatTG, mask: BoolTG) -> FloatTG:
    """Ranks 1..n of the masked genes of each row, equal values sharing their mean rank, [T, G]; 0 elsewhere.

    Same as `scipy.stats.rankdata(method="average")` of the masked genes, for all rows at once.
    """
    values = np.where(mask, x, np.inf)  # genes outside come last and move no other rank
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    begins = np.ones(values.shape, dtype=np.bool_)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    group = np.cumsum(begins.ravel()) - 1  # runs of equal values; every row begins a new one
    position = np.broadcast_to(np.arange(1.0, values.shape[1] + 1), values.shape).ravel()
    mean_rank = np.bincount(group, weights=position) / np.maximum(np.bincount(group), 1)
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, mean_rank[group].reshape(values.shape), axis=1)
    return np.where(mask, ranks, 0.0)


def spearman(x: FloatTG, y: FloatTG, mask: BoolTG) -> FloatT:
    """Spearman correlation over the masked genes, [T], in [-1, 1]: Pearson of average ranks.

    NaN where x or y is constant or fewer than two genes count. Source: Spearman 1904; equals
    `scipy.stats.spearmanr`.
    """
    return pearson(average_ranks(x, mask), average_ranks(y, mask), mask)


def cosine_matrix(a: FloatTG, b: FloatTG) -> FloatTQ:
    """cos(a_t, b_q) of every row of a [T, G] with every row of b [Q, G]; NaN where one is all zero."""
    unit_a, unit_b = (divide(x, np.linalg.norm(x, axis=1, keepdims=True)) for x in (a, b))
    return np.clip(unit_a @ unit_b.T, -1.0, 1.0)


def r2(*, truth: FloatTG, prediction: FloatTG, weights: WeightsTG) -> FloatT:
    """Coefficient of determination over the genes that count, [T], at most 1.

    1 - sum w (truth - prediction)^2 / sum w (truth - mean truth)^2, as `sklearn.metrics.r2_score(truth,
    prediction)`, except that a constant truth gives NaN instead of 0 or 1. It is not symmetric: the arguments
    have names so that nobody can swap them.
    """
    centred, residual = truth - weighted_mean(truth, weights)[:, None], truth - prediction
    total = dot(centred, centred, weights)
    rounding = CANCELLATION**2 * dot(truth, truth, weights)
    return 1.0 - divide(dot(residual, residual, weights), np.where(total > rounding, total, 0.0))


def mse(x: FloatTG, y: FloatTG, weights: WeightsTG) -> FloatT:
    """Mean squared difference over the genes that count, [T]: sum w (x - y)^2 / sum w; NaN if none."""
    return weighted_mean((x - y) ** 2, weights)


def top_k(score: FloatTG, k: int, mask: BoolTG) -> FloatTG:
    """Membership of each masked gene in the k highest scores of its row, [T, G] in [0, 1], summing to k.

    Genes tied at the last place share the places that are left, so that a constant score gives every gene
    k / n: the expected membership under random tie-breaking, without a shuffle and whatever the gene order.
    A row with fewer than k masked genes is NaN.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    enough = mask.sum(axis=1) >= k
    if score.shape[1] < k:
        return np.full(score.shape, np.nan)
    values = np.where(mask, score, -np.inf)
    last = np.partition(values, values.shape[1] - k, axis=1)[:, -k][:, None]
    above, tied = values > last, (values == last) & mask
    share = divide(k - above.sum(axis=1, dtype=np.float64), tied.sum(axis=1, dtype=np.float64))
    return np.where(enough[:, None], above + tied * share[:, None], np.nan)


def average_precision(score: FloatTG, relevant: BoolTG, mask: BoolTG) -> FloatT:
    """Area under the precision-recall curve as a step function, [T]: sum_n (R_n - R_(n-1)) P_n over distinct scores.

    Genes of equal score enter together, whatever their order; NaN without a relevant gene. Equals
    `sklearn.metrics.average_precision_score`.
    """
    relevant = relevant & mask
    values = np.where(mask, score, -np.inf)  # genes outside come last, and none of them is relevant
    order = np.argsort(-values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    found = np.cumsum(np.take_along_axis(relevant, order, axis=1), axis=1, dtype=np.float64)
    ends = np.ones(values.shape, dtype=np.bool_)
    ends[:, :-1] = ordered[:, 1:] != ordered[:, :-1]
    precision = found / np.arange(1.0, values.shape[1] + 1)
    at_ends = np.where(ends, found, 0.0)
    earlier = np.zeros(values.shape)
    if values.shape[1]:
        earlier[:, 1:] = np.maximum.accumulate(at_ends, axis=1)[:, :-1]
    gained: FloatT = (np.where(ends, found - earlier, 0.0) * precision).sum(axis=1)
    return divide(gained, relevant.sum(axis=1, dtype=np.float64))
