"""DE: are the genes that respond found, without regard to how much each moves?"""

from __future__ import annotations

import math

import numpy as np

from bench.core.track import BY_CALLS
from bench.tracks.response.metrics.cache import cached
from bench.tracks.response.metrics.evaluation import Evaluation
from bench.tracks.response.metrics.functional import (
    BoolT,
    BoolTG,
    FloatT,
    FloatTG,
    Standard,
    correlate,
    divide,
    mse,
    standardise,
)
from bench.tracks.response.metrics.pattern import top_de, z_order
from bench.tracks.response.metrics.ranking import Chosen, Ranking, average_precision, average_ranks, order, top_k
from bench.tracks.response.metrics.registry import metric

MIN_SIGNIFICANT = 5  # a share of fewer genes says nothing


def _count(genes: BoolTG) -> FloatT:
    counts: FloatT = genes.sum(axis=1, dtype=np.float64)
    return counts


def magnitude(evaluation: Evaluation) -> FloatTG:
    """Abs d_hat, [T, G], in whole steps of `prediction_noise`.

    What is smaller than storage noise must not decide a rank: it differs between processors, and it grows with
    expression, as does the power to detect DE, so that genes which a model left alone would look like a weak signal.
    """
    return np.asarray(np.rint(np.abs(evaluation.d_hat) / evaluation.prediction_noise[:, None]))


@cached("prediction")
def predicted_order(evaluation: Evaluation) -> Ranking:
    """Scored genes in the order of abs d_hat."""
    return order(magnitude(evaluation), evaluation.scored)


@cached("prediction")
def predicted_top(evaluation: Evaluation, k: int) -> Chosen:
    """The k scored genes of largest abs d_hat; ties at the last place share it."""
    return top_k(predicted_order(evaluation), k)


@cached("prediction")
def predicted_ranks(evaluation: Evaluation) -> Standard:
    """Ranks of abs d_hat, standardised."""
    return standardise(average_ranks(predicted_order(evaluation), evaluation.scored), evaluation.scored)


@cached("truth")
def z_ranks(evaluation: Evaluation) -> Standard:
    """Ranks of abs z, standardised."""
    return standardise(average_ranks(z_order(evaluation), evaluation.scored), evaluation.scored)


def constant_z(evaluation: Evaluation) -> BoolT:
    """All scored genes are equally DE, or none is scored."""
    z = standardise(np.abs(evaluation.de_z), evaluation.scored)
    return ~(z.sd > 1e-12 * z.mean)


def fewer_than(k: int, evaluation: Evaluation) -> BoolT:
    """Fewer than k genes are scored."""
    return _count(evaluation.scored) < k


def few_significant(evaluation: Evaluation) -> BoolT:
    """Fewer than 5 scored genes are significant."""
    return _count(judged(evaluation)) < MIN_SIGNIFICANT


@cached("truth")
def judged(evaluation: Evaluation) -> BoolTG:
    """Significant scored genes, [T, G]."""
    return evaluation.significant & evaluation.scored


def lookup(evaluation: Evaluation, k: int) -> FloatT:
    """Overlap of the k scored genes of largest abs d_hat with the k of largest abs z, / k, [T]."""
    ours = predicted_top(evaluation, k)
    return np.asarray(np.vecdot(ours.weights, ours.of(_membership(evaluation, k))) / k)


@cached("truth")
def _membership(evaluation: Evaluation, k: int) -> FloatTG:
    """[T, G] of the top k by abs z."""
    return top_de(evaluation, k).dense(evaluation.y.shape[1])


def recall_by_luck(evaluation: Evaluation, k: int) -> FloatT:
    """K / scored genes, [T]: what any ranking without information gets on average."""
    return divide(np.full(len(evaluation.y), float(k)), _count(evaluation.scored))


@metric(
    "spearman_de",
    better="high",
    chance=0.0,
    range=(-1.0, 1.0),
    ranked=False,
    undefined=constant_z,
    formula="Spearman of abs d_hat with abs Wilcoxon z over scored genes, average ranks",
    source="DE Spearman of cell-eval (Adduri et al. 2025), here over all genes and from the means alone",
    trap="blind to direction: a gene ranking that knows no condition can beat a replicate here; never ranked on",
)
def spearman_de(evaluation: Evaluation) -> FloatT:
    """Spearman of abs d_hat with abs z, [T]. Undefined: constant abs z. Degenerate: 0."""
    return correlate(predicted_ranks(evaluation).unit, z_ranks(evaluation).unit)


def prevalence(evaluation: Evaluation) -> FloatT:
    """Share of scored genes that are significant, [T]."""
    return divide(_count(judged(evaluation)), _count(evaluation.scored))


