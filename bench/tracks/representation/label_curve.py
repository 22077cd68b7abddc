"""A label curve: logistic regression with 2, 5, 20 and all labels per class and context, and the area under it.

The labelled cells are drawn several times; the penalty's strength is chosen on validation contexts, per encoder and
number of labels.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.typing import Floats
from bench.data.heldout import Rows
from bench.stats.intervals import nanmean
from bench.stats.probes import STEPS, STRENGTHS, recall_at
from bench.tracks.representation.across_metrics import LABELS

#: Draws of the labelled cells, which are averaged within a context.
DRAWS = 5
#: Cells in a fit with the most of ``LABELS``, and with all labels. With many classes, fewer source contexts are
#: drawn, and ``all`` is as many as fit.
FIT_CELLS, ALL_CELLS = 4_000, 8_000
#: The strength where there is no validation context.
UNTUNED = STRENGTHS.index(1e-1)


@dataclass(frozen=True, eq=False)
class Question:
    """Cells that a probe learns from, and cells that choose its strength.

    Attributes:
        x: Latents ``[N, D]``.
        y: Classes ``0 .. n-1`` ``[N]``.
        context: Within which labels are drawn ``[N]``.
        val: Latents ``[V, D]``.
        val_y: Their classes ``[V]``.
        val_context: Their contexts ``[V]``.
        n: Number of classes.
    """

    x: Floats
    y: Rows
    context: Rows
    val: Floats
    val_y: Rows
    val_context: Rows
    n: int


@dataclass(frozen=True, eq=False)
class Linear:
    """A fitted probe: scores are ``x @ weights.T + bias``.

    Attributes:
        classes: Those that it has seen ``[K]``.
        weights: ``[K, D]``.
        bias: ``[K]``.
        n: Number of classes.
    """

    classes: Rows
    weights: Floats
    bias: Floats
    n: int

    def scores(self, x: Floats) -> Floats:
        """Scores, larger = likelier ``[N, n]``; ``-inf`` for classes that it has not seen."""
        found = np.full((len(x), self.n), -np.inf)
        found[:, self.classes] = x @ self.weights.T + self.bias
        return found

    def recall(self, x: Floats, y: Rows) -> Floats:
        """Share of each class's cells that are assigned to it ``[n]``; NaN for classes without a cell."""
        return recall_at(self.scores(x), y, 1)


@dataclass(frozen=True, eq=False)
class Point:
    """Probes with one number of labels.

    Attributes:
        labels: Mean number of labels per class and source context.
        strength: The chosen one.
        probes: One per draw.
        merit: Balanced accuracy in the validation contexts; NaN without.
    """

    labels: float
    strength: float
    probes: tuple[Linear, ...]
    merit: float


def fit(question: Question, seed: int) -> list[Point]:
    """Fit probes with each number of labels, choosing the strength of their penalty.

    The best strength has the highest balanced accuracy, averaged over draws and validation contexts; of equals, it is
    the strongest penalty.
    """
    points = []
    for i, labels in enumerate((*LABELS, None)):
        draws = [_labelled(question, labels, [seed, 0xAD, i, k]) for k in range(1 if labels is None else DRAWS)]
        tuned = len(question.val) > 0
        grid = STRENGTHS if tuned else STRENGTHS[UNTUNED : UNTUNED + 1]
        paths = [_path(question, rows, grid) for rows in draws]
        merit = np.array([[_merit(question, probe) for probe in path] for path in paths]).mean(axis=0)
        best = int(np.argmax(merit > merit.max() - 1e-9)) if tuned else 0
        cells = len(np.unique(np.stack([question.y, question.context]), axis=1).T)
        used = float(np.mean([len(rows) for rows in draws])) / cells
        points.append(Point(used, grid[best], tuple(path[best] for path in paths), float(merit[best])))
    return points


def _labelled(question: Question, labels: int | None, seed: Sequence[int]) -> Rows:
    """Draw ``labels`` cells of each class and context (all there are, where they are fewer)."""
    rng = np.random.default_rng(seed)
    group = question.context * question.n + question.y
    kinds = len(np.unique(group))
    most = max(LABELS[-1], ALL_CELLS // kinds) if labels is None else labels
    order = np.lexsort((rng.random(len(group)), group))
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    place = np.arange(len(order)) - np.repeat(starts, np.diff([*starts, len(order)]))
    return np.sort(order[place < most])


def _path(question: Question, rows: Rows, grid: Sequence[float]) -> list[Linear]:
    """Fit with each strength, the strongest penalty first; each fit starts where the one before ended."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=STEPS, warm_start=True, class_weight="balanced")
    found = []
    for strength in grid:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is a penalty of its own
            model.set_params(C=strength).fit(question.x[rows], question.y[rows])
        weights, bias = model.coef_.copy(), model.intercept_.copy()
        if len(weights) == 1:  # of two classes, scikit-learn scores the second
            weights, bias = np.concatenate([-weights, weights]), np.concatenate([-bias, bias])
        found.append(Linear(np.asarray(model.classes_, dtype=np.int64), weights, bias, question.n))
    return found


def _merit(question: Question, probe: Linear) -> float:
    """Balanced accuracy in each validation context, averaged; NaN without any."""
    if not len(question.val):
        return float("nan")
    recall = probe.scores(question.val)
    contexts = (question.val_context == c for c in np.unique(question.val_context).tolist())
    return float(np.mean([nanmean(recall_at(recall[rows], question.val_y[rows], 1)) for rows in contexts]))


def area(labels: Sequence[float], values: Floats) -> Floats:
    """Area under values over log2 of the number of labels, divided by the width: a mean along the curve.

    Args:
        labels: Labels at each point, not decreasing ``[P]``.
        values: ``[P, ...]``.

    Example:
        >>> float(area([2, 4, 16], np.array([0.0, 1.0, 1.0])))
        0.8333333333333334
    """
    at, kept = np.unique(np.log2(labels), return_index=True)
    if len(at) == 1:
        return np.asarray(values[kept[0]])
    return np.asarray(np.trapezoid(values[kept], at, axis=0) / (at[-1] - at[0]))
