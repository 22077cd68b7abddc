"""Silhouettes against their definition, neighbours against a loop, effective rank against its formula."""

import numpy as np
import pytest
from clusters import clusters

from bench.stats import geometry


def rousseeuw(z, label):
    """Silhouettes by their definition, one cell after the other; distance = 1 - cosine."""
    cosine = z @ z.T
    out = []
    for i in range(len(z)):
        distance = {c: 1 - cosine[i, (label == c) & (np.arange(len(z)) != i)] for c in set(label.tolist())}
        if not len(distance[label[i]]):
            out.append(0.0)
            continue
        a = distance.pop(label[i]).mean()
        b = min(others.mean() for others in distance.values())
        out.append((b - a) / max(a, b))
    return np.array(out)


@pytest.mark.parametrize("separation", [0.0, 0.3, 3.0])
def test_silhouettes_follow_their_definition(separation):
    z, condition, _ = clusters(7, 23, separation=separation)
    expected = rousseeuw(z, condition)
    np.testing.assert_allclose(geometry.silhouettes(z, condition), expected, atol=1e-9)
    by_condition = [expected[condition == c].mean() for c in range(7)]
    np.testing.assert_allclose(geometry.label_silhouettes(z, condition, 1), by_condition, atol=1e-9)


def test_silhouettes_of_odd_embeddings_follow_their_definition():
    z, condition, _ = clusters(5, 12)
    condition = condition.copy()
    condition[np.flatnonzero(condition == 3)[1:]] = 4  # a condition of one cell
    z[:3] = 0  # cells at the origin
    np.testing.assert_allclose(geometry.silhouettes(z, condition), rousseeuw(z, condition), atol=1e-9)


def test_cells_at_no_distance_have_silhouette_0():
    z, condition, _ = clusters(4, 10)
    same = np.repeat(z[:1], len(z), axis=0) * (1 + 1e-13 * np.arange(len(z))[:, None])  # distances of rounding size
    assert (geometry.silhouettes(np.zeros_like(z), condition) == 0).all()
    assert (geometry.silhouettes(same, condition) == 0).all()
    assert (geometry.silhouettes(z[:4], np.arange(4)) == 0).all()  # every cell alone in its cluster


def test_many_cells_are_drawn_from_and_few_are_not(monkeypatch):
    z, condition, _ = clusters(6, 40, separation=0.5)
    whole = geometry.label_silhouettes(z, condition, 1)
    assert whole.tolist() == geometry.label_silhouettes(z, condition, 2).tolist()
    monkeypatch.setattr(geometry, "MAX_CELLS", 120)
    drawn = geometry.label_silhouettes(z, condition, 1)
    assert (drawn != whole).all()
    np.testing.assert_allclose(drawn, whole, atol=0.05)


def test_a_label_that_no_draw_holds_has_no_silhouette(monkeypatch):
    z, condition, _ = clusters(6, 40)
    monkeypatch.setattr(geometry, "MAX_CELLS", 3)
    monkeypatch.setattr(geometry, "DRAWS", 1)
    assert 3 <= np.isnan(geometry.label_silhouettes(z, condition, 1)).sum() < 6


def test_one_label_has_no_silhouette():
    z, condition, _ = clusters()
    assert np.isnan(geometry.label_silhouettes(z, np.zeros_like(condition), 1)).all()


def brute_purity(z, condition, batch, k):
    several = len(set(batch.tolist())) > 1
    shares, chances = {}, {}
    for i in range(len(z)):
        others = [j for j in range(len(z)) if (batch[j] != batch[i] if several else j != i)]
        nearest = sorted(others, key=lambda j: -float(z[i] @ z[j]))[:k]
        shares.setdefault(condition[i], []).append(np.mean([condition[j] == condition[i] for j in nearest]))
        chances.setdefault(condition[i], []).append(np.mean([condition[j] == condition[i] for j in others]))
    return tuple([np.mean(part[c]) for c in sorted(part)] for part in (shares, chances))


@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("k", [15, 500])
def test_purity_equals_a_loop(batches, k):
    z, condition, batch = clusters(6, 25, batches=batches, separation=0.5, batch_effect=0.4)
    for found, expected in zip(geometry.knn_purity(z, condition, batch, 1, k), brute_purity(z, condition, batch, k)):
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_purity_of_clusters_is_one_and_of_a_constant_is_chance():
    z, condition, batch = clusters(6, 60, separation=50)
    assert (geometry.knn_purity(z, condition, batch, 1)[0] == 1).all()
    purity, chance = geometry.knn_purity(np.zeros_like(z), condition, batch, 1)
    np.testing.assert_allclose(purity, chance, atol=1e-12)
    assert np.isnan(geometry.knn_purity(z[:1], condition[:1] * 0, batch[:1], 1)).all()  # no neighbour at all


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
