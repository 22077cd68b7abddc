"""Pairs: overlap, and a shortlist whose end is not decided by the order of a list."""

import numpy as np

from bench.tracks.planning.pairs import overlaps, shortlisted
from bench.tracks.planning.ranking import places


def test_overlap_by_hand():
    assert overlaps(np.array([[0, 1], [1, 2], [2, 3]])).tolist() == [[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]]


def test_the_shortlist_is_ranked_by_the_predictor_and_the_rest_stays_behind():
    cheap = np.array([[0.9, 0.8, 0.1, 0.0, -0.5]])
    full = np.array([[0.1, 0.2, 0.99, 0.5, 0.9]])
    assert places(shortlisted(cheap, full, 2)).above.tolist() == [[1, 0, 2, 3, 4]]
    assert places(shortlisted(cheap, full, 5)).above.tolist() == places(full).above.tolist()


def test_what_is_tied_with_the_last_is_called_too():
    full = np.array([[0.1, 0.2, 0.3, 0.4]])
    assert places(shortlisted(np.zeros((1, 4)), full, 2)).above.tolist() == [[3, 2, 1, 0]]
    unknown = np.array([[0.5, -np.inf, -np.inf, -np.inf]])
    assert places(shortlisted(unknown, np.array([[0.1, -np.inf, -np.inf, -np.inf]]), 1)).tied.tolist() == [[1, 3, 3, 3]]
