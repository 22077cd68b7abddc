"""Mean shifts against pandas."""

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bench.core.conditions import identity
from bench.stats import shifts
from bench.stats.shifts import additive, expressing_cells, group_sums, shifts_by_identity, train_mean, weighted_controls


def test_group_sums_equal_pandas():
    rng = np.random.default_rng(0)
    dense = rng.poisson(0.5, (200, 7)).astype(np.float32)
    group = rng.integers(-1, 4, 200)
    sums, squares, cells = group_sums(sp.csr_matrix(dense), group, 5)
    frame = pd.DataFrame(dense.astype(np.float64)).groupby(group)
    np.testing.assert_allclose(sums[:4], frame.sum().drop(-1), atol=1e-12)
    np.testing.assert_allclose(
        squares[:4], (frame.var() * (frame.count() - 1) + frame.sum() ** 2 / frame.count()).drop(-1), atol=1e-12
    )
    np.testing.assert_array_equal(cells, [(group == k).sum() for k in range(5)])
    assert not sums[4].any()  # an empty group sums to nothing


def test_blocks_of_cells_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    x, group = sp.csr_matrix(rng.poisson(0.5, (50, 7)).astype(np.float32)), rng.integers(-1, 4, 50)
    whole = group_sums(x, group, 4)
    monkeypatch.setattr(shifts, "_BLOCK_VALUES", 20)
    for a, b in zip(group_sums(x, group, 4), whole, strict=True):
        np.testing.assert_array_equal(a, b)


def test_expressing_cells_are_those_above_zero(monkeypatch):
    x = np.random.default_rng(2).poisson(0.5, (50, 7)).astype(np.float32)
    rows = np.arange(3, 40)
    monkeypatch.setattr(shifts, "_BLOCK_ROWS", 10)
    np.testing.assert_array_equal(expressing_cells(sp.csr_matrix(x), rows), (x[rows] > 0).sum(axis=0))


def test_train_mean_counts_each_condition_once():
    np.testing.assert_array_equal(train_mean(np.array([[1.0, 3.0], [3.0, 5.0]])), [2.0, 4.0])
    np.testing.assert_array_equal(train_mean(np.empty((0, 2))), [0.0, 0.0])


def test_additive_sums_singles_and_counts_what_it_did_not_know():
    known = shifts_by_identity(["A+ctrl", "ctrl+B"], np.array([[1.0, 0.0], [0.0, 2.0]]))
    fallback = np.array([10.0, 10.0])
    for name, shift, missing in [
        ("A+B", [1, 2], 0),
        ("B+A", [1, 2], 0),
        ("A+C", [11, 10], 1),
        ("C+ctrl", [10, 10], 1),
        ("C+D", [20, 20], 2),
    ]:
        got, n = additive(name, known, fallback)
        np.testing.assert_array_equal(got, shift)
        assert n == missing


def test_a_double_in_train_does_not_make_its_constituents_known():
    known = shifts_by_identity(["A+B"], np.array([[1.0]]))
    assert identity("B+A") in known
    assert additive("A+ctrl", known, np.array([5.0]))[1] == 1


def test_weighted_controls():
    np.testing.assert_allclose(
        weighted_controls(np.array([[0.0], [4.0]]), np.array([[0.25, 0.75]])), [[3.0]], atol=1e-12
    )
