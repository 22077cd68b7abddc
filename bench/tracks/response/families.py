"""Answers beside many truths at once, for the metrics that stand for the families.

What a prediction adds to `pearson_delta` and `signed_rank_z` is a vector of norm 1 for each unit, which is multiplied
with one of the truth; to `shift_ratio`, a norm. So the mean over halves needs one product, and the value under every
bootstrap of the reference controls is a product of matrices. Identity is compared within galleries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.tracks.response.align import align, sampling_variance
from bench.tracks.response.metrics import METRICS, Evaluation
from bench.tracks.response.metrics.functional import divide
from bench.tracks.response.metrics.identity import predicted_directions, true_directions, wins
from bench.tracks.response.metrics.signed import predicted_signed_ranks, true_z
from bench.tracks.response.metrics.size import LIMIT, no_size, predicted_size, true_size
from bench.tracks.response.truth.fields import Truth

PATTERN, IDENTITY, SIZE, DE, EPISTASIS = (
    next(name for name, metric in METRICS.items() if metric.family == family)
    for family in ("pattern", "identity", "size", "DE", "epistasis")
)
Rows = NDArray[np.int64]


class Answer(NamedTuple):
    """A prediction of T units as three of the families see it; a family that it does not answer is None.

    Attributes:
        pattern: Standardised shifts over scored genes ``[T, G]``; zeros where they tell no gene from another.
        de: Standardised signed ranks ``[T, G]``; likewise.
        size: Log norms over scored genes ``[T]``; minus infinity for none.
    """

    pattern: Floats | None = None
    de: Floats | None = None
    size: Floats | None = None


class Halves(NamedTuple):
    """What the halves of T units hold for an :class:`Answer`; NaN where the truth is undefined.

    Attributes:
        pattern: Mean over halves of the standardised true shifts ``[T, G]``.
        de: Mean over halves of the standardised z ``[T, G]``.
        size: Log size of the true shift ``[H, T]``.
    """

    pattern: Floats
    de: Floats
    size: Floats


def answer_of(evaluation: Evaluation) -> Answer:
    """The prediction of an evaluation."""
    kept = ~evaluation.degenerate[:, None]
    with np.errstate(divide="ignore"):
        size = np.log(predicted_size(evaluation)) / 2
    return Answer(
        np.where(kept, np.nan_to_num(evaluation.predicted_shift.unit), 0.0),
        np.where(kept, np.nan_to_num(predicted_signed_ranks(evaluation).unit), 0.0),
        size,
    )


def log_size(square: Floats, undefined: NDArray[np.bool_]) -> Floats:
    """Log of a true size, from its square; what sampling noise exceeds counts as the smallest; NaN where undefined."""
    return np.where(undefined, np.nan, np.log(np.maximum(square, np.finfo(np.float64).tiny)) / 2)


def halves_of(truth: Truth) -> Halves:
    """Measure the halves, as the metrics do."""
    cases = [align(truth, truth.c_in, half) for half in range(len(truth.half_y))]
    names = (PATTERN, DE)
    undefined = {name: np.array([METRICS[name].undefined(case) for case in cases]) for name in names}
    units = {PATTERN: [case.true_shift.unit for case in cases], DE: [true_z(case).unit for case in cases]}
    means = []
    for name in names:
        known = ~undefined[name]
        total = sum(np.where(ok[:, None], unit, 0.0) for ok, unit in zip(known, units[name], strict=True))
        count = known.sum(axis=0)[:, None]
        means.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    size = np.array([log_size(true_size(case), no_size(case)) for case in cases])
    return Halves(means[0], means[1], size)


def size_score(ours: Floats, true: Floats) -> Floats:
    """`shift_ratio` of log norms; NaN where the true one is."""
    return np.asarray(0.0 - np.abs(np.clip(ours - true, -LIMIT, LIMIT)))


def mean_known(values: Floats) -> Floats:
    """Mean over the first axis of what is not NaN; NaN where nothing is."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def half_scores(answer: Answer, halves: Halves) -> dict[str, Floats]:
    """Mean over halves of what an answer scores, by metric ``[T]``."""
    out = {}
    if answer.pattern is not None:
        out[PATTERN] = np.asarray(np.vecdot(answer.pattern, halves.pattern))
    if answer.de is not None:
        out[DE] = np.asarray(np.vecdot(answer.de, halves.de))
    if answer.size is not None:
        out[SIZE] = mean_known(size_score(answer.size, halves.size))
    return out


