"""`state_r` by hand and against residuals of a two-way linear model, and `composition_change` by simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.stats.cellstates import composition_change
from bench.tracks.response.metrics import METRICS, Evaluation, StateShifts, evaluate
from bench.tracks.response.metrics.state import contrasts

METRIC = METRICS["state_r"]


def test_contrasts_by_hand():
    """Two units, two states, three genes: gene 0 moves in one of each, gene 1 in a unit, gene 2 in a state."""
    x = np.zeros((2, 2, 3))
    x[0, 0, 0], x[0, :, 1], x[:, 1, 2] = 4.0, 5.0, 7.0
    left = np.array([[1.0, -1.0], [-1.0, 1.0]])  # 4 - 2 - 2 + 1 = 1, and so on; genes 1 and 2 vanish
    expected = left[:, :, None] * (np.array([1.0, 0.0, 0.0]) - 1 / 3)
    np.testing.assert_allclose(contrasts(x), expected, atol=1e-15)


@pytest.fixture
def random_states(make_evaluation) -> Evaluation:
    rng = np.random.default_rng(5)
    base = make_evaluation(conditions=9, genes=50)
    true = rng.normal(0, 0.4, (9, 3, 50)).astype(np.float32)
    return replace(base, states=StateShifts(true, (true + rng.normal(0, 0.4, true.shape)).astype(np.float32)))


def residuals(shifts: np.ndarray) -> np.ndarray:
    """What a least-squares fit of a number per unit and one per state leaves ``[n, K, G]``."""
    n, k, genes = shifts.shape
    design = np.hstack([np.kron(np.eye(n), np.ones((k, 1))), np.kron(np.ones((n, 1)), np.eye(k))])
    x = shifts.reshape(-1, genes).astype(np.float64)
    return (x - design @ np.linalg.lstsq(design, x, rcond=None)[0]).reshape(n, k, genes)


def test_it_is_the_mean_correlation_of_what_a_two_way_model_leaves(random_states):
    case, states = random_states, random_states.states
    read = case.gallery_scored
    a, b = residuals(states.true[:, :, read]), residuals(states.predicted[:, :, read])
    expected = [np.mean([np.corrcoef(a[t, s], b[t, s])[0, 1] for s in range(3)]) for t in range(9)]
    np.testing.assert_allclose(evaluate(METRIC, case).values, expected, atol=1e-9)
    # Units without cells in a state are left out on both sides.
    holes = states.true.copy()
    holes[[2, 5], 1] = np.nan
    left = evaluate(METRIC, replace(case, states=StateShifts(holes, states.predicted)))
    np.testing.assert_array_equal(np.flatnonzero(left.undefined), [2, 5])
    rest = case.subset([0, 1, 3, 4, 6, 7, 8])
    rest = replace(rest, gallery_scored=read)
    np.testing.assert_allclose(left.values[~left.undefined], evaluate(METRIC, rest).values, atol=1e-12)


def test_one_shift_for_all_states_is_degenerate_and_no_states_are_undefined(random_states):
    case, true = random_states, random_states.states.true
    alike = np.repeat(true.mean(axis=1, keepdims=True), 3, axis=1) + true.mean(axis=0)
    found = evaluate(METRIC, replace(case, states=StateShifts(true, alike)))
    assert found.degenerate.all() and not found.values.any()
    assert evaluate(METRIC, replace(case, states=None)).undefined.all()
    assert evaluate(METRIC, case.subset([0, 1, 2])).undefined.all(), "three units are too few"
    with pytest.raises(ValueError, match="not finite"):
        StateShifts(true, np.full_like(true, np.nan))


def test_share_of_cells_that_change_state_is_not_made_of_sampling():
    rng = np.random.default_rng(0)
    before = np.array([0.5, 0.3, 0.2])
    for after, share in ((before, 0.0), (np.array([0.2, 0.6, 0.2]), 0.3), (np.array([0.5, 0.2, 0.3]), 0.1)):
        found = composition_change(rng.multinomial(200, after, 4000).astype(float), 2000 * before)
        assert found.mean() == pytest.approx(share, abs=0.03), share
    assert composition_change(np.array([[10.0, 0.0]]), np.array([0.0, 10.0]))[0] == 1.0
