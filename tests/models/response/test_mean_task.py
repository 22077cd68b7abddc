"""What a response is fitted on: the base that it adds to, and the shifts that it learns."""

import numpy as np
import pytest
import screens
from harness import small
from responses import fitted_to_the_end, shift_of

from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.models import registry
from bench.models.response import mean_fit
from bench.models.response.folds import folds
from bench.runner import fit as run
from bench.stats.shifts import row_mean


@pytest.mark.parametrize(("residual", "baseline"), [("none", "no_change"), ("train_mean",) * 2, ("additive",) * 2])
@pytest.mark.parametrize("target", ["genes", "own"])
def test_before_any_step_a_model_is_its_base(residual, baseline, target, module, monkeypatch, tmp_path):
    """The baselines, written without this code, are the truth."""
    made = fitted_to_the_end(
        "pca_encoder", module, monkeypatch, 0, residual=residual, latent_target=target, head_steps=10
    )
    names = module.predicted_conditions
    reference = registry.load(baseline)()
    reference.fit(module)
    expected = shift_of(reference, module, names)
    np.testing.assert_allclose(shift_of(made, module, names), expected, atol=1e-6)
    assert (np.abs(expected).max() > 0.1) == (residual != "none")


@pytest.mark.parametrize(("residual", "baseline"), [("none", "no_change"), ("train_mean",) * 2, ("additive",) * 2])
def test_no_head_steps_is_the_base(residual, baseline, module):
    model = registry.load("constant_encoder")(**{**small("constant_encoder"), "head_steps": 0, "residual": residual})
    run.fit(model, module, 1)
    reference = registry.load(baseline)()
    reference.fit(module)
    names = module.predicted_conditions
    np.testing.assert_allclose(shift_of(model, module, names), shift_of(reference, module, names), atol=1e-6)


def test_no_head_steps_is_the_base_where_val_conditions_choose(simulated):
    model = registry.load("constant_encoder")(**{**small("constant_encoder"), "head_steps": 0})
    run.fit(model, simulated, 1)
    names = simulated.predicted_conditions
    expected = np.tile(simulated.train_shift, (len(names), 1))
    np.testing.assert_allclose(shift_of(model, simulated, names), expected, atol=1e-6)


def test_the_base_of_uneven_contexts_is_that_of_the_baselines(monkeypatch):
    """Conditions whose cells are spread unevenly over two contexts: each counts as in the floor."""
    counts, obs = screens.tiny_counts(contexts=2)
    rows = np.arange(len(obs))
    context, gene = obs["context"].to_numpy(), obs["condition"].to_numpy()
    keep = (context == "line0") | (gene == "ctrl") | (rows % 3 == 0) | np.isin(gene, ["G00+ctrl", "G01+ctrl"])
    data = screens.screen(counts[keep], obs[keep])
    module = PerturbationDataModule(Task(data, screens.hand_split(data)), seed=1)
    model = fitted_to_the_end("constant_encoder", module, monkeypatch, 0, residual="train_mean", head_steps=10)
    expected = np.tile(module.train_shift, (len(module.predicted_conditions), 1))
    np.testing.assert_allclose(shift_of(model, module, module.predicted_conditions), expected, atol=1e-6)


def test_shifts_are_those_of_the_pseudobulk(module, monkeypatch):
    """What a response is trained on, against means taken by hand."""
    tasks = []
    monkeypatch.setattr(mean_fit, "fit", lambda task, *rest: tasks.append(task) or [mean_fit.MeanHead(task, *_rest)])
    model = registry.load("identity")(**small("identity"))
    _rest = (model.response.config, 1e-3, 1)
    run.fit(model, module, 1)
    (task,) = tasks
    data = module.dataset
    inputs = row_mean(data.x, module.input_rows[0])
    for part, targets in (("train", task.train), ("val", task.val)):
        names = [data.conditions[i] for i in targets.condition.tolist()]
        assert set(names) == set(getattr(module.split, part))
        for name, shift in zip(names, targets.shift.numpy(), strict=True):
            np.testing.assert_allclose(shift, row_mean(data.x, data.cells_of[name]) - inputs, atol=1e-5)


@pytest.mark.parametrize(("residual", "cancels"), [("train_mean", True), ("none", False)])
def test_controls_cancel_in_what_is_added_to_the_train_mean(residual, cancels, tiny, tiny_split, monkeypatch):
    """What a response learns and is chosen by, in val conditions and folds, does not depend on their noise."""
    tasks = []
    monkeypatch.setattr(mean_fit, "fit", lambda task, *rest: tasks.append(task) or [mean_fit.MeanHead(task, *_rest)])
    noise = np.random.default_rng(0).normal(size=(1, len(tiny.genes)))
    for scale in (0.0, 0.3):
        module = PerturbationDataModule(Task(tiny, tiny_split), seed=1)
        module.__dict__["input_means"] = module.input_means + scale * noise
        model = registry.load("constant_encoder")(**{**small("constant_encoder"), "residual": residual})
        _rest = (model.response.config, 1e-3, 1)
        run.fit(model, module, 1)
    parts = []
    for task in tasks:
        pairs = [(task, task.train), (task, task.val)]
        for fold, held in folds(task, 1):
            pairs += [(fold, fold.train), (fold, held)]
        parts.append([(targets.shift - of.base[targets.condition]).numpy() for of, targets in pairs])
    assert len(parts[0]) == len(parts[1]) == 12
    for plain, noisy in zip(*parts, strict=True):
        np.testing.assert_allclose(noisy, plain if cancels else plain - 0.3 * noise, atol=1e-5)
