"""Signed DE: are the genes that respond found, and is the direction of each right?"""

from __future__ import annotations

import numpy as np

from bench.tracks.response.metrics.cache import cached
from bench.tracks.response.metrics.de import fewer_than, magnitude, predicted_order
from bench.tracks.response.metrics.evaluation import Evaluation
from bench.tracks.response.metrics.functional import BoolT, FloatT, FloatTG, Standard, correlate, divide, standardise
from bench.tracks.response.metrics.pattern import top_de
from bench.tracks.response.metrics.ranking import average_precision_at, signed_ranks
from bench.tracks.response.metrics.registry import metric

TOP = 50


@cached("prediction")
def predicted_calls(evaluation: Evaluation) -> FloatTG:
    """Sign of d_hat, [T, G]; 0 where nothing is left of it once it is rounded to whole steps of noise."""
    return np.where(magnitude(evaluation) > 0, np.sign(evaluation.d_hat), 0.0)


@cached("prediction")
def predicted_signed_ranks(evaluation: Evaluation) -> Standard:
    """Signed ranks of d_hat over scored genes, standardised."""
    ranks = signed_ranks(predicted_calls(evaluation), predicted_order(evaluation), evaluation.scored)
    return standardise(ranks, evaluation.scored)


@cached("truth")
def true_z(evaluation: Evaluation) -> Standard:
    """Signed Wilcoxon z over scored genes, standardised."""
    return standardise(evaluation.de_z, evaluation.scored)


def constant_signed_z(evaluation: Evaluation) -> BoolT:
    """All scored genes have the same z, or none is scored."""
    return true_z(evaluation).constant


@metric(
    "signed_rank_z",
    better="high",
    chance=0.0,
    range=(-1.0, 1.0),
    family="DE",
    ceiling="noise_free",
    undefined=constant_signed_z,
    formula="Pearson over scored genes of sign(d_hat) x average rank of abs d_hat (0 where d_hat = 0) with the signed "
    "Wilcoxon z",
    source="this benchmark; signed ranks as in Wilcoxon 1945",
    trap="a Spearman correlation of signed values pays one and the same shift of all genes, and null genes rule it. "
    "Here the reverse of a prediction scores exactly minus what it does, and a constant is chance",
)
def signed_rank_z(evaluation: Evaluation) -> FloatT:
    """Correlation of signed ranks with z, [T]. Undefined: constant z. Degenerate (also constant ranks): 0."""
    return correlate(predicted_signed_ranks(evaluation).unit, true_z(evaluation).unit)


@cached("truth")
def top_signs(evaluation: Evaluation) -> FloatTG:
    """Sign of z times membership of the top 50 by abs z, [T, G]."""
    return top_de(evaluation, TOP).dense(evaluation.y.shape[1]) * np.sign(evaluation.de_z)


def precision_by_luck(evaluation: Evaluation) -> FloatT:
    """What scored genes in random order, half of them called in the right direction, average, [T]."""
    genes = evaluation.scored.sum(axis=1, dtype=np.float64)
    hits, n = TOP / 2.0, np.arange(1, TOP + 1)
    pairs = divide(np.full(len(genes), hits * (hits - 1.0)), genes * (genes - 1.0))
    both: FloatTG = divide(np.full(len(genes), hits), genes)[:, None] + (n - 1) * pairs[:, None]
    return np.asarray((both / n).sum(axis=1) / TOP)


@metric(
    f"signed_ap@{TOP}",
    better="high",
    chance=precision_by_luck,
    range=(0.0, 1.0),
    ranked=False,
    undefined=lambda evaluation: fewer_than(TOP, evaluation),
    formula="1/50 sum over the first 50 scored genes by abs d_hat of hits so far / place, where the gene is a hit: "
    "among the top 50 by abs Wilcoxon z, and d_hat has the sign of z",
    source="average precision at k of information retrieval; hits with a direction: this benchmark",
    trap="without the sign a list of genes that answer to anything scores well; ties take the expectation over their "
    "order, never the order of genes",
)
def signed_ap(evaluation: Evaluation) -> FloatT:
    """Average precision at 50 with signs, [T]. Undefined: under 50 scored genes. Degenerate: as random calls."""
    right = np.maximum(predicted_calls(evaluation) * top_signs(evaluation), 0.0)
    return average_precision_at(predicted_order(evaluation), np.where(evaluation.scored, right, 0.0), TOP)
