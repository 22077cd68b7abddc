"""Identity: is a prediction closer to its own condition than to the others?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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


def wins(cosine: FloatTG, rows: NDArray[np.int64], compared: BoolT) -> FloatTG:
    """Which others each condition is told from: 1 = its own truth is nearer, 0 = theirs is, .5 = a tie, [R, T].

    Args:
        cosine: [R, T] of predictions with all truths of the gallery.
        rows: [R] which conditions are predicted.
        compared: [T] truths that have a direction; to be told from any other is a tie, as for one without it.
    """
    own = cosine[np.arange(len(rows)), rows][:, None]
    won = ((cosine < own - TIE) + 0.5 * (np.abs(cosine - own) <= TIE)).astype(np.float64)
    won[:, ~compared] = 0.5
    won[~compared[rows]] = 0.5
    won[np.arange(len(rows)), rows] = 0.5
    return won


@cached("both")
def contests(evaluation: Evaluation, centred: bool) -> tuple[FloatT, FloatT]:
    """How often each condition is told from the others, and how often others are told from it, [T] each.

    It is told from q if cos(d_hat_p - c, d_q - c) is below that of p itself; c = m or 0. Ties count one half, and so
    does any comparison with a truth that equals the centre. A prediction that equals the centre has no direction: NaN,
    and one half for the others.
    """
    true, predicted = true_directions(evaluation, centred), predicted_directions(evaluation, centred)
    conditions, compared = len(evaluation.y), ~true.nowhere
    others = max(conditions - 1, 1)
    share, seen = np.full(conditions, 0.5), np.full(conditions, 0.5 * conditions)
    nowhere = predicted.nowhere | evaluation.degenerate
    asked = np.flatnonzero(compared & ~nowhere)  # for the train mean, centred on itself, nobody
    for rows in np.split(asked, range(BLOCK, len(asked), BLOCK)):
        won = wins(np.clip(predicted.unit[rows] @ true.unit.T, -1.0, 1.0), rows, compared)
        share[rows] = (won.sum(axis=1) - 0.5) / others
        seen += won.sum(axis=0) - 0.5 * len(rows)
    share[nowhere | (conditions < 2)] = np.nan
    return share, (seen - 0.5) / others


def share_beaten(evaluation: Evaluation, centred: bool) -> FloatT:
    """Share of other conditions that each is told from, [T]; NaN where the prediction has no direction."""
    return contests(evaluation, centred)[0]


def moved(evaluation: Evaluation, centred: bool) -> FloatT:
    """Share of the others that are told from a condition, less the mean over conditions, [T].

    A condition enters the values of all others too. The linear part of the mean over conditions, a U statistic, is its
    own value less the mean, plus this (Hoeffding 1948).
    """
    seen = contests(evaluation, centred)[1]
    return seen - seen.mean() if len(seen) else seen


@metric(
    "discrimination",
    better="high",
    chance=0.5,
    range=(0.0, 1.0),
    family="identity",
    needs=frozenset({"peers"}),
    undefined=small_gallery,
    influence=lambda evaluation: moved(evaluation, centred=True),
    formula="share of other test conditions q of the same context and number of perturbed genes with cos(d_hat - m, "
    "d_q - m) < cos(d_hat - m, d - m); ties .5",
    source="rank metric of PerturBench (Wu et al. 2024), discrimination score of the Virtual Cell Challenge "
    "(Roohani et al. 2025); here by cosine, centred on the train-mean delta as in Systema "
    "(Vinas Torne et al. 2025)",
    trap="a distance can be won by scaling and ties by gene order: a cosine, and a tie is one half. Doubles move more "
    "than singles: among those of its own number, an answer that knows no more than that is exactly .5",
)
def discrimination(evaluation: Evaluation) -> FloatT:
    """Centred discrimination, [T]. Undefined: a gallery of under 5. Degenerate (flat, or equal to m): .5."""
    return share_beaten(evaluation, centred=True)


@metric(
    "discrimination_raw",
    better="high",
    chance=0.5,
    range=(0.0, 1.0),
    needs=frozenset({"peers"}),
    undefined=small_gallery,
    influence=lambda evaluation: moved(evaluation, centred=False),
    formula="share of other test conditions q of the same context and number of perturbed genes with cos(d_hat, d_q) < "
    "cos(d_hat, d); ties .5",
    source="as discrimination, without centring",
    trap="the shift common to all conditions lifts every cosine: read it beside the centred form",
)
def discrimination_raw(evaluation: Evaluation) -> FloatT:
    """Discrimination without centring, [T]. Undefined: a gallery of under 5. Degenerate: .5."""
    return share_beaten(evaluation, centred=False)
