"""Masks against counting and the binomial distribution."""

import numpy as np
import pytest
import torch
from scipy import stats

from bench.core.errors import BenchError
from bench.nn.masking import bernoulli_mask, exact_mask, hidden_of, mask_of, take


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("genes", "ratio", "hidden"), [(500, 0.6, 300), (7, 0.5, 4), (10, 0.25, 2), (10, 0, 0)])
def test_exact_mask_hides_the_same_count_in_every_cell(genes, ratio, hidden):
    mask = exact_mask(64, genes, ratio, _generator())
    assert (mask.hidden.sum(1) == hidden).all()
    assert mask.masked.shape == (64, hidden) and mask.visible.shape == (64, genes - hidden)
    for row in range(64):
        np.testing.assert_array_equal(mask.masked[row], np.flatnonzero(mask.hidden[row]))
        np.testing.assert_array_equal(mask.visible[row], np.flatnonzero(~mask.hidden[row]))


def test_exact_mask_is_uniform_over_genes_and_pairs():
    batch, genes = 20_000, 12
    hidden = exact_mask(batch, genes, 0.5, _generator(1)).hidden.numpy()
    # Of 12 genes 6 are hidden: each with chance 1/2, each pair with chance 6/12 * 5/11.
    counts = hidden.sum(0)
    assert np.all(np.abs(counts - batch / 2) < 5 * np.sqrt(batch / 4))
    pairs = (hidden.T.astype(float) @ hidden)[np.triu_indices(genes, 1)]
    chance = 5 / 22
    assert np.all(np.abs(pairs - batch * chance) < 5 * np.sqrt(batch * chance * (1 - chance)))


def test_exact_mask_is_reproducible_and_differs_between_cells():
    a, b = exact_mask(8, 100, 0.6, _generator(3)), exact_mask(8, 100, 0.6, _generator(3))
    assert torch.equal(a.hidden, b.hidden)
    assert len({tuple(row.tolist()) for row in a.hidden}) == 8
    assert not torch.equal(a.hidden, exact_mask(8, 100, 0.6, _generator(4)).hidden)


def test_bernoulli_rate_is_binomial():
    mask = bernoulli_mask(200, 500, 0.6, _generator(2)).numpy()
    low, high = stats.binom.interval(1 - 1e-6, mask.size, 0.6)
    assert low <= mask.sum() <= high
    counts = mask.sum(1)
    # A fixed count would have no spread; the binomial's is 500 * .6 * .4 = 120.
    assert 80 < counts.var() < 170


@pytest.mark.parametrize("ratio", [-0.1, 1.0, 1.5])
@pytest.mark.parametrize("draw", [exact_mask, bernoulli_mask])
def test_a_ratio_out_of_range_is_refused(draw, ratio):
    with pytest.raises(BenchError, match="mask ratio"):
        draw(2, 10, ratio, _generator())


def test_a_mask_that_leaves_nothing_visible_is_refused():
    with pytest.raises(BenchError, match="hides all 3 genes"):
        exact_mask(2, 3, 0.9, _generator())


def test_mask_of_refuses_ragged_rows():
    ragged = torch.tensor([[True, False, False], [True, True, False]])
    with pytest.raises(BenchError, match="1 to 2 genes"):
        mask_of(ragged)
    even = torch.tensor([[True, False, False], [False, True, False]])
    assert mask_of(even).masked.tolist() == [[0], [1]]
    assert mask_of(even).visible.tolist() == [[1, 2], [0, 2]]
    assert hidden_of(even) is even and hidden_of(mask_of(even)) is even


def test_take_equals_gather():
    tokens = torch.randn(3, 10, 4)
    mask = exact_mask(3, 10, 0.4, _generator())
    expected = tokens.gather(1, mask.masked[..., None].expand(-1, -1, 4))
    assert torch.equal(take(tokens, mask.masked), expected)
    assert torch.equal(expected.reshape(-1, 4), tokens[mask.hidden])
    assert torch.equal(mask.to("cpu").hidden, mask.hidden)