@dataclass(frozen=True, eq=False)
class Moved:
    """The true shifts of T units under B bootstraps of the reference controls, as sums over scored genes.

    Attributes:
        shift: The shift as it is, 0 at genes that are not scored ``[T, G]``.
        by: What is taken off under each bootstrap, by context ``[C, B, G]``.
        context: Context of each unit ``[T]``.
        norm: Norm of the moved shift about its mean ``[B, T]``.
        size: Log of its size, less sampling noise ``[B, T]``.
    """

    shift: Floats
    by: Floats
    context: Rows
    norm: Floats
    size: Floats

    def products(self, vectors: Floats) -> Floats:
        """Products of vectors that are 0 at genes not scored ``[T, G]`` with the moved shifts ``[B, T]``."""
        out = np.empty((self.by.shape[1], len(vectors)))
        for c, moved in enumerate(self.by):
            mine = self.context == c
            out[:, mine] = np.vecdot(vectors[mine], self.shift[mine]) - moved @ vectors[mine].T
        return out

    def pattern(self, vectors: Floats) -> Floats:
        """`pearson_delta` of standardised predictions ``[T, G]``: ``[B, T]``."""
        return divide(self.products(vectors), self.norm)


def moved_shifts(truth: Truth, half: int | None = None) -> Moved:
    """The shifts of all cells, or of one half."""
    scored = truth.scored.astype(np.float64)
    shift = ((truth.y if half is None else truth.half_y[half]) - truth.c_ref) * scored
    noise = np.vecdot(sampling_variance(truth, half), scored)
    n = np.maximum(scored.sum(axis=1), 1)
    square, total = (np.empty((truth.c_ref_draws.shape[1], len(shift))) for _ in range(2))
    for c, moved in enumerate(truth.c_ref_draws):
        mine = truth.context == c
        square[:, mine] = np.vecdot(shift[mine], shift[mine]) - 2 * moved @ shift[mine].T + moved**2 @ scored[mine].T
        total[:, mine] = shift[mine].sum(axis=1) - moved @ scored[mine].T
    norm = np.sqrt(np.maximum(square - total**2 / n, 0.0))
    return Moved(
        shift, truth.c_ref_draws, truth.context, norm, log_size(square - noise, np.zeros(len(n), dtype=np.bool_))
    )


def draw_scores(answer: Answer, truth: Truth) -> dict[str, Floats]:
    """What an answer scores against all cells under each bootstrap of the reference controls, by metric ``[B, T]``."""
    whole = truth.once("moved", lambda: moved_shifts(truth))
    out = {}
    if answer.pattern is not None:
        out[PATTERN] = whole.pattern(answer.pattern)
    if answer.de is not None:
        norm = truth.once("z norms", lambda: _z_norms(truth))
        product = np.einsum("tg,btg->bt", answer.de.astype(np.float32), truth.de_z_draws, optimize=True)
        out[DE] = divide(product.astype(np.float64), norm)
    if answer.size is not None:
        out[SIZE] = size_score(answer.size, whole.size)
    return out


def _z_norms(truth: Truth) -> Floats:
    """Norm of z about its mean over scored genes, under each bootstrap ``[B, T]``."""
    scored = truth.scored
    n = np.maximum(scored.sum(axis=1), 1)
    norms = np.empty(truth.de_z_draws.shape[:2])
    for b, z in enumerate(truth.de_z_draws):
        kept = np.where(scored, z, 0.0)
        norms[b] = np.sqrt(np.maximum(np.vecdot(kept, kept) - kept.sum(axis=1) ** 2 / n, 0.0))
    return norms


def identity_draws(evaluation: Evaluation, moved: Floats) -> Floats:
    """`discrimination` of the conditions of one gallery under each bootstrap of its reference controls ``[B, T]``.

    Args:
        evaluation: Of that gallery.
        moved: How far the mean of the reference controls moves ``[B, G]``.
    """
    predicted, true = predicted_directions(evaluation, True), true_directions(evaluation, True)
    genes = np.flatnonzero(evaluation.gallery_scored)
    shift, off = (evaluation.d - evaluation.train_delta)[:, genes], moved[:, genes]
    product, along = np.nan_to_num(predicted.unit @ shift.T), np.nan_to_num(predicted.unit @ off.T)
    square = np.vecdot(shift, shift)[:, None] - 2 * shift @ off.T + np.vecdot(off, off)
    norm = np.sqrt(np.maximum(square, np.finfo(np.float64).tiny))
    n, rows = len(shift), np.arange(len(shift))
    out = np.empty((len(moved), n))
    for b in range(len(moved)):
        won = wins((product - along[:, b, None]) / norm[:, b], rows, ~true.nowhere)
        out[b] = (won.sum(axis=1) - 0.5) / max(n - 1, 1)
    out[:, predicted.nowhere | evaluation.degenerate] = 0.5
    return out
