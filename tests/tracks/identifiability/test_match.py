"""Matching and signs are fitted on other cells than they are judged on: truth has 1, noise 0."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from bench.tracks.identifiability.match import correlations, match, mean_correlation, ranked, signed, within


def halves(n):
    return np.arange(n) % 2 == 0


def test_permuted_and_scaled_truth_has_one():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(200, 6))
    for _ in range(5):
        order, scale = rng.permutation(6), rng.choice([-1, 1], 6) * np.exp(rng.normal(0, 2, 6))
        found = scale * z[:, order] + rng.normal(size=6)
        assert mean_correlation(z, found, halves(200)) == pytest.approx(1, abs=1e-9)
        matching = match(z, found)
        assert (order[matching.found] == matching.true).all()
        assert (matching.sign == np.sign(scale[matching.found])).all()


def test_noise_has_zero_in_expectation_and_the_usual_form_has_not():
    rng = np.random.default_rng(1)
    ours, usual = [], []
    for _ in range(200):
        z, found = rng.normal(size=(60, 5)), rng.normal(size=(60, 8))
        ours.append(mean_correlation(z, found, halves(60)))
        matching = match(z, found)
        usual.append(np.abs(signed(z, found, matching)).mean())
    assert abs(np.mean(ours)) < 4 * np.std(ours) / np.sqrt(200)
    assert np.mean(usual) > 0.1


def test_correlations_are_those_of_numpy_and_scipy_and_a_constant_has_none():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(50, 3)), np.round(rng.normal(size=(50, 4)), 1)
    assert np.allclose(correlations(a, b), np.corrcoef(a.T, b.T)[:3, 3:], atol=1e-10)
    assert np.allclose(correlations(ranked(a), ranked(b)), spearmanr(a, b).statistic[:3, 3:], atol=1e-10)
    b[:, 1] = 0.3
    assert (correlations(a, b)[:, 1] == 0).all()


def test_means_of_conditions_are_taken_out_as_pandas_would():
    rng = np.random.default_rng(3)
    a, code = rng.normal(size=(40, 2)), rng.integers(0, 5, 40)
    wanted = pd.DataFrame(a) - pd.DataFrame(a).groupby(code).transform("mean")
    assert np.allclose(within(a, code), wanted, atol=1e-12)


def test_a_true_latent_without_a_partner_counts_zero():
    rng = np.random.default_rng(4)
    z = rng.normal(size=(100, 4))
    assert mean_correlation(z, z[:, [2, 0]], halves(100)) == pytest.approx(0.5, abs=1e-9)


def test_the_matching_is_the_best_one_not_the_greedy_one():
    # Latent 0 is like both found ones, latent 1 only like the first: greedy would give the first to latent 0.
    rng = np.random.default_rng(5)
    e = rng.normal(size=(4000, 3))
    z = np.column_stack([e[:, 0], e[:, 1]])
    found = np.column_stack([1.0 * e[:, 0] + 0.9 * e[:, 1], 0.8 * e[:, 0] + 0.8 * e[:, 2]])
    assert match(z, found).found.tolist() == [1, 0]
