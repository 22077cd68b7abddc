"""The published BioJEPAC numbers, for comparison with print only: per cell, against one random control cell.

Protocol: technical report v0.4 of BioJEPAC and its evaluation notebooks. The control cell is subtracted from the true
cell and from the prediction alike, so that both share its noise: a prediction that knows nothing of the condition comes
close to its true mean, and nothing here is ever ranked on. The prediction for a cell is the predicted mean of its
condition, for models that emit cells too. The control is drawn once per cell, of the same batch (published: gem group).
"""

from __future__ import annotations

import math

import numpy as np

from bench.tracks.response.metrics.cache import cached
from bench.tracks.response.metrics.evaluation import Evaluation
from bench.tracks.response.metrics.functional import BoolT, FloatT, FloatTG, correlate, r2, standardise
from bench.tracks.response.metrics.optional import LegacyCells
from bench.tracks.response.metrics.registry import metric

NEEDS = frozenset({"legacy"})


def legacy_truth(evaluation: Evaluation) -> LegacyCells:
    """The cells; `evaluate` asks only where there are some."""
    assert evaluation.legacy is not None
    return evaluation.legacy


def top_values(evaluation: Evaluation, x: FloatTG) -> FloatTG:
    """[T, 50] values at the top DE genes of each condition."""
    return np.take_along_axis(x, legacy_truth(evaluation).genes, axis=1)


def without_cells(evaluation: Evaluation) -> BoolT:
    """No cell of the condition was drawn."""
    return np.asarray(np.diff(legacy_truth(evaluation).begins) == 0)


def same_expression(evaluation: Evaluation) -> BoolT:
    """The top genes all have the same mean."""
    y = top_values(evaluation, evaluation.y)
    return np.isnan(r2(truth=y, prediction=y, weights=np.ones_like(y)))


@cached("truth")
def from_controls(evaluation: Evaluation) -> FloatTG:
    """[N, 20] each cell less its control, standardised."""
    legacy = legacy_truth(evaluation)
    shift = np.asarray(legacy.cells, dtype=np.float64) - legacy.controls
    return standardise(shift, np.ones_like(shift)).unit


@metric(
    "legacy_cell_pearson_top20",
    better="high",
    chance=None,
    range=(-1.0, 1.0),
    needs=NEEDS,
    ranked=False,
    undefined=without_cells,
    formula="mean over cells of corr(y_hat - c, x - c) over the top-20 genes of a t-test, c = one random control cell",
    source="BioJEPAC report v0.4, cell-level top-20 Pearson .9266",
    trap="c is on both sides: the train mean scores nearly what the true mean does; never ranked",
)
def legacy_cell_pearson_top20(evaluation: Evaluation) -> FloatT:
    """Mean correlation per cell, [T]; a cell without one counts 0. Undefined: no cell was drawn."""
    legacy = legacy_truth(evaluation)
    counts = np.diff(legacy.begins)
    predicted = np.repeat(top_values(evaluation, evaluation.y_hat)[:, : legacy.cells.shape[1]], counts, axis=0)
    controls = np.asarray(legacy.controls, dtype=np.float64)
    r = np.nan_to_num(
        correlate(standardise(predicted - controls, np.ones_like(controls)).unit, from_controls(evaluation))
    )
    condition = np.repeat(np.arange(len(counts)), counts)
    return np.bincount(condition, weights=r, minlength=len(counts)) / np.maximum(counts, 1)


@metric(
    "legacy_cell_mse",
    better="low",
    chance=None,
    range=(0.0, math.inf),
    needs=NEEDS,
    ranked=False,
    formula="mean (y_hat - x)^2 over the condition's cells and all genes = mean (y_hat - y)^2 + mean variance of x",
    source="BioJEPAC report v0.4, cell-level MSE .4979",
    trap="nearly all of it is the spread of single cells, which no mean can predict; never ranked",
)
def legacy_cell_mse(evaluation: Evaluation) -> FloatT:
    """Mean squared error per cell and gene, [T]."""
    error = evaluation.y_hat - evaluation.y
    return np.asarray(np.vecdot(error, error) / error.shape[1] + legacy_truth(evaluation).spread)


@metric(
    "legacy_r2_top50",
    better="high",
    chance=None,
    range=(-math.inf, 1.0),
    needs=NEEDS,
    ranked=False,
    undefined=same_expression,
    formula="1 - sum (y - y_hat)^2 / sum (y - mean y)^2 over the top-50 genes of a t-test against all controls",
    source="BioJEPAC report v0.4, R2 on the top-50 DE genes, mean .0962 and median .3211",
    trap="expression, not shift: genes differ far more than conditions do; a few conditions rule the mean",
)
def legacy_r2_top50(evaluation: Evaluation) -> FloatT:
    """R2 of the mean expression on the top-50 DE genes, [T]. Undefined: constant y there."""
    y = top_values(evaluation, evaluation.y)
    return r2(truth=y, prediction=top_values(evaluation, evaluation.y_hat), weights=np.ones_like(y))
