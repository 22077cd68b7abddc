"""The causal prior against dense multivariate normals, finite differences and its own draws."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from bench.nn.causal_prior import CausalPrior, Mechanism
from bench.nn.mechanism import MechanismHead

D, W, B = 5, 3, 4


def made(causal=True, background=W, modulated=True, seed=0):
    """A prior with random weights, a mechanism for each of four rows, and their background, in float64."""
    g = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    prior = CausalPrior(D, background, causal).double()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.copy_(0.5 * random(*parameter.shape))
    mechanism = Mechanism(random(B, D), 0.4 * random(B, D, D) if modulated else None, 0.3 * random(B, D))
    return prior, mechanism, random(B, background) if background else None, random(B, D)


def dense(prior, mechanism, w, row):
    """Mean and covariance by hand, with an inverse."""
    a = np.zeros((D, D))
    if prior.edges is not None:
        a = prior.edges.detach().numpy().copy()
        if mechanism.weights is not None:
            a = a + mechanism.weights[row].detach().numpy()
        for j in range(D):
            a[j, j:] = 0
    drive = mechanism.shift[row].detach().numpy()
    if w is not None:
        drive = drive + prior.from_background.detach().numpy() @ w[row].numpy()
    back = np.linalg.inv(np.eye(D) - a)
    sd = np.exp(prior.log_scale.detach().numpy() + mechanism.log_scale[row].detach().numpy())
    return back @ drive, back @ np.diag(sd**2) @ back.T


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("background", [W, 0])
@pytest.mark.parametrize("modulated", [True, False])
def test_log_density_is_that_of_the_dense_normal(causal, background, modulated):
    prior, mechanism, w, z = made(causal, background, modulated)
    got = prior.log_density(z, mechanism, w).detach().numpy()
    for row in range(B):
        mean, covariance = dense(prior, mechanism, w, row)
        expected = scipy.stats.multivariate_normal(mean, covariance).logpdf(z[row].numpy())
        assert got[row] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("causal", [True, False])
def test_divergence_is_that_of_the_dense_normals(causal):
    prior, mechanism, w, mean = made(causal)
    log_variance = torch.linspace(-2, 1, B * D, dtype=torch.float64).view(B, D)
    got = prior.divergence(mean, log_variance, mechanism, w)
    for row in range(B):
        there = [torch.from_numpy(part) for part in dense(prior, mechanism, w, row)]
        q = MultivariateNormal(mean[row], torch.diag(log_variance[row].exp()))
        assert float(got[row].detach()) == pytest.approx(float(kl_divergence(q, MultivariateNormal(*there))), rel=1e-10)


def test_an_unperturbed_cell_has_no_shift_and_standard_form():
    """By hand: nothing but noise of the start scale, in every direction alike."""
    prior = CausalPrior(D, W)
    nothing = Mechanism(torch.zeros(1, D))
    eps, w = torch.randn(7, D), torch.randn(7, W)
    torch.testing.assert_close(prior.draw(eps, nothing, w), 0.1 * eps)
    expected = Normal(torch.zeros(D), 0.1 * torch.ones(D)).log_prob(eps).sum(dim=1)
    torch.testing.assert_close(prior.log_density(eps, nothing, w), expected, rtol=1e-4, atol=1e-4)


def test_draws_have_the_moments_of_the_dense_normal():
    prior, mechanism, w, _ = made()
    n, row = 200_000, 2
    eps = torch.randn(n, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        z = prior.draw(eps, mechanism.of(torch.full((n,), row)), w[row].expand(n, W)).numpy()
    mean, covariance = dense(prior, mechanism, w, row)
    sd = np.sqrt(np.diag(covariance))
    assert (np.abs(z.mean(axis=0) - mean) < 5 * sd / math.sqrt(n)).all()
    assert np.abs(np.cov(z.T) - covariance).max() < 0.02 * covariance.max()


def test_residual_undoes_a_draw():
    prior, mechanism, w, eps = made()
    z = prior.draw(eps, mechanism, w)
    scale = torch.exp(prior.log_scale + mechanism.log_scale)
    torch.testing.assert_close(prior.residual(z, mechanism, w), scale * eps)


def test_a_latent_depends_on_earlier_ones_alone():
    prior, mechanism, w, eps = made()
    assert (prior.graph(mechanism).detach().triu() == 0).all()
    reach = torch.autograd.functional.jacobian(
        lambda e: prior.draw(e[None], mechanism.of(torch.tensor([1])), w[1:2])[0], eps[1]
    )
    assert (reach.triu(1) == 0).all() and (reach.diagonal() > 0).all() and (reach.tril(-1) != 0).any()


def test_gradients_agree_with_finite_differences():
    prior, mechanism, w, z = made()
    log_variance = torch.linspace(-1, 1, B * D, dtype=torch.float64).view(B, D)
    leaves = [t.clone().requires_grad_() for t in (z, log_variance, *mechanism, w)]
    edges, scale = prior.edges, prior.log_scale

    def divergence(z, lv, b, a, s, w, edges, scale):
        values = {"edges": edges, "log_scale": scale, "from_background": prior.from_background}

        class Call(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.prior = prior

            def forward(self):
                m = Mechanism(b, a, s)
                return torch.stack(
                    [prior.divergence(z, lv, m, w), prior.log_density(z, m, w), prior.draw(z, m, w).sum(dim=1)]
                )

        return torch.func.functional_call(Call(), {f"prior.{k}": v for k, v in values.items()}, ())

    parameters = [edges.detach().clone().requires_grad_(), scale.detach().clone().requires_grad_()]
    assert torch.autograd.gradcheck(divergence, (*leaves, *parameters))


# The mechanism of a combination


def head_of(compose, masked=True, rank=2):
    torch.manual_seed(3)
    head = MechanismHead(6, D, rank, masked, compose).double().eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, dtype=torch.float64) * 0.3)
    return head


def actions():
    return torch.randn(1, 2, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


@pytest.mark.parametrize("masked", [True, False])
def test_a_two_hot_action_is_the_sum_of_its_parts(masked):
    head, a = head_of("mechanism", masked), actions()
    both = head(a, torch.tensor([[True, True]])).mechanism
    one = head(a, torch.tensor([[True, False]])).mechanism
    other = head(a, torch.tensor([[False, True]])).mechanism
    for whole, *parts in zip(both, one, other, strict=True):
        assert whole.abs().max() > 1e-3
        torch.testing.assert_close(whole, sum(parts))
    assert (both.weights.triu() == 0).all()
    assert np.linalg.matrix_rank(one.weights[0].detach().numpy()) <= D - 1


def test_additive_combinations_shift_and_do_nothing_else():
    mechanism = head_of("additive")(actions(), torch.tensor([[True, True]])).mechanism
    assert mechanism.weights is None and mechanism.log_scale is None
    parts = [head_of("additive")(actions(), torch.tensor([p])).mechanism.shift for p in ([True, False], [False, True])]
    torch.testing.assert_close(mechanism.shift, sum(parts))


def test_a_control_has_no_mechanism():
    mechanism = head_of("mechanism")(actions(), torch.tensor([[False, False]])).mechanism
    for part in mechanism:
        assert (part == 0).all()


def test_masks_are_drawn_in_training_and_expected_otherwise():
    """By hand: a shift is mask times effect; over many draws it averages to probability times mean."""
    head, a = head_of("mechanism"), actions().expand(20_000, 2, 6)
    present = torch.tensor([[True, False]]).expand(20_000, 2)
    with torch.no_grad():
        expected = head(a[:1], present[:1])
        drawn = head.train()(a, present, torch.Generator().manual_seed(0))
    hand = torch.sigmoid(expected.logits[0, 0]) * expected.mean[0, 0]
    torch.testing.assert_close(expected.mechanism.shift[0], hand)
    shift = drawn.mechanism.shift
    off = (shift == 0).double().mean(dim=0)
    torch.testing.assert_close(off, 1 - torch.sigmoid(expected.logits[0, 0]), atol=0.02, rtol=0)
    standard_error = shift.std(dim=0) / math.sqrt(len(shift))
    assert ((shift.mean(dim=0) - hand).abs() < 5 * standard_error).all()
