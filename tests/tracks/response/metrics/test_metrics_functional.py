"""The formulas against scipy and scikit-learn, on random values and masks, and their invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, rankdata, spearmanr
from sklearn.metrics import mean_squared_error, r2_score

from bench.tracks.response.metrics import functional as F
from bench.tracks.response.metrics import ranking as O

seeds = st.integers(0, 2**32 - 1)


def draw(seed: int, conditions: int = 7, genes: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two value tables with ties, and a mask under which anything may hide."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(conditions, genes)).round(1)
    y = 0.5 * x + rng.normal(size=x.shape).round(1)
    mask = rng.random(x.shape) < 0.7
    mask[:, :3] = True
    x[0], y[0] = np.arange(genes), np.arange(genes)[::-1]
    x[~mask], y[~mask] = np.nan, np.inf
    return x, y, mask


@pytest.mark.parametrize("seed", range(5))
def test_against_scipy_and_sklearn(seed: int) -> None:
    x, y, mask = draw(seed)
    rows = range(len(x))
    oracles = {
        "pearson": (F.pearson(x, y, mask), [pearsonr(x[t, mask[t]], y[t, mask[t]])[0] for t in rows]),
        "spearman": (O.spearman(x, y, mask), [spearmanr(x[t, mask[t]], y[t, mask[t]])[0] for t in rows]),
        "r2": (
            F.r2(truth=x, prediction=y, weights=mask),
            [r2_score(x[t, mask[t]], y[t, mask[t]]) for t in rows],
        ),
        "mse": (F.mse(x, y, mask), [mean_squared_error(x[t, mask[t]], y[t, mask[t]]) for t in rows]),
        "mean": (F.weighted_mean(x, mask), [x[t, mask[t]].mean() for t in rows]),
        "sd": (F.weighted_sd(x, mask), [x[t, mask[t]].std() for t in rows]),
    }
    for name, (ours, oracle) in oracles.items():
        assert ours.shape == (len(x),) and ours.dtype == np.float64
        np.testing.assert_allclose(ours, oracle, rtol=1e-10, atol=1e-12, err_msg=name)
    for t in rows:
        np.testing.assert_array_equal(O.average_ranks(O.order(x, mask), mask)[t, mask[t]], rankdata(x[t, mask[t]]))


def test_weights_are_repeats() -> None:
    """A gene of weight 2 counts as two genes: the meaning of a fractional membership."""
    x, y, _ = draw(3)
    x, y = x[:, :3], y[:, :3]  # the unmasked part
    weights = np.tile([1.0, 2.0, 3.0], (len(x), 1))
    rx, ry = (np.repeat(v, [1, 2, 3], axis=1) for v in (x, y))
    once = np.ones(rx.shape, dtype=bool)
    np.testing.assert_allclose(F.pearson(x, y, weights), F.pearson(rx, ry, once), atol=1e-12)
    np.testing.assert_allclose(F.mse(x, y, weights), F.mse(rx, ry, once), atol=1e-12)
    np.testing.assert_allclose(
        F.r2(truth=x, prediction=y, weights=weights), F.r2(truth=rx, prediction=ry, weights=once), atol=1e-12
    )


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6, 1e-8])
def test_a_constant_has_no_correlation(value: float) -> None:
    """Whatever cancellation leaves of a constant must not be correlated."""
    rng = np.random.default_rng(0)
    x, constant = rng.normal(size=(3, 4001)), np.full((3, 4001), value)
    every = np.ones(x.shape, dtype=bool)
    assert np.isnan(F.pearson(x, constant, every)).all() and np.isnan(F.pearson(constant, x, every)).all()
    assert np.isnan(O.spearman(x, constant, every)).all()
    assert np.isnan(F.r2(truth=constant, prediction=x, weights=every)).all()


def test_nothing_to_look_at_is_nan() -> None:
    x = np.arange(6.0).reshape(2, 3)
    none, one = np.zeros((2, 3), dtype=bool), np.zeros((2, 3), dtype=bool)
    one[:, 1] = True
    for mask in (none, one):
        assert np.isnan(F.pearson(x, x, mask)).all() and np.isnan(O.spearman(x, x, mask)).all()
        assert np.isnan(F.r2(truth=x, prediction=x, weights=mask)).all()
    assert np.isnan(F.mse(x, x, none)).all()


@given(seed=seeds, k=st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_top_k(seed: int, k: int) -> None:
    x, _, mask = draw(seed)
    member = O.top_k(O.order(np.where(mask, x, 1e9), mask), k).dense(x.shape[1])
    for t in range(len(x)):
        scores = x[t, mask[t]]
        if len(scores) < k:
            assert np.isnan(member[t]).any()
            continue
        assert member[t].sum() == pytest.approx(k) and (member[t, ~mask[t]] == 0).all()
        # Independent: gene g is in with certainty if fewer than k are at least as high, out if k are higher.
        higher, level = (scores > scores[:, None]).sum(1), (scores == scores[:, None]).sum(1)
        np.testing.assert_allclose(member[t, mask[t]], np.clip((k - higher) / level, 0, 1), atol=1e-12)


def test_top_k_is_the_expectation_over_random_tie_breaking() -> None:
    rng = np.random.default_rng(0)
    score = np.array([[3.0, 1.0, 1.0, 1.0, 0.0, 2.0]])
    every = np.ones(score.shape, dtype=bool)
    drawn = np.zeros(6)
    for _ in range(4000):
        drawn[np.lexsort((rng.random(6), -score[0]))[:3]] += 1 / 4000
    np.testing.assert_allclose(O.top_k(O.order(score, every), 3).dense(6)[0], drawn, atol=0.03)


def test_top_k_refuses_zero() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        O.top_k(O.order(np.ones((1, 3)), np.ones((1, 3), dtype=bool)), 0)


@given(seed=seeds, scale=st.floats(1e-3, 1e3), offset=st.floats(-10, 10))
@settings(max_examples=50, deadline=None)
def test_invariances_of_correlation(seed: int, scale: float, offset: float) -> None:
    x, y, mask = draw(seed)
    np.testing.assert_allclose(F.pearson(scale * x + offset, y, mask), F.pearson(x, y, mask), atol=1e-9)
    np.testing.assert_allclose(F.pearson(-x, y, mask), -F.pearson(x, y, mask), atol=1e-12)
    np.testing.assert_allclose(O.spearman(np.exp(x), y, mask), O.spearman(x, y, mask), atol=1e-12)
