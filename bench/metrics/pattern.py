"""Pattern: do the right genes move, in the right direction and proportion to each other?"""

from __future__ import annotations

import numpy as np

from bench.metrics.case import Case
from bench.metrics.functional import BoolT, FloatG, FloatT, FloatTG, WeightsTG, pearson, top_k, weighted_sd
from bench.metrics.registry import flat, metric


def top_de(case: Case, k: int) -> FloatTG:
    """Membership in the k scored genes of highest abs Wilcoxon z, [T, G]; ties at the last place share it."""
    return top_k(np.abs(case.de_z), k, case.scored)


def floored_control_sd(case: Case) -> FloatG:
    """Train-control SD, at least its 10% quantile over expressed genes, [G], above 0.

    Without the floor, genes that hardly vary in controls would rule the scaled delta. Where the quantile
    itself is 0 the genes of SD 0 are left out of it; without any variation the scale is 1.
    """
    expressed = case.control_sd[case.expressed]
    floor = float(np.quantile(expressed, 0.1)) if expressed.size else 0.0
    if floor <= 0:
        varying = expressed[expressed > 0]
        floor = float(np.quantile(varying, 0.1)) if varying.size else 1.0
    return np.maximum(case.control_sd, floor)


def delta_correlation(case: Case, weights: WeightsTG, scale: FloatG | float = 1.0) -> FloatT:
    """corr(d_hat / scale, d / scale) over the genes, [T]; NaN where d_hat is noise."""
    told_apart = weighted_sd(case.d_hat, weights) > case.prediction_noise
    return np.where(told_apart, pearson(case.d_hat / scale, case.d / scale, weights), np.nan)


def flat_on_top20(case: Case) -> BoolT:
    """Fewer than 20 scored genes, or a truth that does not tell the top 20 apart."""
    return ~(weighted_sd(case.d, top_de(case, 20)) > case.truth_noise)


def flat_in_z(case: Case) -> BoolT:
    """A truth that is constant as it is, or after division by the control SD."""
    scaled = case.d / floored_control_sd(case)
    return case.flat | np.isnan(pearson(scaled, scaled, case.scored))


@metric(
    "pearson_delta",
    better="high",
    chance=0.0,
    range=(-1.0, 1.0),
    family="pattern",
    undefined=flat,
    formula="corr(d_hat, d) over scored genes",
    source="Roohani et al. 2024 (GEARS); Ahlmann-Eltze, Huber and Anders 2025; here with disjoint controls",
    trap="shared controls correlate prediction and truth by noise alone: d_hat and d use disjoint ones",
)
def pearson_delta(case: Case) -> FloatT:
    """corr(d_hat, d) over scored genes, [T]. Undefined: constant d. Degenerate: 0."""
    return delta_correlation(case, case.scored)


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
def pearson_delta_top20(case: Case) -> FloatT:
    """corr(d_hat, d) over the top-20 DE genes, [T]. Undefined: under 20 genes, constant d. Degenerate: 0."""
    return delta_correlation(case, top_de(case, 20))


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
def pearson_delta_z(case: Case) -> FloatT:
    """Corr of deltas in units of the train-control SD, [T]. Undefined: constant d. Degenerate: 0."""
    return delta_correlation(case, case.scored, floored_control_sd(case))


def equal_to_reference(case: Case) -> BoolT:
    """A truth that differs from the train mean by the same amount in every gene."""
    return ~(weighted_sd(case.y - case.train_y, case.scored) > case.truth_noise)


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
def pearson_delta_pert_ref(case: Case) -> FloatT:
    """corr(y_hat - t, y - t), [T]. Undefined: y - t constant. Degenerate (also y_hat - t constant): 0."""
    predicted = case.y_hat - case.train_y
    told_apart = weighted_sd(predicted, case.scored) > case.prediction_noise
    return np.where(told_apart, pearson(predicted, case.y - case.train_y, case.scored), np.nan)