def _register_recall(k: int, significant: bool) -> None:
    def compute(evaluation: Evaluation) -> FloatT:
        return lookup(evaluation, k)

    def undefined(evaluation: Evaluation) -> BoolT:
        return fewer_than(k, evaluation) | ((_count(judged(evaluation)) < k) & significant)

    def chance(evaluation: Evaluation) -> FloatT:
        return recall_by_luck(evaluation, k)

    only = f"; only conditions with at least {k} significant genes" if significant else ""
    metric(
        f"de_recall_sig@{k}" if significant else f"de_recall@{k}",
        better="high",
        chance=chance,
        range=(0.0, 1.0),
        undefined=undefined,
        formula=f"overlap of the top {k} scored genes by abs d_hat with the top {k} by abs Wilcoxon z, / {k}{only}",
        source="overlap at N of cell-eval (Adduri et al. 2025)",
        tolerance=BY_CALLS,
        trap="which conditions count hangs on the truth alone; it leaves out weak ones, where de_recall is chance"
        if significant
        else "k is fixed (min(k, n called) rewards calling few); ties share a place: no luck of gene order",
    )(compute)


for _k in (20, 50):
    _register_recall(_k, significant=False)
for _k in (20, 50):
    _register_recall(_k, significant=True)


@metric(
    "auprc_de",
    better="high",
    chance=prevalence,
    range=(0.0, 1.0),
    undefined=few_significant,
    formula="average precision of abs d_hat as a score for the significant scored genes",
    source="AUPRC of cell-eval (Adduri et al. 2025); scikit-learn average_precision_score",
    trap="its chance is the prevalence, which differs by condition; equal scores enter together, not by gene order",
)
def auprc_de(evaluation: Evaluation) -> FloatT:
    """Average precision, [T]. Undefined: under 5 significant genes. Degenerate: prevalence."""
    return average_precision(predicted_order(evaluation), judged(evaluation))


@cached("truth")
def de_weights(evaluation: Evaluation) -> FloatTG:
    """Squared min-max-scaled abs z over scored genes, [T, G], summing to 1; NaN where abs z is constant."""
    z = np.abs(np.where(evaluation.scored, evaluation.de_z, np.nan))
    low, high = (of(z, axis=1, initial=limit)[:, None] for of, limit in ((np.fmin.reduce, np.inf), (np.fmax.reduce, 0)))
    scaled = (z - low) / np.where(high > low, high - low, np.nan)
    weights = np.where(evaluation.scored, scaled**2, 0.0)
    return np.asarray(weights / np.where(high > low, weights.sum(axis=1, keepdims=True), np.nan))


@metric(
    "wmse",
    better="low",
    chance=None,
    range=(0.0, math.inf),
    undefined=constant_z,
    formula="sum w (y_hat - y)^2 over scored genes, w = squared min-max-scaled abs Wilcoxon z, summing to 1",
    source="weighted MSE of Mejia et al. 2025 (Diversity by Design)",
    trap="an unweighted error is won by predicting no change: most genes do not respond",
)
def wmse(evaluation: Evaluation) -> FloatT:
    """MSE with DE weights, [T]. Undefined: constant abs z."""
    error = evaluation.y_hat - evaluation.y
    error *= error
    return np.asarray(np.vecdot(error, de_weights(evaluation)))


@metric(
    "top20_de_mse",
    better="low",
    chance=None,
    range=(0.0, math.inf),
    undefined=lambda evaluation: fewer_than(20, evaluation),
    formula="mean (y_hat - y)^2 over the 20 scored genes of highest abs Wilcoxon z",
    source="Roohani et al. 2024 (GEARS), MSE on the top-20 DE genes; here by Wilcoxon z",
    trap="y_hat starts from controls that the truth does not use, so an error of 0 is beyond reach",
)
def top20_de_mse(evaluation: Evaluation) -> FloatT:
    """Mean squared error of y_hat on the top-20 DE genes, [T]. Undefined: fewer than 20 scored genes."""
    top = top_de(evaluation, 20)
    return mse(top.of(evaluation.y_hat), top.of(evaluation.y), top.weights)


@metric(
    "direction_accuracy",
    better="high",
    chance=0.5,
    range=(0.0, 1.0),
    undefined=few_significant,
    tolerance=BY_CALLS,
    formula="share of significant scored genes with sign(d_hat) = sign(d); sign 0 counts .5",
    source="DE direction match of cell-eval (Adduri et al. 2025)",
    trap="genes left unmoved count one half instead of dropping out; rounding noise is no direction",
)
def direction_accuracy(evaluation: Evaluation) -> FloatT:
    """Share of significant genes moved the right way, [T]. Undefined: under 5 of them. Degenerate: .5."""
    genes = _count(judged(evaluation))
    return divide((genes + np.vecdot(predicted_sign(evaluation), judged_sign(evaluation))) / 2.0, genes)


@cached("prediction")
def predicted_sign(evaluation: Evaluation) -> FloatTG:
    """Sign of d_hat, [T, G]; 0 where it is storage noise."""
    return np.where(np.abs(evaluation.d_hat) > evaluation.prediction_noise[:, None], np.sign(evaluation.d_hat), 0.0)


@cached("truth")
def judged_sign(evaluation: Evaluation) -> FloatTG:
    """Sign of d at significant scored genes, [T, G]; 0 elsewhere."""
    return np.where(judged(evaluation), np.sign(evaluation.d), 0.0)
