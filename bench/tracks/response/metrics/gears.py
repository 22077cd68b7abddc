"""The published GEARS numbers, for comparison with print only: all controls shared, all genes, NaN -> 0.

Formulas: `gears.inference.compute_metrics` and `deeper_analysis`, cell-gears 0.1.2 (Roohani et al. 2024).
On data without any signal the shared controls alone give a Pearson delta near .6, so nothing here is ever
ranked on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from bench.tracks.response.metrics.evaluation import Evaluation
from bench.tracks.response.metrics.functional import FloatT, FloatTG, WeightsTG, mse, pearson
from bench.tracks.response.metrics.optional import GearsTruth
from bench.tracks.response.metrics.registry import metric

Formula: TypeAlias = Callable[[FloatTG, FloatTG, WeightsTG], FloatT]


def gears_truth(evaluation: Evaluation) -> GearsTruth:
    """The shared-control truth.

    Raises:
        ValueError: the evaluation has none.
    """
    if evaluation.gears is None:
        raise ValueError("gears_* metrics need evaluation.gears")
    return evaluation.gears


def every_gene(gears: GearsTruth) -> WeightsTG:
    """[T, G] ones: GEARS leaves in unexpressed genes and the targets themselves."""
    return np.ones(gears.y.shape, dtype=np.bool_)


def top_genes(gears: GearsTruth) -> WeightsTG:
    """[T, G] how often each gene stands among GEARS' top DE genes (once)."""
    weights = np.zeros(gears.y.shape)
    np.put_along_axis(weights, gears.de_genes, 1.0, axis=1)
    return weights


def pearson_or_zero(x: FloatTG, y: FloatTG, weights: WeightsTG) -> FloatT:
    """Pearson correlation with GEARS' own rule for a constant side: 0."""
    return np.nan_to_num(pearson(x, y, weights), nan=0.0)


def _register(name: str, formula: str, of: Formula, genes: Callable[[GearsTruth], WeightsTG], delta: bool) -> None:
    def compute(evaluation: Evaluation) -> FloatT:
        gears = gears_truth(evaluation)
        origin = gears.control if delta else np.zeros(gears.y.shape[1])
        return of(evaluation.y_hat - origin, gears.y - origin, genes(gears))

    metric(
        name,
        better="low" if of is mse else "high",
        chance=None,
        range=(0.0, math.inf) if of is mse else (-1.0, 1.0),
        needs=frozenset({"gears"}),
        ranked=False,
        formula=formula,
        source=f"cell-gears 0.1.2, gears.inference.{'deeper_analysis' if delta else 'compute_metrics'}",
        trap="controls shared by prediction and truth, targets scored: high without any signal, never ranked",
    )(compute)


_register("gears_mse", "mean (y_hat - y)^2, all genes", mse, every_gene, delta=False)
_register("gears_mse_de", "mean (y_hat - y)^2, GEARS' top-20 DE genes", mse, top_genes, delta=False)
_register("gears_pearson", "corr(y_hat, y), all genes", pearson_or_zero, every_gene, delta=False)
_register("gears_pearson_de", "corr(y_hat, y), GEARS' top-20 DE genes", pearson_or_zero, top_genes, delta=False)
_register(
    "gears_pearson_delta",
    "corr(y_hat - c, y - c), c = mean of all controls, all genes",
    pearson_or_zero,
    every_gene,
    delta=True,
)
_register(
    "gears_pearson_delta_de",
    "corr(y_hat - c, y - c), c = mean of all controls, GEARS' top 20",
    pearson_or_zero,
    top_genes,
    delta=True,
)
