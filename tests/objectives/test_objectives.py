"""Losses against numpy, hand-written loops and finite differences."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from bench.core.errors import BenchError
from bench.objectives.align import info_nce
from bench.objectives.jepa import latent_l1, pooled_regulariser, report_regulariser
from bench.objectives.mae import masked_mse
from bench.objectives.nll import gaussian_nll
from bench.objectives.vicreg import covariance, invariance, variance


def _z(n=20, d=5, seed=0, scale=0.7):
    g = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, d, generator=g, dtype=torch.float64) @ torch.randn(d, d, generator=g).double()


def test_vicreg_terms_equal_numpy():
    a, b = _z(), _z(seed=1)
    x = a.numpy()
    cov = np.cov(x, rowvar=False)
    np.testing.assert_allclose(
        variance(a), np.maximum(0, 1 - np.sqrt(np.var(x, axis=0, ddof=1) + 1e-4)).mean(), atol=1e-12
    )
    np.testing.assert_allclose(covariance(a), (cov**2).sum() / 5 - (np.diag(cov) ** 2).sum() / 5, atol=1e-12)
    np.testing.assert_allclose(invariance(a, b), ((x - b.numpy()) ** 2).mean(), atol=1e-12)


def test_vicreg_terms_at_their_ends():
    assert variance(torch.zeros(9, 3)).item() == pytest.approx(1 - math.sqrt(1e-4))
    assert variance(10 * torch.randn(500, 3)) == 0
    orthogonal = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert covariance(orthogonal) == 0
    for term in (variance, covariance):
        with pytest.raises(BenchError, match="2 samples"):
            term(torch.zeros(1, 3))


def test_bf16_latents_are_measured_in_float32():
    # Around 100 bf16 has steps of 0.5; the sums must not add to that.
    z = (100 + torch.randn(400, 4)).bfloat16()
    for term in (variance, covariance):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got = term(z)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, term(z.float()))


def test_identical_cells_are_seen_by_pooled_terms_and_not_by_flattened_ones():
    # Defect A-2: latents of genes differ, cells do not.
    genes = 2 * torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    tokens = genes.expand(16, -1, -1)
    assert report_regulariser(tokens).variance < 0.01
    assert pooled_regulariser(tokens.mean(1)).variance > 0.98
    # Cells that do differ satisfy both.
    spread = tokens + 2 * torch.randn(16, 1, 8, generator=torch.Generator().manual_seed(1))
    assert pooled_regulariser(spread.mean(1)).variance < 0.1
    flat = tokens.reshape(-1, 8)
    torch.testing.assert_close(report_regulariser(tokens).covariance, covariance(flat))


def test_latent_l1():
    predicted, target = torch.tensor([[[0.0, 1], [5, 5]]]), torch.tensor([[[2.0, 1], [5, 1]]])
    assert latent_l1(predicted, target) == 1.5
    assert latent_l1(predicted, target, torch.tensor([[True, False]])) == 1
    assert latent_l1(predicted, target, torch.tensor([[False, True]])) == 2
    assert latent_l1(predicted, target, torch.tensor([[False, False]])) == 0


def test_targets_of_the_teacher_get_no_gradient():
    target = torch.randn(2, 3, 4, requires_grad=True)
    predicted = torch.randn(2, 3, 4, requires_grad=True)
    (latent_l1(predicted, target) + gaussian_nll(predicted, target, torch.zeros(2, 3, 4))).backward()
    assert target.grad is None and predicted.grad is not None


def test_masked_mse_by_hand():
    values = torch.tensor([[1.0, 0.0, 3.0, 4.0]])
    target = torch.tensor([[0.0, 0.0, 1.0, 0.0]])
    hidden = torch.tensor([[True, True, True, False]])
    assert masked_mse(values, target).item() == pytest.approx((1 + 0 + 4 + 16) / 4)
    assert masked_mse(values, target, hidden).item() == pytest.approx(5 / 3)
    # Zeros: mean(1, 0) = 0.5; non-zeros: 4.
    assert masked_mse(values, target, hidden, 0.5).item() == pytest.approx(2.25)
    assert masked_mse(values, target, hidden, 1.0).item() == pytest.approx(0.5)
    assert masked_mse(values, target, zero_weight=0.0).item() == pytest.approx(4)
    assert masked_mse(values, target, torch.zeros(1, 4, dtype=torch.bool)) == 0


def test_gaussian_nll_equals_torch_without_its_constant():
    g = torch.Generator().manual_seed(0)
    mean, target, logvar = (torch.randn(3, 4, 5, generator=g) for _ in range(3))
    expected = torch.nn.GaussianNLLLoss()(mean, target, logvar.exp())
    torch.testing.assert_close(gaussian_nll(mean, target, logvar), expected)
    hidden = torch.rand(3, 4, generator=g) < 0.5
    expected = torch.nn.GaussianNLLLoss()(mean[hidden], target[hidden], logvar[hidden].exp())
    torch.testing.assert_close(gaussian_nll(mean, target, logvar, hidden), expected)


def _info_nce_by_hand(a, b, group, tau):
    total = 0.0
    for i in range(len(a)):
        logits = [float(a[i] @ b[j] / (a[i].norm() * b[j].norm())) / tau for j in range(len(b))]
        log_sum = math.log(sum(math.exp(x) for x in logits))
        positives = [j for j in range(len(b)) if group[j] == group[i]]
        total += sum(log_sum - logits[j] for j in positives) / len(positives)
    return total / len(a)


def test_info_nce_equals_a_hand_written_loop():
    a, b = _z(7, 4), _z(7, 4, seed=1)
    for group in ([0, 1, 2, 3, 4, 5, 6], [0, 0, 1, 2, 2, 2, 3]):
        expected = _info_nce_by_hand(a, b, group, 0.2)
        assert info_nce(a, b, torch.tensor(group), 0.2).item() == pytest.approx(expected)
        back = _info_nce_by_hand(b, a, group, 0.2)
        both = info_nce(a, b, torch.tensor(group), 0.2, symmetric=True).item()
        assert both == pytest.approx((expected + back) / 2)


def test_info_nce_by_chance():
    same = torch.ones(32, 3)
    assert info_nce(same, same, torch.arange(32)).item() == pytest.approx(math.log(32), abs=1e-5)


def test_rows_of_one_group_are_not_pushed_apart():
    # Two guides of one gene that already agree: as positives of each other they are at their optimum, ln 2; taken for
    # negatives the loss would keep moving them. A small tilt shows where the gradient points.
    a = torch.eye(4).repeat_interleave(2, 0)
    tilted = a.clone()
    tilted[0, 1], tilted[1, 2] = 0.3, 0.3
    pull = {}
    for name, group in [("twins", torch.arange(4).repeat_interleave(2)), ("negatives", torch.arange(8))]:
        x = tilted.clone().requires_grad_()
        info_nce(x, tilted, group).backward()
        pull[name] = -(x.grad[0] @ (tilted[1] - tilted[0])).item()
    assert pull["twins"] > 0 > pull["negatives"]
    assert info_nce(a, a, torch.arange(4).repeat_interleave(2), 0.01).item() == pytest.approx(math.log(2), abs=1e-5)


def test_gradients_by_finite_differences():
    z, y = _z(6, 3).requires_grad_(), _z(6, 3, seed=1).requires_grad_()
    hidden = torch.tensor([True, False, True, True, False, True])
    assert gradcheck(variance, (z.detach().mul(0.3).requires_grad_(),))
    assert gradcheck(covariance, (z,))
    assert gradcheck(invariance, (z, y))
    assert gradcheck(lambda p: latent_l1(p, y, hidden), (z,))
    assert gradcheck(lambda p: latent_l1(p, y), (z,))
    assert gradcheck(lambda p: masked_mse(p, torch.relu(y.detach()), None, 0.5), (z,))
    assert gradcheck(lambda m, v: gaussian_nll(m, y, v, hidden), (z, _z(6, 3, seed=2).requires_grad_()))
    group = torch.tensor([0, 0, 1, 2, 2, 3])
    assert gradcheck(lambda a, b: info_nce(a, b, group, 0.3, symmetric=True), (z, y))
