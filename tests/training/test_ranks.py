"""RankMe and LiDAR against independent formulas."""

import numpy as np
import pytest
from scipy.linalg import eigh
from scipy.stats import entropy
from sklearn.covariance import empirical_covariance
from sklearn.decomposition import TruncatedSVD

from bench.training.ranks import effective_rank, lidar, rankme


def latents(n=300, d=10, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) * np.arange(1, d + 1) + 3).astype(np.float32)


def test_rankme_against_the_spectrum_of_sklearn():
    z = latents()
    s = TruncatedSVD(9, algorithm="arpack", random_state=0).fit(z.astype(np.float64)).singular_values_
    # The tenth from the sum of squares, which is that of all entries.
    s = np.append(s, np.sqrt((z.astype(np.float64) ** 2).sum() - (s**2).sum()))
    assert rankme(z) == pytest.approx(np.exp(entropy(s)), rel=1e-4)


def test_rankme_is_the_effective_rank_where_there_is_no_common_mean():
    z = latents()
    centred = z - z.mean(axis=0)
    assert rankme(centred) == pytest.approx(effective_rank(centred), rel=1e-4)
    assert effective_rank(z + 100) == pytest.approx(effective_rank(z), rel=1e-3)
    assert rankme(z + 100) < 0.6 * rankme(centred)
    # All cells alike: one direction, that of the mean; nothing at all: one as well.
    assert rankme(np.full((50, 8), 3.0, dtype=np.float32)) == pytest.approx(1, abs=1e-3)
    assert rankme(np.zeros((50, 8), dtype=np.float32)) == 1


def surrogates(classes=200, each=6, between=(5.0, 5.0, 5.0, 1.0, 0.0), within=(1.0, 1.0, 1.0, 1.0, 1.0), seed=0):
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=(classes, 1, len(between))) * between
    return (mean + rng.normal(size=(classes, each, len(within))) * within).astype(np.float32)


def test_lidar_against_the_generalised_eigenvalues_of_scipy():
    views = surrogates(within=(1.0, 0.5, 2.0, 1.0, 3.0)) @ np.random.default_rng(1).normal(size=(5, 5))
    views = views.astype(np.float32)
    z = views.astype(np.float64)
    between = empirical_covariance(z.mean(axis=1)) * len(z) / (len(z) - 1)
    within = np.mean([np.cov(one, rowvar=False) for one in z], axis=0) + 1e-4 * np.eye(5)
    values = eigh(between, within, eigvals_only=True)
    assert lidar(views) == pytest.approx(np.exp(entropy(values)), rel=1e-4)


def test_lidar_counts_what_tells_cells_apart():
    # Three dimensions tell cells apart, one hardly, one not at all (its means vary by the views alone).
    assert lidar(surrogates()) == pytest.approx(3.3, abs=0.3)
    # A dimension as large as the others that only the views move: RankMe counts it, LiDAR does not.
    noisy = surrogates(between=(5.0, 5.0, 5.0, 0.0), within=(0.1, 0.1, 0.1, 5.0))
    assert lidar(noisy) == pytest.approx(3, abs=0.05)
    assert rankme(noisy.reshape(-1, 4)) > 3.9
    # No invertible map of the latents changes it, but for the ridge.
    mixed = (noisy @ np.random.default_rng(2).normal(size=(4, 4))).astype(np.float32)
    assert lidar(mixed) == pytest.approx(lidar(noisy), rel=1e-2)


def test_lidar_at_its_ends():
    assert lidar(np.ones((20, 3, 4), dtype=np.float32)) == 1
    one = surrogates(between=(5.0,) * 4, within=(0.0,) * 4, classes=500)  # views that are all alike
    assert lidar(one) == pytest.approx(4, abs=0.05)
    assert lidar(surrogates(classes=3, between=(5.0,) * 8, within=(0.1,) * 8)) < 2.01  # at most classes - 1
