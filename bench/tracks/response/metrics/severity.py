"""Severity: are the perturbations that do most predicted to do most? A statistic over conditions."""

from __future__ import annotations

import numpy as np

from bench.tracks.response.metrics.cache import cached
from bench.tracks.response.metrics.evaluation import Evaluation
from bench.tracks.response.metrics.functional import FloatT, FloatTG
from bench.tracks.response.metrics.identity import small_gallery
from bench.tracks.response.metrics.registry import metric


def shift_sizes(shift: FloatTG, evaluation: Evaluation, noise: FloatT) -> FloatT:
    """Root mean square of each shift over the gallery's genes, [T]; sizes that differ by less than `noise` are equal.

    Genes that any condition targets are left out for all: without them, one and the same shift has one size.
    """
    genes = evaluation.gallery_scored.astype(np.float64)
    sizes = np.sqrt(shift**2 @ (genes / max(genes.sum(), 1.0)))
    order = np.argsort(sizes, kind="stable")
    steps = np.diff(sizes[order], prepend=sizes[order][:1]) > noise.max(initial=0.0)
    levels = np.empty(len(sizes))
    levels[order] = np.cumsum(steps)
    return levels


def standardised_ranks(x: FloatT) -> FloatT:
    """Average ranks less their mean, divided by their (population) SD, [T]; zeros for a constant."""
    values, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse] - (len(x) + 1) / 2.0
    sd = float(np.sqrt(np.mean(ranks**2))) if len(values) > 1 else np.inf
    return np.asarray(ranks / sd)


@metric(
    "severity_rho",
    better="high",
    chance=None,
    range=(-1.0, 1.0),
    needs=frozenset({"gallery"}),
    undefined=small_gallery,
    formula="Spearman over conditions of the size of d_hat with that of d; per condition the product of their "
    "standardised average ranks, whose mean it is",
    source="Spearman 1904; severity correlation of BioJEPAC",
    trap="doubles move more than singles: read it by subgroup; one shift for all conditions is 0, not undefined",
)
def severity_rho(evaluation: Evaluation) -> FloatT:
    """One term of the Spearman correlation per condition, [T]; constant sizes: 0. Undefined: under 5 conditions."""
    return predicted_ranks(evaluation) * true_ranks(evaluation)


@cached("prediction")
def predicted_ranks(evaluation: Evaluation) -> FloatT:
    """Standardised ranks of the predicted sizes, [T]."""
    return standardised_ranks(shift_sizes(evaluation.d_hat, evaluation, evaluation.prediction_noise))


@cached("truth")
def true_ranks(evaluation: Evaluation) -> FloatT:
    """Standardised ranks of the true sizes, [T]."""
    return standardised_ranks(shift_sizes(evaluation.d, evaluation, evaluation.truth_noise))
