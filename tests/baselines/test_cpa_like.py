"""The plain autoencoder with latent shifts: its bound against scipy, additivity, and what it draws."""

import numpy as np
import pytest
import torch
from scipy import stats

from baselines.cpa_like import CPALike
from bench.data.datamodule import CellBatch, PerturbationDataModule
from bench.data.task import Task
from bench.runner import fit as run


def fit(task, **arguments):
    model = CPALike(**{"width": 16, "epochs": 2, "batch_size": 64, "latent": 5, **arguments})
    run.fit(model, task, 1)
    return model


@pytest.fixture(scope="module")
def task(tiny, tiny_split):
    return PerturbationDataModule(Task(tiny, tiny_split))


@pytest.fixture(scope="module")
def fitted(task):
    return fit(task)


@pytest.fixture(scope="module")
def controls(task, tiny):
    return torch.from_numpy(tiny.x[task.input_rows[0]].toarray())


def codes(data, name, n):
    return torch.full((n,), data.conditions.index(name))


@torch.no_grad()
def test_a_combination_is_the_sum_of_its_parts_and_the_control_is_nothing(fitted, tiny):
    a, b, both, none = (fitted.net.shift(codes(tiny, name, 1)) for name in ("G02+ctrl", "G03+ctrl", "G02+G03", "ctrl"))
    torch.testing.assert_close(both, a + b)
    assert float(a.abs().max()) > 1e-3
    assert torch.equal(none, torch.zeros_like(none))


@torch.no_grad()
def test_the_loss_is_the_negative_evidence_lower_bound(fitted, task, tiny):
    net = fitted.net
    cells = tiny.cells_of["G02+ctrl"][:6]
    x, paired = (torch.from_numpy(tiny.x[rows].toarray()) for rows in (cells, task.control_rows[:6]))
    condition = codes(tiny, "G02+ctrl", 6)
    torch.manual_seed(5)
    loss = float(net.loss(CellBatch(x, paired, condition, torch.zeros(6, dtype=torch.int64))))
    torch.manual_seed(5)
    eps = torch.randn(8, 5).numpy()  # six cells and a third as many controls
    every = torch.cat([x, paired[:2]])
    mean, log_variance = (part.double().numpy() for part in net.encoder.read(every))
    z = mean + np.exp(0.5 * log_variance) * eps
    shift = np.vstack([np.repeat(net.shift(condition[:1]).numpy(), 6, axis=0), np.zeros((2, 5))])
    decoded = net.decoder(torch.from_numpy(z + shift).float()).double().numpy()
    sd = np.exp(0.5 * net.noise.double().numpy())
    log_likelihood = stats.norm.logpdf(every.numpy(), decoded, sd).mean() + 0.5 * np.log(2 * np.pi)
    # KL of two normals: E_q log q - E_q log p, by entropies.
    entropy = stats.norm.entropy(scale=np.exp(0.5 * log_variance)).sum(axis=1)
    cross = 0.5 * (np.log(2 * np.pi) + mean**2 + np.exp(log_variance)).sum(axis=1)
    assert loss == pytest.approx(-log_likelihood + (cross - entropy).mean() / x.shape[1], rel=1e-5)


@torch.no_grad()
def test_counterfactual_cells_keep_what_the_model_does_not_explain(task, tiny, controls):
    net, code = fit(task, prediction="counterfactual").net, codes(tiny, "G02+ctrl", len(controls))
    z = net.encoder.read(controls).mean
    moved = net.decoder(z + net.shift(code)) - net.decoder(z)
    torch.testing.assert_close(net.respond(controls, code) - controls, moved, rtol=1e-4, atol=1e-5)
    same = net.respond(controls, codes(tiny, "ctrl", len(controls)))
    torch.testing.assert_close(same, controls, rtol=0, atol=1e-5)


def test_samples_are_spread_as_the_likelihood_says(task, tiny, controls):
    net = fit(task).net
    code = codes(tiny, "G02+ctrl", len(controls))
    drawn = net.sample(controls, code, 3).detach()
    assert torch.equal(drawn, net.sample(controls, code, 3))
    assert not torch.equal(drawn, net.sample(controls, code, 4))
    sd = torch.exp(0.5 * net.noise).detach()
    net.noise.data.fill_(-99.0)  # clamped at a variance of 1e-3
    quiet = net.sample(controls, code, 3).detach()
    noise = (drawn - quiet) / (sd - 1e-3**0.5)
    torch.testing.assert_close(noise.mean(dim=0), torch.zeros(len(sd)), atol=1e-4, rtol=0)
    assert stats.kstest(noise.flatten().numpy(), "norm").pvalue > 1e-3


@pytest.mark.slow
def test_overfits_ten_conditions(task, tiny, controls):
    model = fit(task, width=128, latent=32, learning_rate=3e-3, epochs=150, identity_dropout=0.0, weight_decay=0.0)
    bulk, found = task.pseudobulk("train"), []
    for name, shift in zip(bulk.conditions, bulk.shifts, strict=True):
        with torch.no_grad():
            predicted = model.net.respond(controls, codes(tiny, name, len(controls))).double().mean(dim=0).numpy()
        found.append(np.corrcoef(predicted - task.input_means[0], shift)[0, 1])
    assert np.mean(found) > 0.9


def test_it_draws_cells(task, fitted):
    assert CPALike.emits_cells
    batch = next(iter(task.predict_dataloader()))
    assert fitted.predict_step(batch).std(dim=0).max() > 0.1


@pytest.mark.parametrize(
    "bad", [{"latent": 0}, {"epochs": 0}, {"kl_weight": -1.0}, {"prediction": "guess"}, {"width": -1}]
)
def test_bad_arguments(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        CPALike(**bad)
