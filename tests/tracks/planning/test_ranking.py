"""Places and measures against an enumeration of all orders of tied candidates, and chance as it is."""

from itertools import pairwise, permutations

import numpy as np
import pytest

from bench.tracks.planning.ranking import MEASURES, Places, chance, measure, places, within_strata


def enumerated(scores, own, name):
    """Mean of a measure over all orders of the candidates that agree with their scores."""
    n, found = len(scores), []
    for order in permutations(range(n)):
        if all(scores[a] >= scores[b] for a, b in pairwise(order)):
            rank = order.index(own) + 1
            hit = int(name.removeprefix("hit") or 0) if name.startswith("hit") else 0
            value = {"mrr": 1 / rank, "rank": (rank - 1) / (n - 1)}.get(name, float(rank <= hit))
            found.append(value)
    return np.mean(found)


@pytest.mark.parametrize("name", [*MEASURES, "hit2", "hit3"])
def test_ties_take_the_mean_of_the_measure_over_all_orders(name):
    scores = np.array([[0.5, 0.9, 0.5, 0.1, 0.5, 0.1], [0.0] * 6, [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]])
    found = measure(name, places(scores), 6)
    for q in range(3):
        for c in range(6):
            assert found[q, c] == pytest.approx(enumerated(scores[q], c, name), abs=1e-12)
    assert found[1] == pytest.approx([chance(name, 6)] * 6, abs=1e-12)


def test_the_expected_rank_would_not_do():
    """Of three tied candidates the mean reciprocal rank is 11/18, the reciprocal of the mean rank 1/2."""
    assert measure("mrr", Places(np.array([0]), np.array([3])), 3) == pytest.approx([11 / 18])


@pytest.mark.parametrize("name", MEASURES)
def test_any_order_that_looks_at_no_query_is_chance_where_every_candidate_is_asked_once(name):
    scores = np.tile(np.random.default_rng(0).integers(0, 4, 11).astype(float), (11, 1))
    found = measure(name, places(scores).of(np.arange(11)), 11).mean()
    assert found == pytest.approx(chance(name, 11), abs=1e-12)


def test_rounding_is_no_order_and_the_unknown_are_last():
    scores = np.array([[0.3, 0.3 + 1e-12, -np.inf, 0.2, -np.inf]])
    found = places(scores)
    assert found.above.tolist() == [[0, 0, 3, 2, 3]] and found.tied.tolist() == [[2, 2, 2, 1, 2]]


def test_the_null_is_the_mean_over_candidates_of_the_same_stratum():
    values = np.array([[1.0, 0.5, 0.2], [0.4, 1.0, 0.1], [0.0, 0.3, 1.0]])
    mean, p = within_strata(values, np.arange(3), np.array([1, 1, 2]), 0)
    assert mean == pytest.approx((0.75 + 0.7 + 1.0) / 3)
    assert p == pytest.approx(0.5, abs=0.06)  # one of two orders within the stratum is as good
    assert within_strata(np.ones((3, 3)), np.arange(3), np.array([1, 1, 2]), 0)[1] == 1.0
