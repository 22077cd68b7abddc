"""Terms of the sparse causal autoencoder against torch.distributions, scipy and hand computation."""

import numpy as np
import pytest
import scipy.stats
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from bench.nn.counts import recover
from bench.objectives.negative_binomial import count_at, negative_binomial, place_of
from bench.objectives.vae import alignment, bernoulli_divergence, normal_divergence, partners, plated

rng = np.random.default_rng(0)


def test_divergence_of_normals():
    mean, log_variance = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    standard = Normal(torch.zeros(4, dtype=torch.float64), 1.0)
    expected = kl_divergence(Normal(mean, torch.exp(0.5 * log_variance)), standard).sum(dim=1)
    torch.testing.assert_close(normal_divergence(mean, log_variance), expected)


@pytest.mark.parametrize("prior", [0.01, 0.5])
def test_divergence_of_masks(prior):
    logits = torch.tensor([[-30.0, -2.0, 0.0], [1.0, 4.0, 30.0]], dtype=torch.float64)
    there = Bernoulli(torch.tensor(prior, dtype=torch.float64))
    expected = kl_divergence(Bernoulli(logits=logits), there).sum(dim=1)
    torch.testing.assert_close(bernoulli_divergence(logits, prior), expected)
    assert torch.isfinite(bernoulli_divergence(torch.tensor([[-300.0, 300.0]]), prior)).all()


def test_a_plate_counts_each_perturbation_once():
    """By hand: 3 cells carry A (KL 6), 2 of them B as well (KL 1): the cells' shares add up to 7."""
    divergence = torch.tensor([[6.0, 0.0], [6.0, 1.0], [6.0, 1.0]])
    cells = torch.tensor([[3.0, 0.0], [3.0, 2.0], [3.0, 2.0]])
    assert float(plated(divergence, cells).sum()) == pytest.approx(7.0)


def test_alignment_by_hand():
    assert float(alignment(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 3.0]]))) == 7.0


def scipy_nb(mean, size):
    return scipy.stats.nbinom(size, size / (size + mean))


def counts_and_means(n=400):
    mean = np.exp(rng.uniform(-3, 4, n))
    size = np.exp(rng.uniform(-1, 3, n))
    return rng.poisson(mean * rng.gamma(size) / size).astype(float), mean, size


def test_likelihood_is_scipys():
    counts, mean, size = counts_and_means()
    got = negative_binomial(*map(torch.from_numpy, (counts, mean, np.log(size)))).numpy()
    np.testing.assert_allclose(got, scipy_nb(mean, size).logpmf(counts), rtol=1e-5, atol=1e-6)


def test_gradients_agree_with_finite_differences():
    counts, mean, size = counts_and_means(8)
    leaves = [torch.from_numpy(v).requires_grad_() for v in (mean, np.log(size))]
    assert torch.autograd.gradcheck(lambda m, s: negative_binomial(torch.from_numpy(counts), m, s), leaves)
    mean, logits = (torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(normal_divergence, (mean, logits))
    assert torch.autograd.gradcheck(lambda x: bernoulli_divergence(x, 0.05), (logits,))


def test_places_and_quantiles_are_scipys():
    counts, mean, size = counts_and_means()
    within = rng.random(len(counts))
    there = scipy_nb(mean, size)
    parts = [torch.from_numpy(v) for v in (counts, mean, np.log(size), within)]
    place = place_of(*parts).numpy()
    np.testing.assert_allclose(place, there.cdf(counts - 1) + within * there.pmf(counts), atol=1e-9)
    wanted = rng.uniform(0.001, 0.999, len(counts))
    got = count_at(torch.from_numpy(wanted), parts[1], parts[2], 3_000).numpy()
    np.testing.assert_array_equal(got, there.ppf(wanted))
    # A count stands where it stood if its mean stays, and no lower if the mean rises.
    back = count_at(torch.from_numpy(place), parts[1], parts[2], 3_000).numpy()
    np.testing.assert_array_equal(back, counts)
    assert (count_at(torch.from_numpy(place), 2 * parts[1], parts[2], 3_000).numpy() >= counts).all()


def test_counts_come_back_from_log1p():
    counts = rng.poisson(np.exp(rng.normal(-1, 1.5, (50, 80))))
    counts[0] = 0
    counts[1] = 2 * counts[1]  # its smallest value is two counts: half of them would do as well
    counts[2, :2] = 2, 3
    counts[2, 2:] = 0  # ... but not where that makes halves
    library = counts.sum(axis=1, keepdims=True) + rng.integers(1, 9_000, (50, 1))
    got = recover(torch.from_numpy(np.log1p(1e4 * counts / library)).float())
    assert got.exact.all()
    rows = np.r_[0, 2:50]
    np.testing.assert_array_equal(got.counts.numpy()[rows], counts[rows])
    np.testing.assert_array_equal(got.counts.numpy()[1], counts[1] / 2)
    np.testing.assert_allclose(got.library.numpy()[rows[1:]], library[rows[1:]], rtol=1e-4, atol=1e-2)
    assert recover(torch.rand(5, 80)).exact.sum() == 0


def test_partners_by_hand():
    """Rows 0, 2 and 3 are of one context, row 1 of another."""
    z, context = torch.tensor([[0.0], [10.0], [2.0], [4.0]]), torch.tensor([0, 1, 0, 0])

    def partner(pair, seed=0):
        return partners(z, context, pair, torch.Generator().manual_seed(seed))[:, 0].tolist()

    assert partner("batch_matched") == [0, 10, 2, 4]
    assert partner("centroid") == [2, 10, 2, 2]
    drawn = [partner("random", seed) for seed in range(20)]
    assert all(row[1] == 10 and sorted(row) == [0, 2, 4, 10] for row in drawn)
    assert len({tuple(row) for row in drawn}) > 3
