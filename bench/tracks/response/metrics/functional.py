"""Formulas as pure functions: conditions in rows [T], genes in columns [G], one value per condition out.

`weights` [T, G] says which genes count: a boolean mask, or fractions where ties share a place. A gene of
weight 0 may hold anything, NaN included. NaN comes back where a formula has no value; who is to blame (the
truth or the prediction) is decided in `registry.evaluate`, never here.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

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
#: Predicted values are read up to this size. No log1p expression comes near it; beyond, squares would overflow, and how
#: absurd a damaged file is need not be measured.
LARGEST = 1e9


def bounded(values: NDArray[Any], largest: float = LARGEST) -> NDArray[Any]:
    """The values cut off at +-largest; the array itself where none is beyond."""
    if max(values.max(initial=0.0), -values.min(initial=0.0)) <= largest:
        return values
    return np.asarray(np.clip(values, -largest, largest))


def divide(numerator: FloatT, denominator: FloatT) -> FloatT:
    """Numerator / denominator, [T]; NaN where the denominator is not above 0."""
    out = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    with np.errstate(over="ignore"):  # a ratio to next to nothing is infinite, and `evaluate` deals with that
        np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def dot(x: FloatTG, y: FloatTG, weights: WeightsTG) -> FloatT:
    """sum_g w x y, [T]. Genes of weight 0 may be NaN; a NaN weight makes the row NaN."""
    counts = weights != 0
    total: FloatT = np.vecdot(np.where(counts, x, 0.0) * np.where(counts, y, 0.0), weights.astype(np.float64))
    return total


def weighted_mean(x: FloatTG, weights: WeightsTG) -> FloatT:
    """sum_g w x / sum_g w, [T]; NaN where nothing counts."""
    counts = weights.astype(np.float64)
    return divide(np.vecdot(np.where(weights != 0, x, 0.0), counts), counts.sum(axis=1))


def weighted_sd(x: FloatTG, weights: WeightsTG) -> FloatT:
    """Population standard deviation over the genes that count, [T]; NaN where nothing counts."""
    return standardise(x, weights).sd


class Standard(NamedTuple):
    """Values ready to be correlated, and what was seen on the way.

    Args:
        unit: [T, G] sqrt(w) (x - mean) / norm; its product with another one is their correlation. NaN for a constant.
        mean: [T] weighted mean; 0 where nothing counts.
        sd: [T] population standard deviation; NaN where nothing counts.
        constant: [T] no more is left of the values than rounding, or fewer than two genes count.
    """

    unit: FloatTG
    mean: FloatT
    sd: FloatT
    constant: BoolT


def standardise(x: FloatTG, weights: WeightsTG) -> Standard:
    """Centre the genes that count and scale them to norm 1."""
    root = np.sqrt(weights, dtype=np.float64)
    kept = root * np.where(weights != 0, x, 0.0)
    total = np.vecdot(root, root)
    mean = np.vecdot(root, kept) / np.where(total > 0, total, 1.0)
    centred = kept - mean[:, None] * root
    norm = np.sqrt(np.vecdot(centred, centred))
    constant = ~(norm > CANCELLATION * np.sqrt(np.vecdot(kept, kept)))
    unit = centred / np.where(constant, np.nan, norm)[:, None]
    return Standard(unit, mean, norm / np.sqrt(np.where(total > 0, total, np.nan)), constant)


def correlate(x: FloatTG, y: FloatTG) -> FloatT:
    """Correlation of values that are standardised already, [T], in [-1, 1]; NaN where one is constant."""
    r: FloatT = np.clip(np.vecdot(x, y), -1.0, 1.0)
    return r


def pearson(x: FloatTG, y: FloatTG, weights: WeightsTG) -> FloatT:
    """Pearson correlation over the genes that count, [T], in [-1, 1].

    sum w (x - mx)(y - my) / sqrt(sum w (x - mx)^2 x sum w (y - my)^2), with weighted means mx and my.
    NaN where x or y is constant or fewer than two genes count. Source: Pearson 1895; with a mask it equals
    `scipy.stats.pearsonr` of the masked genes.
    """
    return correlate(standardise(x, weights).unit, standardise(y, weights).unit)


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
