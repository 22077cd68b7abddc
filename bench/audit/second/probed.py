"""Linear probes a second time: cuts and scores are computed here, the fits are scikit-learn's."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.audit.second.embedded import Floats

Rows = NDArray[np.int64]

#: Inverse strengths of the penalty, the strongest first; steps of a fit.
STRENGTHS, STEPS = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2), 200
#: Batches of a label from which whole ones are kept apart; folds; controls of a batch that can be cut in folds.
BATCHES, FOLDS, CONTROLS = 3, 5, 10
#: Cells that rounding may have named otherwise where a strength is chosen.
DOUBT = 2


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fit: scores of the classes that it has seen are ``x @ weights + bias``; of others minus infinity."""

    seen: Rows
    weights: Floats
    bias: Floats
    n: int

    def scores(self, x: Floats) -> Floats:
        """``[N, n]``."""
        out = np.full((len(x), self.n), -np.inf)
        out[:, self.seen] = x @ self.weights + self.bias
        return out


def path(x: Floats, y: Rows, n: int, strengths: Sequence[float], weight: str | None = None) -> list[Fitted]:
    """A fit with each strength; each begins where the one before ended."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model, found = LogisticRegression(max_iter=STEPS, warm_start=True, class_weight=weight), []
    for strength in strengths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # as defined: a fit ends after so many steps
            model.set_params(C=strength).fit(x, y)
        weights, bias = model.coef_.T.copy(), model.intercept_.copy()
        if weights.shape[1] == 1:
            weights, bias = np.hstack([-weights, weights]), np.hstack([-bias, bias])
        found.append(Fitted(np.asarray(model.classes_, dtype=np.int64), weights, bias, n))
    return found


def named(scores: Floats, y: Rows, k: int) -> Floats:
    """Of each cell, the chance that its class is among the k likeliest, where ties are broken at random ``[N]``."""
    mine = np.take_along_axis(scores, y[:, None], axis=1)
    before, level = (scores > mine).sum(axis=1), (scores == mine).sum(axis=1)
    return np.asarray(np.minimum(np.maximum(k - before, 0), level) / level)


def recalls(scores: Floats, y: Rows, k: int = 1) -> Floats:
    """Mean of :func:`named` over the cells of each class ``[n]``; NaN of a class without a cell."""
    right = named(scores, y, k)
    return np.array([right[y == c].mean() if (y == c).any() else np.nan for c in range(scores.shape[1])])


def balanced(scores: Floats, y: Rows) -> float:
    """Mean recall of the classes that are there."""
    return float(np.nanmean(recalls(scores, y)))


def cut(label: Rows, batch: Rows, seed: int) -> Rows:
    """Cells to learn from (0), to choose the strength by (1) and to report on (2), a fifth each of the last two."""
    rng = np.random.default_rng([seed, 0xC1])
    part = np.zeros(len(label), dtype=np.int64)
    for one in sorted(set(label.tolist())):
        rows = np.flatnonzero(label == one)
        batches = rng.permutation(np.unique(batch[rows])).tolist()
        if len(batches) >= BATCHES:
            fifth = max(1, round(len(batches) / 5))
            of = {name: 2 if i < fifth else 1 if i < 2 * fifth else 0 for i, name in enumerate(batches)}
            part[rows] = [of[name] for name in batch[rows].tolist()]
        else:
            draws = dict(zip(rows.tolist(), rng.random(len(rows)).tolist(), strict=True))
            begin = int(rng.integers(0, 5))
            for i, row in enumerate(sorted(draws, key=lambda r: (int(batch[r]), draws[r]))):
                part[row] = {0: 1, 2: 2}.get((i + begin) % 5, 0)
    return part


def tuned(x: Floats, y: Rows, part: Rows, n: int) -> list[Floats]:
    """Scores of the cells of part 2 by the fit that names those of part 1 best; of equals, the strongest penalty.

    Then by fits that would be the best if :data:`DOUBT` cells of part 1 were named otherwise: which one it is, is
    decided by rounding.
    """
    fits = path(x[part == 0], y[part == 0], n, STRENGTHS)
    merits = [balanced(fit.scores(x[part == 1]), y[part == 1]) for fit in fits]
    best, cells = merits.index(max(merits)), np.unique(y[part == 1], return_counts=True)[1]
    least = merits[best] - DOUBT / (cells.min() * len(cells)) - 1e-9
    order = [best, *(i for i, merit in enumerate(merits) if i != best and merit >= least)]
    return [fits[i].scores(x[part == 2]) for i in order]


class Probe(NamedTuple):
    """Recall of each class, the same among the five likeliest ``[n]``, and both by chance."""

    accuracy: Floats
    top5: Floats
    majority: float
    top5_majority: float


def probe(z: Floats, label: Rows, batch: Rows, seed: int) -> list[Probe]:
    """Probe for labels ``0 .. n-1``: what :func:`tuned` gives, by fit; nothing where there is one label."""
    n = int(label.max(initial=-1)) + 1
    if n < 2:
        return []
    part = cut(label, batch, seed)
    y = label[part == 2]
    found = tuned(_scaled(z), label, part, n)
    return [Probe(recalls(scores, y), recalls(scores, y, 5), 1 / n, min(5, n) / n) for scores in found]


def batch_probe(z: Floats, batch: Rows, seed: int) -> list[tuple[float, float, float]]:
    """Batch of controls: share right over five folds, share of the largest batch, and the gain on it.

    Then the same with the fewest and with the most right that :func:`tuned` gives of each fold.
    """
    large = [b for b in np.unique(batch).tolist() if (batch == b).sum() >= CONTROLS]
    if len(large) < 2:
        return []
    kept = np.isin(batch, large)
    x, y = _scaled(z[kept]), np.searchsorted(large, batch[kept])
    draws = np.random.default_rng([seed, 0xC2]).random(len(y))
    fold = np.zeros(len(y), dtype=np.int64)
    for i, row in enumerate(sorted(range(len(y)), key=lambda r: (int(y[r]), float(draws[r])))):
        fold[row] = i % FOLDS
    right = np.zeros(3)
    for one in range(FOLDS):
        part = np.select([fold == one, fold == (one + 1) % FOLDS], [2, 1], 0)
        told = [int((scores.argmax(axis=1) == y[part == 2]).sum()) for scores in tuned(x, y, part, len(large))]
        right += [told[0], min(told), max(told)]
    most = max(int((y == b).sum()) for b in range(len(large))) / len(y)
    return [(share, most, (share - most) / (1 - most)) for share in (right / len(y)).tolist()]


def _scaled(z: Floats) -> Floats:
    """Mean square 1 of a feature, so that strengths mean the same at every width."""
    return np.asarray(z * np.sqrt(z.shape[1]))
