"""The form of expression is told by its counts, on any genes and at any total; what has none is not guessed."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from bench.data import logs


@pytest.fixture(scope="module")
def rates():
    """Counts of cells of different depth, each scaled to a total."""
    counts = np.random.default_rng(0).poisson(np.linspace(0.2, 6.0, 80), size=(60, 80)) * 1.0
    return counts / counts.sum(axis=1, keepdims=True) * 1e4


MADE = {
    logs.LOG1P: np.log1p,
    logs.TWICE: lambda rates: np.log1p(np.log1p(rates)),
    "log2(x + 1) of scaled counts": lambda rates: np.log2(rates + 1),
    "log10(x + 1) of scaled counts": lambda rates: np.log10(rates + 1),
    "scaled counts, not logged": lambda rates: rates / 1e3,
    "square roots of scaled counts": lambda rates: np.sqrt(rates) / 3,
}


@pytest.mark.parametrize("form", MADE)
def test_each_form_is_told_on_some_of_the_genes_too(rates, form):
    for part in (rates, rates[:, ::3]):
        assert logs.form_of(sp.csr_matrix(MADE[form](part).astype(np.float32))) == form
    assert set(MADE) == set(logs.UNDONE)


def test_what_is_no_scaled_count_has_no_form_and_few_values_tell_nothing(rates):
    values = np.log1p(rates)
    assert logs.form_of(sp.csr_matrix(values / values.std(axis=0))) == ""
    smooth = values @ np.random.default_rng(1).dirichlet(np.ones(80), size=80)
    assert logs.form_of(sp.csr_matrix(smooth)) == ""
    assert logs.form_of(sp.csr_matrix(values[:2, :10])) is None
    assert logs.form_of(sp.csr_matrix((rates > 0) * 1.0)) is None


def test_the_share_of_multiples_by_hand():
    """2 and 3 times the smallest are whole, 2.5 times is not; below 1.5 and above 30 times is not looked at."""
    cells = np.tile([0.1, 0.2, 0.3, 0.25, 0.14, 3.55], (30, 1)) * np.linspace(1, 3, 30)[:, None]
    assert logs.share_of_multiples(sp.csr_matrix(cells), lambda values: values) == 60 / 90
    assert logs.share_of_multiples(sp.csr_matrix(cells[:16]), lambda values: values) is None  # 48 of 50 ratios
