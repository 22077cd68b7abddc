"""A model as a function of its action: batches as one by one, sums of actions, gradients, and latents."""

import numpy as np
import pytest
import screens
import torch
from harness import small

from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.models import registry
from bench.models.response.strategy import Response
from bench.runner import fit
from bench.runner.own_latents import own_latents
from bench.tracks.planning import run as evaluation

#: What is predicted: genes; the encoder's latents; latents, by what was trained beside the encoder.
KINDS = {"genes": ("random_encoder", {}), "own": ("random_encoder", {"latent_target": "own"}), "ac": ("biojepa_ac", {})}


@pytest.fixture(scope="module")
def asked():
    data = screens.tiny_screen()
    task = Task(data, screens.hand_split(data))
    whole, units = evaluation.asked(task)
    return task, PerturbationDataModule(whole, seed=1, asked=units)


@pytest.fixture(
    scope="module", params=["ac", *(pytest.param(name, marks=pytest.mark.slow) for name in ("genes", "own"))]
)
def fitted(request, asked):
    name, arguments = KINDS[request.param]
    model = registry.load(name)(**small(name), **arguments)
    fit.fit(model, asked[1], 1)
    controls = torch.from_numpy(asked[1].dataset.x[asked[1].input_rows[0][:32]].toarray())
    return request.param, model, controls


def test_many_conditions_at_once_are_as_one_by_one(fitted):
    _, model, controls = fitted
    which = list(range(1, 70))
    with torch.no_grad():
        wanted = Response.means(model.response, controls, which, 0, model.encoder, model.standardised)
    np.testing.assert_allclose(model.predict_means(controls, which, 0), wanted, atol=2e-5)
    assert wanted.std(dim=0).max() > 1e-3


def test_an_action_is_a_sum_and_its_outcome_the_prediction(asked, fitted):
    _, model, controls = fitted
    names = asked[1].dataset.conditions
    pair = next(name for name in names if name.count("+") == 1 and "ctrl" not in name)
    a, b = (names.index(f"{gene}+ctrl") for gene in pair.split("+"))
    which = [a, b, names.index(pair)]
    steered = model.steered(controls, which, 0)
    one, other, both = steered.actions.detach()
    torch.testing.assert_close(both, one + other, atol=1e-5, rtol=0)
    with torch.no_grad():
        np.testing.assert_allclose(steered.outcome(steered.actions), model.predict_means(controls, which, 0), atol=2e-5)


def test_the_gradient_is_that_of_finite_differences(fitted):
    _, model, controls = fitted
    steered = model.steered(controls, [1], 0)
    goal = torch.zeros(controls.shape[1], dtype=torch.float64)
    action = steered.actions.detach().clone().requires_grad_(True)
    (steered.outcome(action) - goal).square().sum().backward()
    step = action.grad / action.grad.norm()
    eps = 0.02
    with torch.no_grad():
        up, down = ((steered.outcome(action + s * eps * step) - goal).square().sum() for s in (1, -1))
    assert float((up - down) / (2 * eps)) == pytest.approx(float(action.grad.norm()), rel=0.05, abs=1e-3)


def test_latents_are_those_of_what_is_predicted(asked, fitted):
    """Decoded, predicted latent shifts are the predicted shifts; where genes are predicted, they are encoded."""
    kind, model, controls = fitted
    which = [1, 2, 3, 40]
    moved = model.latent_shifts(controls, which, 0)
    shifts = model.predict_means(controls, which, 0) - controls.double().mean(dim=0)
    if kind == "genes":
        cells = (controls.double() + shifts[2]).clamp(min=0).float()  # each cell has its own shift: near, not equal
        near = model.own_latents(cells).double().mean(dim=0) - model.own_latents(controls).double().mean(dim=0)
        assert torch.corrcoef(torch.stack([near, moved[2]]))[0, 1] > 0.95
        return
    to_genes = model.response.get_buffer("to_genes").double()
    if kind == "own":
        base = model.response.get_buffer("base")[which]
        own = moved - model.response.networks[0].get_buffer("base")[which].double()
        np.testing.assert_allclose(base + own @ to_genes.T, shifts, atol=1e-5)
    else:
        sd = torch.where(torch.isfinite(model.get_buffer("latent_sd")), model.get_buffer("latent_sd"), 0.0)
        np.testing.assert_allclose((moved * sd) @ to_genes.T, shifts, atol=1e-5)


def test_query_cells_are_encoded_and_nothing_else_of_them_is_used(asked, fitted):
    task, module = asked
    _, model, _ = fitted
    rows, units = evaluation.latents_asked(task)
    own = own_latents(model, module, rows, units)
    assert set(own.shifts) == set(units) and own.cells.shape[0] == len(rows)
    some = rows[[0, 7, -1]]
    wanted = model.own_latents(torch.from_numpy(task.dataset.x[some].toarray())).numpy()
    np.testing.assert_allclose(own.cells[[0, 7, -1]], wanted, atol=1e-5)
    np.testing.assert_allclose(own.mean(some), wanted.mean(axis=0), atol=1e-5)
    reference = {task.dataset.barcode_index[b] for pool in task.split.reference_controls.values() for b in pool}
    assert set(rows.tolist()) <= reference | set(task.rows("test").tolist())


@pytest.mark.parametrize("name", ["additive", "ridge"])
def test_a_closed_form_has_no_latents_and_no_continuous_action(asked, name):
    model = registry.load(name)(**small(name))
    fit.fit(model, asked[1], 1)
    controls = torch.zeros(2, len(asked[1].genes))
    assert model.steered(controls, [1], 0) is None
    assert own_latents(model, asked[1], *evaluation.latents_asked(asked[0])) is None


@pytest.mark.slow
def test_what_adds_to_measured_sums_is_no_function_of_the_action(asked):
    model = registry.load("identity")(**small("identity"), features="pca", residual="additive")
    fit.fit(model, asked[1], 1)
    assert model.steered(torch.from_numpy(asked[1].dataset.x[:4].toarray()), [1, 2], 0) is None
