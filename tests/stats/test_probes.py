"""Probes against another solver and scikit-learn's recall, and the cuts they are tuned and reported on."""

import numpy as np
import pytest
from clusters import clusters
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, recall_score, top_k_accuracy_score

from bench.stats import probes


def fit_by_gradient(x, y, n, strength):
    """Multinomial logistic regression by a second-order solver: an independent minimum of the same objective."""

    def loss(flat):
        w = flat.reshape(x.shape[1] + 1, n)
        logits = x @ w[:-1] + w[-1]
        total = logsumexp(logits, axis=1)
        p = np.exp(logits - total[:, None])
        p[np.arange(len(y)), y] -= 1
        value = strength * (total - logits[np.arange(len(y)), y]).sum() + (w[:-1] ** 2).sum() / 2
        return value, np.vstack([strength * x.T @ p + w[:-1], strength * p.sum(axis=0)]).ravel()

    found = minimize(loss, np.zeros((x.shape[1] + 1) * n), jac=True, method="BFGS", options={"gtol": 1e-6}).x
    return found.reshape(x.shape[1] + 1, n)


@pytest.mark.parametrize("strength", [1e-2, 1.0])
def test_scores_are_those_of_penalised_multinomial_regression(monkeypatch, strength):
    z, y, _ = clusters(4, 30, width=5, separation=0.7)
    x, part = z * np.sqrt(5), np.arange(len(y)) % 3
    monkeypatch.setattr(probes, "STRENGTHS", (strength,))
    scores = probes.tuned_scores(x, y, part, 4)
    w = fit_by_gradient(x[part == 0], y[part == 0], 4, strength)
    expected = x[part == 2] @ w[:-1] + w[-1]
    np.testing.assert_allclose(softmax(scores, axis=1), softmax(expected, axis=1), atol=2e-3)


def test_the_strength_is_chosen_on_validation_cells(monkeypatch):
    z, y, batch = clusters(8, 40, separation=0.5)
    part, x = probes.cut(y, batch, 1), z * np.sqrt(z.shape[1])

    def scores(strengths):
        monkeypatch.setattr(probes, "STRENGTHS", strengths)
        return probes.tuned_scores(x, y, part, 8)

    def accuracy(c):
        model = LogisticRegression(C=c, max_iter=2000).fit(x[part == 0], y[part == 0])
        return balanced_accuracy_score(y[part == 1], model.predict(x[part == 1]))

    every = probes.STRENGTHS
    best = max(every, key=accuracy)  # the first = strongest penalty of equals
    np.testing.assert_allclose(softmax(scores(every), axis=1), softmax(scores((best,)), axis=1), atol=0.01)
    found = probes.unit_probe(z, y, batch, 1)
    predicted = scores(every).argmax(axis=1)
    np.testing.assert_allclose(found.accuracy, recall_score(y[part == 2], predicted, average=None), atol=0.06)
    assert (found.majority, found.top5_majority) == (1 / 8, 5 / 8)


def test_two_classes_and_classes_without_a_cell_to_fit_are_scored():
    z, y, batch = clusters(2, 60, separation=20)
    assert probes.unit_probe(z, y, batch, 1).accuracy.tolist() == [1, 1]
    z, y, _ = clusters(4, 30, separation=20)
    part = np.arange(len(y)) % 3
    part[(y == 2) & (part == 0)] = 1
    scores = probes.tuned_scores(z * 4, y, part, 4)
    assert np.isneginf(scores[:, 2]).all() and np.isfinite(scores[:, [0, 1, 3]]).all()
    assert probes.recall_at(scores, y[part == 2], 1).tolist() == [1, 1, 0, 1]


def test_recall_equals_sklearns():
    rng = np.random.default_rng(0)
    y, scores = rng.choice(6, 300, p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.05]), rng.normal(size=(300, 6))
    expected = recall_score(y, scores.argmax(axis=1), average=None)
    np.testing.assert_allclose(probes.recall_at(scores, y, 1), expected, atol=1e-12)
    weighted = probes.recall_at(scores, y, 5) @ np.bincount(y) / len(y)
    assert weighted == pytest.approx(top_k_accuracy_score(y, scores, k=5))
    np.testing.assert_allclose(probes.recall_at(np.zeros((300, 6)), y, 1), 1 / 6)  # tied
    assert np.isnan(probes.recall_at(scores, np.zeros_like(y), 1)[1:]).all()


@pytest.mark.parametrize("batches", [1, 2, 4, 10])
def test_cells_are_cut_60_20_20_by_groups(batches):
    _, condition, batch = clusters(5, 50, batches=batches)
    part = probes.cut(condition, batch, 1)
    for c in range(5):
        shares = np.bincount(part[condition == c], minlength=3) / 50
        np.testing.assert_allclose(shares, [0.5, 0.25, 0.25] if batches == 4 else [0.6, 0.2, 0.2], atol=0.03)
        for b in range(batches):
            group = part[(condition == c) & (batch == b)]
            assert (len(set(group.tolist())) == 1) == (batches >= probes.MIN_BATCHES)


def test_random_embeddings_are_at_chance_and_clusters_are_found():
    z, condition, batch = clusters(20, 50, separation=0)
    found = probes.unit_probe(z, condition, batch, 1)
    assert found.accuracy.mean() == pytest.approx(found.majority, abs=0.04)
    assert found.top5.mean() == pytest.approx(found.top5_majority, abs=0.09)
    assert (probes.unit_probe(*clusters(20, 50, separation=20), 1).accuracy == 1).all()


def test_the_batch_probe_finds_batches_where_there_are_some():
    z, _, batch = clusters(1, 400, separation=0, batch_effect=5.0)
    accuracy, majority, scaled = probes.batch_probe(z, batch, 1)
    assert accuracy > 0.95
    assert majority == 0.25
    assert scaled == pytest.approx((accuracy - 0.25) / 0.75)
    z, _, batch = clusters(1, 400, separation=0)
    assert probes.batch_probe(z, batch, 1)[2] == pytest.approx(0, abs=0.08)
    assert probes.batch_probe(z, np.zeros_like(batch), 1) is None
    lonely = np.zeros_like(batch)
    lonely[:5] = 1
    assert probes.batch_probe(z, lonely, 1) is None


def test_the_batch_probe_is_reported_on_cells_it_was_not_fitted_on():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(120, 100))  # wide enough to learn any labels of the cells it sees by heart
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    assert probes.batch_probe(z, rng.integers(0, 3, 120), 1)[2] < 0.25
