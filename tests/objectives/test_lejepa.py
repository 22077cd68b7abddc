"""SIGReg against numerical quadrature and closed forms; the prediction loss by hand."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch.autograd import gradcheck

from bench.core.errors import BenchError
from bench.objectives.lejepa import directions, prediction, sigreg

#: Mean of the statistic over samples of N(0, 1): the integral of (1 - exp(-t^2)) exp(-t^2 / 2), whatever their number.
UNDER_THE_NULL = np.sqrt(2 * np.pi) - np.sqrt(2 * np.pi / 3)
#: Per sample, where all are 0: the integral of (1 - exp(-t^2 / 2))^2 exp(-t^2 / 2).
COLLAPSED = np.sqrt(2 * np.pi) - 2 * np.sqrt(np.pi) + np.sqrt(2 * np.pi / 3)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def samples(kind, n=400, d=6):
    z = torch.randn(n, d, generator=generator(1), dtype=torch.float64)
    return {
        "normal": z,
        "all alike": torch.full_like(z, 0.3),
        "scaled": 3 * z,
        "shifted": z + 1,
        "one direction": z[:, :1].expand(-1, d),
        "uniform": 6 * torch.rand(n, d, generator=generator(2), dtype=torch.float64) - 3,
        "heavy tails": z / z[:, :1].abs(),
    }[kind]


def epps_pulley(x, reach):
    """The statistic of one sample by adaptive quadrature of its complex form."""

    def integrand(t):
        return abs(np.exp(1j * t * x).mean() - np.exp(-(t**2) / 2)) ** 2 * np.exp(-(t**2) / 2)

    return len(x) * quad(integrand, -reach, reach, limit=400)[0]


@pytest.mark.parametrize("kind", ["normal", "all alike", "scaled", "shifted", "one direction", "uniform"])
def test_sigreg_equals_quadrature_of_the_epps_pulley_statistic(kind):
    z, along = samples(kind), directions(6, 5, generator())
    expected = np.mean([epps_pulley(z.numpy() @ a, 5.0) for a in along.double().numpy().T])
    assert sigreg(z, along, knots=401).item() == pytest.approx(expected, rel=1e-3, abs=1e-3)
    # 17 knots, the paper's choice, are 0.6 apart: coarse for samples that are three times too wide, close for others.
    assert sigreg(z, along).item() == pytest.approx(expected, rel=0.15 if kind == "scaled" else 0.02, abs=0.02)
    # Beyond 5 the Gaussian window leaves next to nothing.
    wide = np.mean([epps_pulley(z.numpy() @ a, 12.0) for a in along.double().numpy().T])
    assert expected == pytest.approx(wide, rel=1e-3, abs=1e-4)


def test_knots_from_zero_upward_are_the_trapezoids_of_both_sides():
    x = samples("scaled", d=1).numpy()[:, 0]
    t = np.linspace(-5, 5, 17)
    gap = np.abs(np.exp(1j * t[:, None] * x).mean(axis=1) - np.exp(-(t**2) / 2)) ** 2
    expected = len(x) * np.trapezoid(gap * np.exp(-(t**2) / 2), t)
    got = sigreg(torch.from_numpy(x)[:, None], torch.ones(1, 1))
    assert got.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [32, 512])
def test_sigreg_of_a_gaussian_has_its_known_mean_whatever_the_batch(n):
    draws = [sigreg(torch.randn(n, 8, generator=generator(i)), directions(8, 64, generator(i))) for i in range(200)]
    assert torch.stack(draws).mean().item() == pytest.approx(UNDER_THE_NULL, abs=0.05)


def test_sigreg_of_a_collapse_grows_with_the_batch():
    along = directions(8, 16, generator())
    for n in (10, 1000):
        assert sigreg(torch.zeros(n, 8), along, knots=201).item() == pytest.approx(COLLAPSED * n, rel=1e-3)


def test_what_is_no_isotropic_gaussian_is_larger():
    along = directions(6, 200, generator())
    values = {kind: sigreg(samples(kind), along).item() for kind in ("normal", "scaled", "uniform", "shifted")}
    values |= {kind: sigreg(samples(kind), along).item() for kind in ("all alike", "one direction", "heavy tails")}
    normal = values.pop("normal")
    assert normal < 1.5 * UNDER_THE_NULL
    assert min(values.values()) > 5 * normal, values
    assert sigreg(0.5 * samples("normal"), along) > 5 * normal  # too narrow, as well as too wide


@pytest.mark.slow
def test_descent_pulls_a_collapsed_batch_apart_into_a_gaussian():
    z = (0.05 * torch.randn(128, 4, generator=generator(3))).requires_grad_()
    adam = torch.optim.Adam([z], 0.05)
    for step in range(200):
        loss = sigreg(z, directions(4, 16, generator(step)))
        adam.zero_grad()
        loss.backward()
        adam.step()
    cov = np.cov(z.detach().numpy(), rowvar=False)
    np.testing.assert_allclose(cov, np.eye(4), atol=0.15)
    assert abs(z.detach().mean(dim=0)).max() < 0.1


def test_directions_are_unit_vectors_of_the_generator():
    along = directions(7, 500, generator(4))
    torch.testing.assert_close(along.norm(dim=0), torch.ones(500))
    assert torch.equal(along, directions(7, 500, generator(4)))
    assert abs(along.mean(dim=1)).max() < 0.08  # SD 1 / sqrt(7 * 500)


def test_prediction_by_hand():
    views = torch.tensor([[[0.0, 0.0]], [[2.0, 4.0]], [[1.0, 5.0]]]).requires_grad_()  # three views of one cell
    # The two global ones have mean (1, 2): squares 1 4, 1 4 and 0 9.
    loss = prediction(views, 2)
    assert loss.item() == pytest.approx(19 / 6)
    assert prediction(views[:2], 2).item() == pytest.approx(10 / 4)
    loss.backward()
    assert torch.count_nonzero(views.grad[:2]) > 0  # no stopped gradient in the target
    np.testing.assert_allclose(views.grad.sum(dim=0), 0, atol=1e-6)


def test_bf16_is_measured_in_float32_and_gradients_are_right():
    z, along = torch.randn(64, 3, generator=generator()).bfloat16(), directions(3, 5, generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = sigreg(z, along)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, sigreg(z.float(), along))
    x = torch.randn(3, 5, 3, generator=generator(), dtype=torch.float64).requires_grad_()
    assert gradcheck(lambda v: sigreg(v[0], along), (x,))
    assert gradcheck(lambda v: prediction(v, 2), (x,))


def test_what_it_cannot_take():
    with pytest.raises(BenchError, match="16 knots"):
        sigreg(torch.zeros(4, 2), directions(2, 3, generator()), knots=16)
    with pytest.raises(BenchError, match=r"expected an odd number, and \[samples, width\]"):
        sigreg(torch.zeros(4, 2, 2), directions(2, 3, generator()))
