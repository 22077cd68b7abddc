"""Linear probes: multinomial logistic regression on frozen embeddings, tuned on other cells than it is reported on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.tracks.representation.geometry import group_mean

Codes = NDArray[np.int64]

#: Inverse strengths of the penalty.
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)
#: Steps of L-BFGS per strength; each starts where the weaker-fitting one before it ended.
STEPS = 50
#: Batches from which a whole one can be kept for validation and one for the report.
MIN_BATCHES = 3
FOLDS = 5
#: Fewer controls of a batch cannot be cut in folds.
MIN_CONTROLS = 10


def fit_softmax(
    x: Floats, y: Codes, n: int, strength: float, start: Floats | None = None, steps: int = STEPS
) -> Floats:
    """Fit multinomial logistic regression by L-BFGS.

    Minimises ``strength * sum_i -log p(y_i | x_i) + |W|^2 / 2`` (scikit-learn's form; the intercept is free).

    Args:
        x: Features ``[N, D]``.
        y: Classes ``0 .. n-1`` ``[N]``.
        n: Number of classes K.
        strength: Inverse strength of the penalty.
        start: Weights to start from ``[D + 1, K]``.
        steps: Most L-BFGS steps.

    Returns:
        Weights, the intercepts in the last row ``[D + 1, K]``.
    """
    from scipy.optimize import minimize

    rows, width = np.arange(len(y)), x.shape[1]
    # Divided by N strength, the objective has the same scale for all strengths, and so has its stopping rule.
    penalty = 1 / (strength * len(y))

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(width + 1, n)
        logits = x @ weights[:-1] + weights[-1]
        logits -= logits.max(axis=1, keepdims=True)
        fit = logits[rows, y].mean()
        np.exp(logits, out=logits)
        total = logits.sum(axis=1, keepdims=True)
        value = np.log(total).mean() - fit + penalty / 2 * (weights[:-1] ** 2).sum()
        logits /= total
        logits[rows, y] -= 1
        logits /= len(y)
        gradient = np.vstack([x.T @ logits + penalty * weights[:-1], logits.sum(axis=0)])
        return float(value), gradient.ravel()

    first = np.zeros((width + 1) * n) if start is None else start.ravel()
    found = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": steps, "gtol": 1e-6, "ftol": 1e-10})
    return np.asarray(found.x).reshape(width + 1, n)


def predict(weights: Floats, x: Floats) -> Floats:
    """Logits ``[N, K]``."""
    return np.asarray(x @ weights[:-1] + weights[-1])


def macro_top(logits: Floats, y: Codes, k: int) -> float:
    """Mean over classes of the share of its cells that have it among the k likeliest; ties count as their chance."""
    own = logits[np.arange(len(y)), y][:, None]
    above, tied = (logits > own).sum(axis=1), (logits == own).sum(axis=1)
    return group_mean(np.clip(k - above, 0, tied) / tied, np.unique(y, return_inverse=True)[1])


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


def fit_tuned(x: Floats, y: Codes, part: Codes, n: int) -> Floats:
    """Fit on part 0 with every strength, keep the one best on part 1 (macro-accuracy; the strongest penalty of equals).

    Returns:
        Its weights ``[D + 1, K]``.
    """
    weights: Floats | None = None
    best, chosen = -1.0, np.zeros((x.shape[1] + 1, n))
    for strength in STRENGTHS:
        weights = fit_softmax(x[part == 0], y[part == 0], n, strength, weights)
        accuracy = macro_top(predict(weights, x[part == 1]), y[part == 1], 1)
        if accuracy > best:
            best, chosen = accuracy, weights
    return chosen


@dataclass(frozen=True)
class Probe:
    """What a probe of conditions found.

    Attributes:
        accuracy: Mean over conditions of the share of cells assigned to it.
        top5: The same for the five likeliest.
        majority: Accuracy of always naming the largest class, over conditions: 1 / K.
        top5_majority: The same for the five largest.
    """

    accuracy: float
    top5: float
    majority: float
    top5_majority: float


def condition_probe(z: Floats, condition: Codes, batch: Codes, seed: int) -> Probe | None:
    """Probe for conditions.

    Args:
        z: Unit embeddings ``[N, D]``.
        condition: ``0 .. K-1`` ``[N]``.
        batch: ``[N]``.
        seed: Seed of the cut.

    Returns:
        ``None`` with fewer than two conditions.
    """
    n = int(condition.max()) + 1
    if n < 2:
        return None
    part = cut(condition, batch, seed)
    x = _features(z)
    logits = predict(fit_tuned(x, condition, part, n), x[part == 2])
    y = condition[part == 2]
    return Probe(macro_top(logits, y, 1), macro_top(logits, y, 5), 1 / n, min(1.0, 5 / n))


def batch_probe(z: Floats, batch: Codes, seed: int) -> tuple[float, float, float] | None:
    """Probe control cells for their batch, five-fold; each fold's strength is chosen on the next fold.

    Args:
        z: Unit embeddings of controls ``[M, D]``.
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
        logits = predict(fit_tuned(x, y, part, len(large)), x[part == 2])
        right += float((logits.argmax(axis=1) == y[part == 2]).sum())
    accuracy, majority = right / len(y), float(np.bincount(y).max() / len(y))
    return accuracy, majority, (accuracy - majority) / (1 - majority)


def _features(z: Floats) -> Floats:
    """Scale so that a feature has mean square 1: then the strengths mean the same at every width."""
    return np.asarray(z * np.sqrt(z.shape[1]), dtype=np.float64)
