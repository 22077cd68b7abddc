"""Cases to evaluate: a random screen, with the truth that the contract needs to hold exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bench.tracks.response.metrics import (
    AdditiveShifts,
    CellPair,
    Evaluation,
    GearsTruth,
    LegacyCells,
    Sample,
    StateShifts,
    UnitCodes,
)

MakeEvaluation = Callable[..., Evaluation]
Predict = Callable[[Evaluation, np.ndarray], Evaluation]


CELLS, SPREAD = 12, 0.4


def draw_cells(means: np.ndarray, read: np.ndarray, panel: np.ndarray, seed: int) -> Sample:
    """Normal cells around means; what stands in unread genes must not matter."""
    rng = np.random.default_rng(seed)
    conditions, genes = means.shape
    cells = np.where(read, means, 0.0)[:, None] + rng.normal(0, SPREAD, (conditions, CELLS, genes))
    axes = np.random.default_rng(7).normal(0, 1 / np.sqrt(genes), (genes, 6))
    flat = cells.reshape(-1, genes)
    return Sample(CELLS * np.arange(conditions + 1), flat @ axes, flat[:, panel], cells.var(axis=1, ddof=1))


def panel_of(gallery: np.ndarray) -> np.ndarray:
    return np.flatnonzero(gallery)[:10]


def by_state(shifts: np.ndarray) -> np.ndarray:
    """Shifts in three states, in which each unit acts in shares of its own."""
    acts = np.array([[1.0, 0.2, 0.0], [0.0, 1.0, 0.5], [0.3, 0.0, 1.0], [0.6, 0.0, 0.5]])
    return acts[np.arange(len(shifts)) % 4][:, :, None] * shifts[:, None]


def build_case(seed: int = 0, conditions: int = 16, genes: int = 120, awkward: bool = False) -> Evaluation:
    """A screen with one target per condition; abs z follows abs d, so that a perfect prediction ranks DE perfectly.

    `awkward` adds one condition of each kind for which some metric is undefined.
    """
    rng = np.random.default_rng(seed)
    control = rng.gamma(2.0, 0.7, genes)
    expressed = rng.random(genes) < 0.9
    d = rng.normal(0.0, 0.3, (conditions, genes)) * rng.gamma(1.0, 1.0, (conditions, genes))
    m = rng.normal(0.0, 0.05, genes)
    d += m
    scored = np.tile(expressed, (conditions, 1))
    scored[np.arange(conditions), rng.integers(0, genes, conditions)] = False
    size = np.where(scored, np.abs(d), 0.0)
    significant = size > np.quantile(size, 0.45, axis=1, keepdims=True)
    if awkward:
        d[0] = 0.0  # no effect at all
        d[1] = 0.25  # the same shift everywhere
        significant[2] = False
        significant[3, :] = False
        significant[3, np.flatnonzero(scored[3])[:4]] = True  # one short of the five needed
        scored[4, np.flatnonzero(scored[4])[15:]] = False  # fewer genes than the top 20
    de_z = 10.0 * d
    y = control + d
    de_genes = np.argsort(-np.abs(d), axis=1)[:, :50]
    gallery = scored.all(axis=0)
    additive = rng.normal(0.0, 0.3, (conditions, genes))
    noise = rng.normal(0.0, 0.5, (conditions, CELLS, 1))  # whole cells up or down: their mean predicts them perfectly
    top = np.take_along_axis(y, de_genes[:, :20], axis=1)[:, None] + noise
    return Evaluation(
        y=y,
        y_hat=y.copy(),
        d=d,
        d_hat=d.copy(),
        scored=scored,
        gallery_scored=gallery,
        train_delta=m,
        control_sd=rng.gamma(2.0, 0.3, genes) * expressed,
        expressed=expressed,
        de_z=de_z,
        significant=significant,
        gears=GearsTruth(y=y, control=control + rng.normal(0, 0.01, genes), de_genes=de_genes[:, :20]),
        train_y=control + m,
        cells=CellPair(*(draw_cells(y, scored, panel_of(gallery), seed + i) for i in (1, 2))),
        legacy=LegacyCells(
            begins=CELLS * np.arange(conditions + 1),
            cells=top.reshape(-1, top.shape[2]),
            controls=rng.normal(0.0, 0.5, (conditions * CELLS, 1)) + np.zeros(top.shape[2]),
            genes=de_genes,
            spread=np.zeros(conditions),
        ),
        epistasis=AdditiveShifts(
            row=np.arange(conditions),
            additive=np.stack([additive, additive, additive, 0 * additive]),  # measured without noise
            resolved=np.ones(conditions, dtype=bool),
            kept=additive,
            kept_resolved=np.ones(conditions, dtype=bool),
        ),
        crossed=UnitCodes(*np.divmod(np.arange(conditions), 4)),  # in four contexts
        states=StateShifts(by_state(d), by_state(d)),
        state_change=rng.uniform(-0.1, 0.3, conditions),
    )


def predict_shift(evaluation: Evaluation, d_hat: np.ndarray) -> Evaluation:
    """The same truth with another prediction, handed in as shifts from the evaluation's own controls."""
    assert evaluation.cells is not None
    y_hat = evaluation.y_hat - evaluation.d_hat + d_hat
    cells = draw_cells(y_hat, evaluation.scored, panel_of(evaluation.gallery_scored), 2)
    assert evaluation.states is not None
    states = replace(evaluation.states, predicted=by_state(d_hat))
    return replace(
        evaluation, d_hat=d_hat, y_hat=y_hat, cells=replace(evaluation.cells, predicted=cells), states=states
    )


@pytest.fixture(scope="session")
def make_evaluation() -> MakeEvaluation:
    return build_case


@pytest.fixture(scope="session")
def predict() -> Predict:
    return predict_shift
