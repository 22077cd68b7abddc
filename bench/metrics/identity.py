"""Identity: is a prediction closer to its own condition than to the others?"""

from __future__ import annotations

import numpy as np

from bench.metrics.case import Case
from bench.metrics.functional import BoolT, FloatG, FloatT, cosine_matrix
from bench.metrics.registry import metric

MIN_GALLERY = 5  # with fewer conditions the share has under four possible comparisons
TIE = 1e-9  # cosines closer than this are equal: a matrix product rounds differently by position


def small_gallery(case: Case) -> BoolT:
    """Too few conditions to tell one from another, for all of them alike."""
    return np.full(len(case.y), len(case.y) < MIN_GALLERY)


def share_beaten(case: Case, centre: FloatG) -> FloatT:
    """Share of other conditions q with cos(d_hat_p - centre, d_q - centre) below that of p itself, [T].

    Ties count one half, and so does any comparison with a truth that equals the centre. NaN where the
    prediction equals the centre (it has no direction) or nothing else is in the gallery.
    """
    genes = case.gallery_scored
    v, u = (case.d_hat - centre)[:, genes], (case.d - centre)[:, genes]
    no_direction = np.abs(v).max(axis=1, initial=0.0) <= case.prediction_noise
    no_identity = np.abs(u).max(axis=1, initial=0.0) <= case.truth_noise
    cosine = cosine_matrix(v, u)
    lead = np.diagonal(cosine)[:, None] - cosine
    lead[no_identity, :] = 0.0
    lead[:, no_identity] = 0.0
    won = np.where(lead > TIE, 1.0, np.where(lead < -TIE, 0.0, 0.5))
    np.fill_diagonal(won, 0.0)
    others = len(won) - 1
    return np.where(no_direction | (others < 1), np.nan, won.sum(axis=1) / max(others, 1))


@metric(
    "discrimination",
    better="high",
    chance=0.5,
    range=(0.0, 1.0),
    family="identity",
    needs=frozenset({"gallery"}),
    undefined=small_gallery,
    formula="share of other test conditions q with cos(d_hat - m, d_q - m) < cos(d_hat - m, d - m); ties .5",
    source="rank metric of PerturBench (Wu et al. 2024), discrimination score of the Virtual Cell Challenge "
    "(Roohani et al. 2025); here by cosine, centred on the train-mean delta as in Systema "
    "(Vinas Torne et al. 2025)",
    trap="a distance can be won by scaling and ties by gene order: a cosine, and a tie is one half",
)
def discrimination(case: Case) -> FloatT:
    """Centred discrimination, [T]. Undefined: under 5 conditions. Degenerate (flat, or equal to m): .5."""
    return share_beaten(case, case.train_delta)


@metric(
    "discrimination_raw",
    better="high",
    chance=0.5,
    range=(0.0, 1.0),
    needs=frozenset({"gallery"}),
    undefined=small_gallery,
    formula="share of other test conditions q with cos(d_hat, d_q) < cos(d_hat, d); ties .5",
    source="as discrimination, without centring",
    trap="the shift common to all conditions lifts every cosine: read it beside the centred form",
)
def discrimination_raw(case: Case) -> FloatT:
    """Discrimination without centring, [T]. Undefined: under 5 conditions. Degenerate: .5."""
    return share_beaten(case, np.zeros_like(case.train_delta))
