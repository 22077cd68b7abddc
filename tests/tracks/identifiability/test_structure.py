"""Masks, causes and doubles, against tables that can be worked out by hand."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from bench.tracks.identifiability.match import Matching
from bench.tracks.identifiability.structure import double_error, f1, hamming, mask_f1

SAME = Matching(np.arange(3), np.arange(3), np.ones(3))
TURNED = Matching(np.arange(3), np.array([2, 0, 1]), np.ones(3))


def test_f1_is_that_of_sklearn():
    rng = np.random.default_rng(0)
    for _ in range(5):
        a, b = rng.random((2, 6, 4)) < 0.4
        assert f1(a, b) == pytest.approx(f1_score(a.ravel(), b.ravel()), abs=1e-12)
    assert f1(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 1


def test_a_right_mask_has_one_in_any_order_and_scale():
    rng = np.random.default_rng(1)
    true = rng.random((40, 3)) < 0.3
    true[:3] = np.eye(3, dtype=bool)
    size = true * rng.uniform(0.8, 1.2, true.shape)
    assert mask_f1(true, size, SAME) == 1
    found = np.empty_like(size)
    found[:, TURNED.found] = size * [1.0, 100.0, 0.01]
    assert mask_f1(true, found, TURNED) == 1
    # The wrong latents: as a random mask, whatever threshold is chosen.
    assert mask_f1(true, found, SAME) < 0.75
    # Everything on: twice the share over one plus it.
    share = true.mean()
    assert mask_f1(true, np.ones(true.shape), SAME) == pytest.approx(2 * share / (1 + share), abs=0.05)


def test_edges_that_lack_are_too_many_or_turned_count_once_each():
    true = np.array([[0, 0, 0], [1.0, 0, 0], [0, 1.0, 0]])
    assert hamming(true, true, SAME) == 0
    assert hamming(true, np.zeros((3, 3)), SAME) == 2
    assert hamming(true, true.T, SAME) == 2
    assert hamming(true, np.array([[0, 0, 0], [1.0, 0, 0], [1.0, 1.0, 0]]), SAME) == 1
    turned = np.zeros((3, 3))
    turned[np.ix_(TURNED.found, TURNED.found)] = true
    assert hamming(true, turned, TURNED) == 0
    assert hamming(true, 0.1 * true, SAME) == 2  # too weak to be said


def test_doubles_are_measured_in_units_of_what_singles_did():
    singles = np.array([[2.0, 0, 0], [0, 3.0, 0], [0, 0, -4.0]])
    doubles = np.array([[2.0, 3.0, 0], [0, 3.0, -4.0]])
    scale = np.array([10.0, -0.1, 3.0])
    assert double_error(doubles, scale * doubles, singles, scale * singles, SAME) == pytest.approx(0, abs=1e-9)
    assert double_error(doubles, 0 * doubles, singles, scale * singles, SAME) == pytest.approx(1, abs=1e-9)
    half = double_error(doubles, 0.5 * scale * doubles, singles, scale * singles, SAME)
    assert half == pytest.approx(0.5, abs=1e-9)
