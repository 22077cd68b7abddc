"""Regret on a table that can be worked out by hand, and distances without the noise of the means."""

import numpy as np
import pytest

from bench.tracks.planning.regret import chosen_distance, excess, room, scale_of, squared_distances

D_A = np.array([[4.0, 1.0, 2.0], [5.0, 9.0, 3.0]])  # best: 1, then 2
D_B = np.array([[3.0, 2.0, 1.0], [6.0, 8.0, 2.0]])
ALL = np.ones((2, 3), bool)


def test_by_hand():
    """First goal: the predictor takes candidate 0 (3 off), the other half would have taken 1 (2 off); no-op 6 off."""
    scores = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert excess(scores, D_A, D_B, ALL).tolist() == [1.0, 0.0]
    assert room(np.array([6.0, 10.0]), D_A, D_B, ALL).tolist() == [4.0, 8.0]


def test_tied_choices_count_by_their_mean_and_what_is_not_allowed_is_never_chosen():
    assert chosen_distance(np.zeros((2, 3)), D_B, ALL).tolist() == [2.0, 16 / 3]
    allowed = np.array([[True, False, True], [False, True, True]])
    assert chosen_distance(np.array([[0.0, 9.0, 0.0], [5.0, 1.0, 0.0]]), D_B, allowed).tolist() == [2.0, 8.0]
    unknown = np.full((2, 3), -np.inf)
    assert chosen_distance(unknown, D_B, allowed).tolist() == [2.0, 5.0]


def test_whoever_chooses_by_the_first_half_has_no_regret():
    assert excess(-D_A, D_A, D_B, ALL).tolist() == [0.0, 0.0]


def test_distances_of_means_are_unbiased():
    rng = np.random.default_rng(0)
    true_a, true_b = np.zeros((1, 30)), np.full((1, 30), 0.1)
    found = []
    for _ in range(1000):
        a, b = (true + rng.normal(0, 1, (10, 30)) for true in (true_a, true_b))
        noise = [np.array([x.var(axis=0, ddof=1).sum() / 10]) for x in (a, b)]
        found.append(squared_distances(a.mean(0)[None], noise[0], b.mean(0)[None], noise[1])[0, 0])
    assert np.mean(found) == pytest.approx(0.3, abs=4 * np.std(found) / np.sqrt(len(found)))
    assert np.mean(found) < 1  # the plain square would be 6.3


def test_where_nothing_helps_there_is_no_scale():
    assert scale_of(np.array([1.0, 1.1, 0.9, np.nan])) == pytest.approx(1.0)
    assert np.isnan(scale_of(np.array([-1.0, -1.1, -0.9])))
    assert np.isnan(scale_of(np.array([5.0, -4.0, 0.5])))
