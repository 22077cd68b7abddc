"""Identity: is a prediction closer to its own condition than to the others?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bench.tracks.response.metrics.cache import cached
from bench.tracks.response.metrics.evaluation import Evaluation
from bench.tracks.response.metrics.functional import BoolT, FloatG, FloatT, FloatTG
from bench.tracks.response.metrics.registry import metric

MIN_GALLERY = 5  # with fewer conditions the share has under four possible comparisons
BLOCK = 256  # rows of the gallery that are compared at once
TIE = 1e-9  # cosines closer than this are equal: a matrix product rounds differently by position


def small_gallery(evaluation: Evaluation) -> BoolT:
    """Too few conditions to tell one from another, for all of them alike."""
    return np.full(len(evaluation.y), len(evaluation.y) < MIN_GALLERY)


class Directions(NamedTuple):
    """Shifts from a centre over the gallery's genes.

    Args:
        unit: [T, genes of the gallery] scaled to norm 1; NaN for none at all.
        nowhere: [T] equal to the centre but for storage noise.
    """

    unit: FloatTG
    nowhere: BoolT


def directions(shift: FloatTG, centre: FloatG | None, evaluation: Evaluation, noise: FloatT) -> Directions:
    """Where shifts lead from a centre (absent: from no shift at all)."""
    genes = np.flatnonzero(evaluation.gallery_scored)
    v = np.take(shift, genes, axis=1)
    if centre is not None:
        v -= centre[genes]
    nowhere = np.maximum(v.max(axis=1, initial=0.0), -v.min(axis=1, initial=0.0)) <= noise
    norm = np.sqrt(np.vecdot(v, v))
    v /= np.where(norm > 0, norm, np.nan)[:, None]
    return Directions(v, nowhere)


@cached("truth")
def true_directions(evaluation: Evaluation, centred: bool) -> Directions:
    """Of the true shifts."""
    return directions(evaluation.d, evaluation.train_delta if centred else None, evaluation, evaluation.truth_noise)


@cached("prediction")
def predicted_directions(evaluation: Evaluation, centred: bool) -> Directions:
    """Of the predicted shifts."""
    return directions(
        evaluation.d_hat, evaluation.train_delta if centred else None, evaluation, evaluation.prediction_noise
    )


def share_beaten(evaluation: Evaluation, centred: bool) -> FloatT:
    """Share of other conditions q with cos(d_hat_p - c, d_q - c) below that of p itself, [T]; c = m or 0.

    Ties count one half, and so does any comparison with a truth that equals the centre. NaN where the
    prediction equals the centre (it has no direction) or nothing else is in the gallery.
    """
    true, predicted = true_directions(evaluation, centred), predicted_directions(evaluation, centred)
    conditions, compared = len(evaluation.y), ~true.nowhere
    weight = compared.astype(np.float64)
    won = np.full(conditions, 0.5 * max(conditions - 1, 0))
    asked = np.flatnonzero(compared & ~predicted.nowhere)  # for the floor, centred on itself, nobody
    for rows in np.split(asked, range(BLOCK, len(asked), BLOCK)):
        cosine = np.clip(predicted.unit[rows] @ true.unit.T, -1.0, 1.0)
        own = cosine[np.arange(len(rows)), rows][:, None]
        # A tie counts as beaten by half; so does the condition itself, which is taken off again.
        beaten = (cosine < own - TIE) @ weight + (cosine <= own + TIE) @ weight
        won[rows] = beaten / 2.0 - 0.5 + 0.5 * (~compared).sum()
    return np.where(predicted.nowhere | (conditions < 2), np.nan, won / max(conditions - 1, 1))


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
def discrimination(evaluation: Evaluation) -> FloatT:
    """Centred discrimination, [T]. Undefined: under 5 conditions. Degenerate (flat, or equal to m): .5."""
    return share_beaten(evaluation, centred=True)


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
def discrimination_raw(evaluation: Evaluation) -> FloatT:
    """Discrimination without centring, [T]. Undefined: under 5 conditions. Degenerate: .5."""
    return share_beaten(evaluation, centred=False)
