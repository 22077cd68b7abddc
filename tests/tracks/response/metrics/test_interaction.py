"""`interaction_r` against the residuals of a two-way linear model, and whom it pays nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.tracks.response.metrics import METRICS, Evaluation, UnitCodes, evaluate
from bench.tracks.response.metrics.interaction import grid

METRIC = METRICS["interaction_r"]
C, P, GENES = 5, 6, 40


@pytest.fixture
def crossed(make_evaluation) -> Evaluation:
    """30 units of 5 contexts and 6 perturbations, in no order."""
    order = np.random.default_rng(3).permutation(C * P)
    codes = UnitCodes(condition=order % P, context=order // P)
    return replace(make_evaluation(conditions=C * P, genes=GENES), crossed=codes)


def predicted(of: Evaluation, d_hat: np.ndarray) -> Evaluation:
    return replace(of, d_hat=d_hat, y_hat=of.y_hat - of.d_hat + d_hat, cells=None)


def residuals(of: Evaluation, shifts: np.ndarray) -> np.ndarray:
    """What is left of shifts after a least-squares fit of one number per context and one per perturbation."""
    assert of.crossed is not None
    design = np.hstack([np.eye(C)[of.crossed.context], np.eye(P)[of.crossed.condition]])
    x = shifts[:, of.gallery_scored]
    return x - design @ np.linalg.lstsq(design, x, rcond=None)[0]


def test_it_is_the_correlation_of_what_a_two_way_model_leaves(crossed):
    d_hat = crossed.d + np.random.default_rng(0).normal(0, 0.5, crossed.d.shape)
    ours = evaluate(METRIC, predicted(crossed, d_hat)).values
    both = zip(residuals(crossed, d_hat), residuals(crossed, crossed.d), strict=True)
    np.testing.assert_allclose(ours, [np.corrcoef(a, b)[0, 1] for a, b in both], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(evaluate(METRIC, predicted(crossed, 3 * crossed.d)).values, 1.0, atol=1e-12)
    np.testing.assert_allclose(evaluate(METRIC, predicted(crossed, -crossed.d)).values, -1.0, atol=1e-12)


def test_whoever_does_not_know_the_context_earns_nothing(crossed):
    """Nor who adds to every perturbation what a context has in common; stored as float32, as predictions are."""
    assert crossed.crossed is not None
    rng = np.random.default_rng(1)
    by_perturbation = np.stack([crossed.d[crossed.crossed.condition == p].mean(axis=0) for p in range(P)])
    by_context = np.stack([crossed.d[crossed.crossed.context == c].mean(axis=0) for c in range(C)])
    control = rng.gamma(2.0, 0.7, (C, GENES))
    for d_hat in (
        by_perturbation[crossed.crossed.condition],
        by_perturbation[crossed.crossed.condition] + by_context[crossed.crossed.context],
        0.7 * by_perturbation[crossed.crossed.condition] - 0.2,
    ):
        start = control[crossed.crossed.context]
        stored = (start + d_hat).astype(np.float32).astype(np.float64) - start
        case = replace(crossed, d_hat=stored, y_hat=start + stored, cells=None)
        found = evaluate(METRIC, case)
        assert found.degenerate.all()
        assert not found.values.any()


def test_gaps_leave_contexts_out_and_too_few_leave_nothing(crossed):
    assert crossed.crossed is not None
    codes = crossed.crossed
    gap = ~((codes.context == 2) & (codes.condition > 1))  # context 2 has two of six
    rows = np.flatnonzero(gap)
    kept = evaluate(METRIC, predicted(crossed, crossed.d).subset(rows))
    np.testing.assert_array_equal(kept.undefined, codes.context[rows] == 2)
    few = np.flatnonzero(codes.context < 3)
    assert evaluate(METRIC, crossed.subset(few)).undefined.all()
    assert not grid(crossed.subset(few)).rows.size


def test_it_is_undefined_where_nobody_says_which_context_a_unit_is_in(make_evaluation):
    assert evaluate(METRIC, replace(make_evaluation(), crossed=None)).undefined.all()
