"""Scores of candidates: what is alike stays alike, and what all have in common is nothing."""

import numpy as np
import pytest

from bench.tracks.planning.scoring import Gallery, merged, unit

RNG = np.random.default_rng(1)


def gallery(shifts, step=1e-6):
    return Gallery.of(shifts, merged(shifts, step), np.ones(len(shifts), bool))


def test_equal_up_to_rounding_is_equal():
    rows = RNG.normal(size=(5, 40))
    which = RNG.integers(0, 5, 30)
    noisy = (3 + rows[which]).astype(np.float32).astype(np.float64) + RNG.uniform(-1, 1, (30, 40)) * 2e-7
    first = merged(noisy, 1e-6)
    assert [which[i] for i in first] == which.tolist()
    assert len(set(first.tolist())) == len(set(which.tolist()))
    assert merged(rows, 1e-6).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_cannot_tell_candidates_apart(dtype):
    """What float32 keeps of a constant differs from cell to cell; as directions, such remainders are anything."""
    expression = np.tile(RNG.exponential(1, 50), (20, 1))
    jitter = RNG.normal(size=(20, 50)) * (1e-7 if dtype is np.float32 else 1e-15)
    shifts = (expression + jitter).astype(dtype).astype(np.float64) - RNG.exponential(1, 50)
    made, queries = gallery(shifts), RNG.normal(size=(4, 50))
    for centre in (None, RNG.normal(size=50)):
        for found in (made.scores(queries, centre), made.distances(queries, centre)):
            assert (found == found[:, :1]).all()


def test_adding_any_vector_to_all_predictions_changes_nothing_once_it_is_taken_off():
    shifts, queries, centre = RNG.normal(size=(9, 30)), RNG.normal(size=(4, 30)), RNG.normal(size=30)
    moved = gallery(shifts + 10 * RNG.normal(size=30))
    plain = gallery(shifts)
    np.testing.assert_allclose(moved.scores(queries, centre), plain.scores(queries, centre), atol=1e-12)
    np.testing.assert_allclose(moved.distances(queries, centre), plain.distances(queries, centre), atol=1e-10)
    assert np.abs(moved.scores(queries) - plain.scores(queries)).max() > 0.1


def test_cosines_and_distances_by_hand():
    made = Gallery(np.array([[3.0, 4.0], [0.0, 0.0], [-1.0, 0.0]]), np.array([True, True, False]))
    scores = made.scores(np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(scores, [[0.6, 0.0, -np.inf]])
    np.testing.assert_allclose(made.distances(np.array([[1.0, 0.0]])), [[20.0, 1.0, np.inf]])
    # Centred on the two that are known: (1.5, 2) and (-1.5, -2); of the query (1, 0) less (1, 1) is left (0, -1).
    np.testing.assert_allclose(made.scores(np.array([[1.0, 0.0]]), np.ones(2)), [[-0.8, 0.8, -np.inf]])


def test_no_length_is_no_direction():
    assert unit(np.array([[0.0, 0.0], [0.0, 2.0]])).tolist() == [[0.0, 0.0], [0.0, 1.0]]
