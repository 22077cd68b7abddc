"""Probes against scikit-learn's logistic regression, and the cuts they are tuned and reported on."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score

from bench.tracks.representation import probes


@pytest.mark.parametrize("strength", [1e-2, 1.0, 1e2])
def test_softmax_regression_equals_sklearns(clusters, strength):
    z, y, _ = clusters(6, 30, width=8, separation=0.7)
    x = z * np.sqrt(8)
    theirs = LogisticRegression(C=strength, max_iter=5000, tol=1e-10).fit(x, y)
    ours = probes.fit_softmax(x, y, 6, strength, steps=5000)
    np.testing.assert_allclose(ours[:-1].T, theirs.coef_, atol=5e-3 * max(1, strength**0.5))
    mine = probes.predict(ours, x)
    mine = np.exp(mine - mine.max(axis=1, keepdims=True))
    np.testing.assert_allclose(mine / mine.sum(axis=1, keepdims=True), theirs.predict_proba(x), atol=2e-3)


def test_probe_scores_equal_sklearns_at_the_strength_it_would_choose(clusters):
    z, y, batch = clusters(8, 40, separation=0.5)
    part = probes.cut(y, batch, 1)
    x = z * np.sqrt(z.shape[1])
    best = max(
        (LogisticRegression(C=c, max_iter=5000).fit(x[part == 0], y[part == 0]) for c in probes.STRENGTHS),
        key=lambda model: balanced_accuracy_score(y[part == 1], model.predict(x[part == 1])),
    )
    scores = best.decision_function(x[part == 2])
    found = probes.condition_probe(z, y, batch, 1)
    assert found.accuracy == pytest.approx(balanced_accuracy_score(y[part == 2], scores.argmax(axis=1)), abs=0.04)
    equal = np.bincount(y[part == 2])
    assert equal.min() == equal.max()  # then the macro mean is the mean
    assert found.top5 == pytest.approx(top_k_accuracy_score(y[part == 2], scores, k=5), abs=0.04)
    assert (found.majority, found.top5_majority) == (1 / 8, 5 / 8)


def test_macro_top_equals_sklearns_balanced_accuracy():
    rng = np.random.default_rng(0)
    y, logits = rng.choice(6, 300, p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.05]), rng.normal(size=(300, 6))
    assert probes.macro_top(logits, y, 1) == pytest.approx(balanced_accuracy_score(y, logits.argmax(axis=1)))
    assert probes.macro_top(np.zeros((300, 6)), y, 1) == pytest.approx(1 / 6)


@pytest.mark.parametrize("batches", [1, 2, 4, 10])
def test_cells_are_cut_60_20_20_by_groups(clusters, batches):
    _, condition, batch = clusters(5, 50, batches=batches)
    part = probes.cut(condition, batch, 1)
    for c in range(5):
        shares = np.bincount(part[condition == c], minlength=3) / 50
        np.testing.assert_allclose(shares, [0.5, 0.25, 0.25] if batches == 4 else [0.6, 0.2, 0.2], atol=0.03)
        for b in range(batches):
            group = part[(condition == c) & (batch == b)]
            assert (len(set(group.tolist())) == 1) == (batches >= probes.MIN_BATCHES)


def test_random_embeddings_are_at_chance_and_clusters_are_found(clusters):
    z, condition, batch = clusters(20, 50, separation=0)
    found = probes.condition_probe(z, condition, batch, 1)
    assert found.accuracy == pytest.approx(found.majority, abs=0.04)
    assert found.top5 == pytest.approx(found.top5_majority, abs=0.09)
    assert probes.condition_probe(*clusters(20, 50, separation=20), 1).accuracy == 1


def test_the_batch_probe_finds_batches_where_there_are_some(clusters):
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
