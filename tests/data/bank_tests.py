"""What tests of feature banks share."""

import numpy as np
import pytest
import scipy.sparse as sp

from bench.core.errors import BenchError


def refused(call, *words):
    with pytest.raises(BenchError) as caught:
        call()
    for word in words:
        assert str(word) in str(caught.value), caught.value


def equal_up_to_sign(ours, theirs, **tolerance):
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours * np.sign((ours * theirs).sum(axis=0)), theirs, **tolerance)


def ring_of_cliques(n=6, size=5):
    """Cliques that hang together in a ring; unlike sizes, so that no eigenvalue is double."""
    sizes = [size + i for i in range(n)]
    a = sp.block_diag([np.ones((k, k)) - np.eye(k) for k in sizes]).tolil()
    starts = np.cumsum([0, *sizes[:-1]])
    for i in range(n):
        a[starts[i], starts[(i + 1) % n] + 1] = a[starts[(i + 1) % n] + 1, starts[i]] = 1
    return sp.csr_matrix(a), np.repeat(np.arange(n), sizes)
