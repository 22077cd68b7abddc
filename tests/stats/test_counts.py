"""Counts come back exactly, as they do in torch, and their two parts are independent."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from bench.data.values import normalise
from bench.nn import counts as in_torch
from bench.stats.counts import halves, recover


def test_counts_and_depth_come_back_and_torch_agrees():
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.5, 2.0, (60, 40)))
    counts[3] = 0
    counts[5] = 2 * (counts[5] > 0)  # the smallest value need not be one count: then 2 reads as 1
    library = counts.sum(axis=1) + rng.integers(500, 3000, 60)
    x = normalise(sp.csr_matrix(counts), library)
    found = recover(x)
    expected = counts.copy()
    expected[5] //= 2
    np.testing.assert_array_equal(found.counts.toarray(), expected)
    np.testing.assert_array_equal(np.flatnonzero(~found.exact), [3])
    rest = np.setdiff1d(np.arange(60), [3, 5])
    np.testing.assert_allclose(found.library[rest], library[rest], rtol=1e-5)
    theirs = in_torch.recover(torch.from_numpy(x.toarray()))
    np.testing.assert_array_equal(theirs.counts[rest].numpy(), expected[rest])
    odd = x.copy()
    odd.data = odd.data * rng.uniform(0.9, 1.1, len(odd.data)).astype(np.float32)
    assert recover(odd).exact.mean() < 0.2


def test_parts_add_up_and_know_nothing_of_each_other():
    rng = np.random.default_rng(1)
    counts = rng.poisson(4.0, (20_000, 3))
    known = recover(normalise(sp.csr_matrix(counts), np.full(20_000, 1000)))
    a, b = halves(known, np.random.default_rng(2))
    parts = [np.expm1(part.toarray()) * 500 / 1e4 for part in (a, b)]
    depth = known.library[:, None] / 1000  # 1 but where all counts of a cell are even
    np.testing.assert_allclose((parts[0] + parts[1]) * depth, known.counts.toarray(), atol=1e-6)
    whole = (known.library > 999) & (known.library < 1001)
    for gene in range(3):
        first, second = parts[0][whole, gene], parts[1][whole, gene]
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.05  # 7 standard errors
        assert abs(first.mean() - second.mean()) < 0.1
