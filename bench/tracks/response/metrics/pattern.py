"""Pattern: do the right genes move, in the right direction and proportion to each other?"""

from __future__ import annotations

import numpy as np

from bench.tracks.response.metrics.cache import cached
from bench.tracks.response.metrics.evaluation import Evaluation
from bench.tracks.response.metrics.functional import (
    BoolT,
    FloatG,
    FloatT,
    Standard,
    correlate,
    standardise,
    weighted_sd,
)
from bench.tracks.response.metrics.ranking import Chosen, Ranking, order, top_k
from bench.tracks.response.metrics.registry import flat, metric


@cached("truth")
def z_order(evaluation: Evaluation) -> Ranking:
    """Scored genes in the order of abs Wilcoxon z."""
    return order(np.abs(evaluation.de_z), evaluation.scored)


@cached("truth")
def top_de(evaluation: Evaluation, k: int) -> Chosen:
    """The k scored genes of highest abs Wilcoxon z; ties at the last place share it."""
    return top_k(z_order(evaluation), k)


@cached("truth")
def floored_control_sd(evaluation: Evaluation) -> FloatG:
    """Train-control SD, at least its 10% quantile over expressed genes, [G], above 0.

    Without the floor, genes that hardly vary in controls would rule the scaled delta. Where the quantile
    itself is 0 the genes of SD 0 are left out of it; without any variation the scale is 1.
    """
    expressed = evaluation.control_sd[evaluation.expressed]
    floor = float(np.quantile(expressed, 0.1)) if expressed.size else 0.0
    if floor <= 0:
        varying = expressed[expressed > 0]
        floor = float(np.quantile(varying, 0.1)) if varying.size else 1.0
    return np.maximum(evaluation.control_sd, floor)


def told_apart(evaluation: Evaluation, r: FloatT) -> FloatT:
    """A correlation, [T]; NaN where d_hat is noise."""
    return np.where(evaluation.degenerate, np.nan, r)


def flat_on_top20(evaluation: Evaluation) -> BoolT:
    """Fewer than 20 scored genes, or a truth that does not tell the top 20 apart."""
    top = top_de(evaluation, 20)
    return ~(weighted_sd(top.of(evaluation.d), top.weights) > evaluation.truth_noise)


@cached("truth")
def true_in_control_sd(evaluation: Evaluation) -> Standard:
    """True shifts in units of the control SD, standardised."""
    return standardise(evaluation.d / floored_control_sd(evaluation), evaluation.scored)


@cached("prediction")
def predicted_in_control_sd(evaluation: Evaluation) -> Standard:
    """Predicted shifts in units of the control SD, standardised."""
    return standardise(evaluation.d_hat / floored_control_sd(evaluation), evaluation.scored)


def flat_in_z(evaluation: Evaluation) -> BoolT:
    """A truth that is constant as it is, or after division by the control SD."""
    return evaluation.flat | true_in_control_sd(evaluation).constant


@metric(
    "pearson_delta",
    better="high",
    chance=0.0,
    range=(-1.0, 1.0),
    family="pattern",
    ceiling="noise_free",
    undefined=flat,
    formula="corr(d_hat, d) over scored genes",
    source="Roohani et al. 2024 (GEARS); Ahlmann-Eltze, Huber and Anders 2025; here with disjoint controls",
    trap="shared controls correlate prediction and truth by noise alone: d_hat and d use disjoint ones",
)
def pearson_delta(evaluation: Evaluation) -> FloatT:
    """corr(d_hat, d) over scored genes, [T]. Undefined: constant d. Degenerate: 0."""
    return told_apart(evaluation, correlate(evaluation.predicted_shift.unit, evaluation.true_shift.unit))


@metric(
    "pearson_delta@20",
    better="high",
    chance=0.0,
    range=(-1.0, 1.0),
    undefined=flat_on_top20,
    formula="corr(d_hat, d) over the 20 scored genes of highest abs Wilcoxon z",
    source="Roohani et al. 2024 (GEARS), top-20 DE genes; here by Wilcoxon z, with disjoint controls",
    trap="DE genes without the condition's own targets: a given knock-down would carry the correlation",
)
def pearson_delta_top20(evaluation: Evaluation) -> FloatT:
    """corr(d_hat, d) over the top-20 DE genes, [T]. Undefined: under 20 genes, constant d. Degenerate: 0."""
    top = top_de(evaluation, 20)
    predicted = standardise(top.of(evaluation.d_hat), top.weights)
    r = correlate(predicted.unit, standardise(top.of(evaluation.d), top.weights).unit)
    return np.where(predicted.sd > evaluation.prediction_noise, r, np.nan)


@metric(
    "pearson_delta_z",
    better="high",
    chance=0.0,
    range=(-1.0, 1.0),
    undefined=flat_in_z,
    formula="corr(d_hat / s, d / s) over scored genes, s = control SD floored at its 10% quantile",
    source="this benchmark; standardised deltas as in Replogle et al. 2022 (z-scored against controls)",
    trap="an unscaled correlation can be ruled by five loud genes",
)
def pearson_delta_z(evaluation: Evaluation) -> FloatT:
    """Corr of deltas in units of the train-control SD, [T]. Undefined: constant d. Degenerate: 0."""
    return told_apart(
        evaluation, correlate(predicted_in_control_sd(evaluation).unit, true_in_control_sd(evaluation).unit)
    )


@cached("truth")
def true_from_reference(evaluation: Evaluation) -> Standard:
    """True means less the perturbed reference, standardised."""
    return standardise(evaluation.y - evaluation.train_y, evaluation.scored)


@cached("prediction")
def predicted_from_reference(evaluation: Evaluation) -> Standard:
    """Predicted means less the perturbed reference, standardised."""
    return standardise(evaluation.y_hat - evaluation.train_y, evaluation.scored)


def equal_to_reference(evaluation: Evaluation) -> BoolT:
    """A truth that differs from the train mean by the same amount in every gene."""
    return ~(true_from_reference(evaluation).sd > evaluation.truth_noise)


@metric(
    "pearson_delta_pert_ref",
    better="high",
    chance=0.0,
    range=(-1.0, 1.0),
    ranked=False,
    undefined=equal_to_reference,
    formula="corr(y_hat - t, y - t) over scored genes, t = mean of the train condition means",
    source="Vinas Torne et al. 2025 (Systema), Pearson delta against the perturbed reference",
    trap="t is on both sides, and without centring by controls it rewards whoever sits near them: never ranked",
)
def pearson_delta_pert_ref(evaluation: Evaluation) -> FloatT:
    """corr(y_hat - t, y - t), [T]. Undefined: y - t constant. Degenerate (also y_hat - t constant): 0."""
    predicted = predicted_from_reference(evaluation)
    r = correlate(predicted.unit, true_from_reference(evaluation).unit)
    return np.where(predicted.sd > evaluation.prediction_noise, r, np.nan)
