"""Linear probes: logistic regression on frozen embeddings, tuned on other cells than those that are reported on."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.stats.geometry import group_means
from bench.stats.intervals import nanmean

Codes = NDArray[np.int64]

#: Inverse strengths of the penalty: scikit-learn's ``C``.
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)
#: Most L-BFGS steps per strength. Where a weak penalty needs more, stopping early is a penalty of its own.
STEPS = 200
#: Batches from which a whole one can be kept for validation and one for the report.
MIN_BATCHES = 3
FOLDS = 5
#: Fewer controls of a batch cannot be cut in folds.
MIN_CONTROLS = 10


def tuned_scores(x: Floats, y: Codes, part: Codes, n: int) -> Floats:
    """Fit multinomial logistic regression on part 0 with every strength, and score part 2 by the best of them.

    The best has the highest macro-accuracy on part 1; of equals, the one with the strongest penalty. Each fit starts
    where the one with the next stronger penalty ended.

    Args:
        x: Features ``[N, D]``.
        y: Classes ``0 .. n-1`` ``[N]``; at least two in part 0.
        part: From :func:`cut` ``[N]``.
        n: Number of classes K.

    Returns:
        Scores of the cells of part 2, larger = likelier ``[N2, K]``; ``-inf`` for classes that part 0 lacks.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=STEPS, warm_start=True)
    best, chosen = -1.0, np.zeros((int((part == 2).sum()), n))
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # see STEPS
            model.set_params(C=strength).fit(x[part == 0], y[part == 0])
        accuracy = float(nanmean(recall_at(_scores(model, x[part == 1], n), y[part == 1], 1)))
        if accuracy > best:
            best, chosen = accuracy, _scores(model, x[part == 2], n)
    return chosen


def _scores(model: Any, x: Floats, n: int) -> Floats:
    """Scores of all classes by a fitted scikit-learn classifier ``[N, K]``; ``-inf`` for those that it has not seen."""
    found = np.asarray(model.decision_function(x), dtype=np.float64)
    if found.ndim == 1:  # of two classes, scikit-learn scores the second
        found = np.stack([-found, found], axis=1)
    scores = np.full((len(x), n), -np.inf)
    scores[:, model.classes_] = found
    return scores


def recall_at(scores: Floats, y: Codes, k: int) -> Floats:
    """Share of each class's cells that have it among the k likeliest; ties count as their chance.

    Args:
        scores: Larger = likelier ``[N, K]``.
        y: Classes ``0 .. K-1`` ``[N]``.
        k: Places.

    Returns:
        ``[K]``; NaN for classes without a cell.
    """
    own = scores[np.arange(len(y)), y][:, None]
    above, tied = (scores > own).sum(axis=1), (scores == own).sum(axis=1)
    return group_means(np.clip(k - above, 0, tied) / tied, y, scores.shape[1])


def cut(label: Codes, batch: Codes, seed: int) -> Codes:
    """Cut cells 60/20/20 by (label, batch) groups ``[N]``: 0 = train, 1 = validation, 2 = report.

    A label with three batches or more keeps whole batches apart (a fifth of them, at least one, for each of validation
    and report); one with fewer is cut within its batches.
    """
    rng = np.random.default_rng([seed, 0xC1])
    part = np.zeros(len(label), dtype=np.int64)
    for code in np.unique(label).tolist():
        rows = np.flatnonzero(label == code)
        batches = rng.permutation(np.unique(batch[rows]))
        if len(batches) >= MIN_BATCHES:
            fifth = max(1, round(len(batches) / 5))
            part[rows[np.isin(batch[rows], batches[:fifth])]] = 2
            part[rows[np.isin(batch[rows], batches[fifth : 2 * fifth])]] = 1
        else:
            ordered = rows[np.lexsort((rng.random(len(rows)), batch[rows]))]
            # Along the batches, cells 0 and 2 of every five: the same shares in each, up to a cell.
            phase = (np.arange(len(rows)) + rng.integers(0, 5)) % 5
            part[ordered[phase == 0]], part[ordered[phase == 2]] = 1, 2
    return part


@dataclass(frozen=True, eq=False)
class Probe:
    """What a probe of units found on cells that it was neither fitted nor tuned on.

    Attributes:
        accuracy: Share of each unit's cells that are assigned to it ``[U]``.
        top5: Share of each unit's cells that have it among the five likeliest ``[U]``.
        majority: Accuracy of always naming the largest class, over units: 1 / U.
        top5_majority: The same for the five largest.
    """

    accuracy: Floats
    top5: Floats
    majority: float
    top5_majority: float


def unit_probe(z: Floats, unit: Codes, batch: Codes, seed: int) -> Probe | None:
    """Probe for units.

    Args:
        z: Unit-length embeddings ``[N, D]``.
        unit: ``0 .. U-1`` ``[N]``.
        batch: ``[N]``.
        seed: Seed of the cut.

    Returns:
        ``None`` with fewer than two units.
    """
    n = int(unit.max()) + 1
    if n < 2:
        return None
    part = cut(unit, batch, seed)
    scores = tuned_scores(_features(z), unit, part, n)
    y = unit[part == 2]
    return Probe(recall_at(scores, y, 1), recall_at(scores, y, 5), 1 / n, min(1.0, 5 / n))


def batch_probe(z: Floats, batch: Codes, seed: int) -> tuple[float, float, float] | None:
    """Probe control cells for their batch, five-fold; each fold's strength is chosen on the next fold.

    Args:
        z: Unit-length embeddings of controls ``[M, D]``.
        batch: ``[M]``.
        seed: Seed of the folds.

    Returns:
        ``(accuracy, share of the largest batch, (accuracy - share) / (1 - share))``; ``None`` with fewer than two
        batches of :data:`MIN_CONTROLS` cells.
    """
    large = np.flatnonzero(np.bincount(batch, minlength=1) >= MIN_CONTROLS)
    if len(large) < 2:
        return None
    keep = np.isin(batch, large)
    x, y = _features(z[keep]), np.unique(batch[keep], return_inverse=True)[1]
    order = np.lexsort((np.random.default_rng([seed, 0xC2]).random(len(y)), y))
    fold = np.empty(len(y), dtype=np.int64)
    fold[order] = np.arange(len(y)) % FOLDS
    right = 0.0
    for report in range(FOLDS):
        part = np.where(fold == report, 2, np.where(fold == (report + 1) % FOLDS, 1, 0))
        scores = tuned_scores(x, y, part, len(large))
        right += float((scores.argmax(axis=1) == y[part == 2]).sum())
    accuracy, majority = right / len(y), float(np.bincount(y).max() / len(y))
    return accuracy, majority, (accuracy - majority) / (1 - majority)


def _features(z: Floats) -> Floats:
    """Scale so that a feature has mean square 1: then the strengths mean the same at every width."""
    return np.asarray(z * np.sqrt(z.shape[1]), dtype=np.float64)
