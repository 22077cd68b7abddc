"""Embedding cells block by block, and standardising by train cells."""

import numpy as np
import scipy.sparse as sp
from rounding import rounding

from bench.stats import embedding
from bench.stats.embedding import embed_rows, standardise


def test_blocks_make_no_difference(monkeypatch):
    rng = np.random.default_rng(0)
    x = sp.random(120, 60, 0.4, "csr", np.float32, rng)
    axes = rng.normal(size=(60, 8)).astype(np.float32)
    rows = np.arange(100)
    whole = embed_rows(x, rows, lambda cells: cells @ axes)
    atol = rounding(60, x.max() * np.abs(axes).max())
    monkeypatch.setattr(embedding, "BLOCK", 7)  # a product with fewer rows may sum in another order
    np.testing.assert_allclose(embed_rows(x, rows, lambda cells: cells @ axes), whole, rtol=0, atol=atol)
    np.testing.assert_allclose(whole, x[rows].toarray() @ axes, rtol=0, atol=atol)
    assert atol < 1e-4 * np.abs(whole).max()


def test_standardising_uses_train_cells_and_silences_constants():
    rng = np.random.default_rng(0)
    train, z = rng.normal(3, 2, (500, 4)), rng.normal(3, 2, (50, 4))
    train[:, 2] = 1.5
    train[:, 3] = 100 + 1e-5 * rng.normal(size=500)  # rounding of float32
    found = standardise(z, train)
    np.testing.assert_allclose(found[:, :2], (z[:, :2] - train[:, :2].mean(0)) / train[:, :2].std(0), atol=1e-12)
    assert (found[:, 2:] == 0).all()
