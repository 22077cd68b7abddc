"""Silhouettes against scikit-learn, neighbours against a loop, effective rank against its formula."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples

from bench.tracks.representation import geometry


@pytest.mark.parametrize("separation", [0.0, 0.3, 3.0])
def test_silhouettes_equal_sklearns(clusters, separation):
    z, condition, _ = clusters(7, 23, separation=separation)
    expected = silhouette_samples(z, condition, metric="cosine")
    np.testing.assert_allclose(geometry.silhouettes(z, condition), expected, atol=1e-9)
    by_condition = np.mean([expected[condition == c].mean() for c in range(7)])
    assert geometry.macro_silhouette(z, condition, 1) == pytest.approx(by_condition)


def test_silhouettes_of_odd_embeddings_equal_sklearns(clusters):
    z, condition, _ = clusters(5, 12)
    condition = condition.copy()
    condition[np.flatnonzero(condition == 3)[1:]] = 4  # a condition of one cell
    z[:3] = 0  # cells at the origin
    np.testing.assert_allclose(
        geometry.silhouettes(z, condition), silhouette_samples(z, condition, metric="cosine"), atol=1e-9
    )


def test_many_cells_are_drawn_from_and_few_are_not(clusters, monkeypatch):
    z, condition, _ = clusters(6, 40, separation=0.5)
    whole = geometry.macro_silhouette(z, condition, 1)
    assert whole == geometry.macro_silhouette(z, condition, 2)
    monkeypatch.setattr(geometry, "MAX_CELLS", 120)
    drawn = geometry.macro_silhouette(z, condition, 1)
    assert drawn != whole
    assert drawn == pytest.approx(whole, abs=0.02)


def test_one_label_has_no_silhouette(clusters):
    z, condition, _ = clusters()
    assert geometry.macro_silhouette(z, np.zeros_like(condition), 1) is None


def brute_purity(z, condition, batch, k):
    several = len(set(batch.tolist())) > 1
    shares, chances = {}, {}
    for i in range(len(z)):
        others = [j for j in range(len(z)) if (batch[j] != batch[i] if several else j != i)]
        nearest = sorted(others, key=lambda j: -float(z[i] @ z[j]))[:k]
        shares.setdefault(condition[i], []).append(np.mean([condition[j] == condition[i] for j in nearest]))
        chances.setdefault(condition[i], []).append(np.mean([condition[j] == condition[i] for j in others]))
    return tuple(np.mean([np.mean(v) for v in part.values()]) for part in (shares, chances))


@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("k", [15, 500])
def test_purity_equals_a_loop(clusters, batches, k):
    z, condition, batch = clusters(6, 25, batches=batches, separation=0.5, batch_effect=0.4)
    assert geometry.knn_purity(z, condition, batch, 1, k) == pytest.approx(brute_purity(z, condition, batch, k))


def test_purity_of_clusters_is_one_and_of_a_constant_is_chance(clusters):
    z, condition, batch = clusters(6, 60, separation=50)
    assert geometry.knn_purity(z, condition, batch, 1)[0] == 1
    purity, chance = geometry.knn_purity(np.zeros_like(z), condition, batch, 1)
    assert purity == pytest.approx(chance)


def test_effective_rank_of_an_isotropic_embedding_is_its_width():
    rng = np.random.default_rng(0)
    orthonormal = np.linalg.qr(rng.normal(size=(200, 12)))[0]
    assert geometry.effective_rank(orthonormal) == pytest.approx(12)
    assert geometry.effective_rank(rng.normal(size=(300, 1)) * rng.normal(size=12)) == pytest.approx(1, abs=1e-6)
    assert geometry.effective_rank(np.zeros((50, 12))) is None


def test_effective_rank_follows_its_formula():
    rng = np.random.default_rng(0)
    basis, singular = np.linalg.qr(rng.normal(size=(90, 3)))[0], np.array([4.0, 2.0, 1.0])
    p = singular / 7
    expected = 1 / np.prod(p**p)
    assert geometry.effective_rank(basis * singular) == pytest.approx(expected)
    assert geometry.effective_rank((basis * singular).T) == pytest.approx(expected)  # fewer cells than dimensions
