"""State-conditional contrast: does a prediction know in which cells a perturbation acts more?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bench.tracks.response.metrics.cache import cached
from bench.tracks.response.metrics.evaluation import Evaluation
from bench.tracks.response.metrics.functional import BoolT, FloatT, FloatTG
from bench.tracks.response.metrics.registry import metric

#: Units that a context needs: below, centring over them leaves little.
MIN_UNITS = 4


class Contrasts(NamedTuple):
    """Double-centred shifts of some units.

    Attributes:
        rows: [n] positions of the units with a shift in every state; empty where there are too few.
        values: [n, K, G'] contrasts over scored genes, centred over these.
    """

    rows: np.typing.NDArray[np.int64]
    values: FloatTG


def contrasts(shifts: FloatTG) -> FloatTG:
    """What is left of shifts once perturbations and states have lost their means, centred over genes.

    Args:
        shifts: [n, K, G'] of n units of one context in K states.

    Returns:
        [n, K, G'] x(p, s) - mean over s - mean over p + mean.
    """
    x = shifts - shifts.mean(axis=0) - shifts.mean(axis=1, keepdims=True) + shifts.mean(axis=(0, 1))
    return np.asarray(x - x.mean(axis=2, keepdims=True))


@cached("truth")
def true_contrasts(evaluation: Evaluation) -> Contrasts:
    """Of the true shifts of the units that have one in every state."""
    assert evaluation.states is not None
    true = evaluation.states.true
    rows = np.flatnonzero(np.isfinite(true).all(axis=(1, 2)))
    genes = np.flatnonzero(evaluation.gallery_scored)
    if len(rows) < MIN_UNITS or len(genes) < 2:
        return Contrasts(np.empty(0, dtype=np.int64), np.empty((0, true.shape[1], len(genes))))
    return Contrasts(rows, contrasts(true[rows][:, :, genes].astype(np.float64)))


def unstated(evaluation: Evaluation) -> BoolT:
    """Units with too few cells in some state, or without any contrast in one."""
    rows, values = true_contrasts(evaluation)
    out = np.ones(len(evaluation.y), dtype=np.bool_)
    out[rows] = ~(values.std(axis=2) > evaluation.truth_noise[rows, None]).all(axis=1)
    return out


@metric(
    "state_r",
    better="high",
    chance=0.0,
    range=(-1.0, 1.0),
    needs=frozenset({"states"}),
    ranked=False,
    undefined=unstated,
    formula="mean over states of corr over genes of d_hat.. and d.., where x..(p, s) = x - its mean over states - its "
    "mean over perturbations + the mean of all, over the test units of a context; no gene that any of them targets",
    source="this benchmark; count splitting: Neufeld et al. 2024; interaction of two-way tables: Tukey 1949",
    trap="cells chosen by their counts differ on these counts by noise: one part of the counts assigns the state, the "
    "other is measured. A response may move cells to another state: where state_change is above .1, rows are not to "
    "be compared. Whoever hands in means alone has no value, which is not 0",
)
def state_r(evaluation: Evaluation) -> FloatT:
    """Correlation of the parts of predicted and true shifts by state that neither state nor perturbation explains, [T].

    A prediction that moves all cells of a context alike is 0 by construction, as is one that adds to each state one
    thing that it gives to all perturbations. A state in which it claims nothing counts 0. Degenerate: 0.
    """
    assert evaluation.states is not None
    out = np.full(len(evaluation.y), np.nan)
    rows, true = true_contrasts(evaluation)
    if len(rows):
        genes = np.flatnonzero(evaluation.gallery_scored)
        mine = contrasts(evaluation.states.predicted[rows][:, :, genes].astype(np.float64))
        size = np.sqrt(np.vecdot(mine, mine) * np.vecdot(true, true))
        r = np.clip(np.vecdot(mine, true) / np.where(size > 0, size, 1.0), -1.0, 1.0)
        claimed = mine.std(axis=2) > evaluation.prediction_noise[rows, None]
        out[rows] = np.where(claimed.any(axis=1), np.where(claimed, r, 0.0).mean(axis=1), np.nan)
    return out


def unknown_change(evaluation: Evaluation) -> BoolT:
    """Units of contexts without states."""
    assert evaluation.state_change is not None
    return ~np.isfinite(evaluation.state_change)


@metric(
    "state_change",
    better="none",
    chance=None,
    range=(-1.0, 1.0),
    needs=frozenset({"state_change"}),
    ranked=False,
    undefined=unknown_change,
    formula="sqrt of half the sum over states of (share among perturbed cells - share among reference controls)^2, "
    "less what sampling adds; with the sign of what is left under the root",
    source="this benchmark",
    trap="a fact of the data, the same for every model; cells that come and cells that go in equal numbers are not "
    "seen: a lower bound",
)
def state_change(evaluation: Evaluation) -> FloatT:
    """Share of cells that are in another state than they would be without the perturbation, [T]."""
    assert evaluation.state_change is not None
    return np.array(evaluation.state_change, dtype=np.float64)
