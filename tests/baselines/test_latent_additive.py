"""The latent additive model against a dense restatement, and the choice of its setting."""

import numpy as np
import pytest
import screens
import torch
from harness import predict

from baselines import _cell_net
from baselines._cell_net import MeanError, settings
from baselines.latent_additive import LatentAdditive
from bench.core.conditions import constituents
from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.runner import fit as run


def fit(task, **arguments):
    model = LatentAdditive(**{"width": 16, "epochs": 2, "batch_size": 64, **arguments})
    run.fit(model, task, 1)
    return model


@pytest.fixture(scope="module")
def task(tiny, tiny_split):
    return PerturbationDataModule(Task(tiny, tiny_split))


@pytest.fixture(scope="module")
def many_val(tiny, tiny_split):
    """The same with ten val conditions."""
    moved = tiny_split.test[:8]
    rest = {name: tuple(c for c in of if c not in moved) for name, of in tiny_split.subgroups.items()}
    update = {"val": (*tiny_split.val, *moved), "test": tiny_split.test[8:], "subgroups": rest}
    return PerturbationDataModule(Task(tiny, tiny_split.model_copy(update=update)))


def dense(weights, prefix, x, first=True):
    """Two hidden layers in numpy: linear, norm without weights, ReLU; dropout does nothing in prediction."""

    def linear(name, x):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)

    x = linear(f"{prefix}.0", x) if first else x
    inner = f"{prefix}.1" if first else prefix
    hidden = linear(f"{inner}.3", np.maximum(norm(x), 0))
    return linear(f"{inner}.7", np.maximum(norm(hidden), 0))


def test_equals_a_dense_restatement(task, tiny, tiny_split):
    model = fit(task, features="pca")
    weights = {name: tensor.double().numpy() for name, tensor in model.net.state_dict().items()}
    table = model.net.table
    seen = sorted({gene for name in tiny_split.train for gene in constituents(name)})
    scale, shift = (
        weights["composer.mode.weight"][-1] @ weights[f"composer.{kind}.weight"].T + weights[f"composer.{kind}.bias"]
        for kind in ("scale", "shift")
    )
    controls = tiny.x[task.input_rows[0]].toarray()
    for name in ("G02+G03", "G08+ctrl", "G08+G09"):
        code = tiny.conditions.index(name)
        total = 0
        for slot, gene in enumerate(constituents(name)):
            features = table.features_1[code, slot].double().numpy()
            column = (
                features @ weights["composer.project.from_pca.weight"].T + weights["composer.project.from_pca.bias"]
            )
            if gene in seen:
                column = column + weights["composer.identity.weight"][1 + seen.index(gene)]
            total = total + column * (1 + scale) + shift
        z = dense(weights, "encoder", controls.astype(float)) + dense(weights, "perturb", total, first=False)
        expected = np.log1p(np.exp(dense(weights, "decoder", z)))
        got = model.net.respond(torch.from_numpy(controls), torch.full((len(controls),), code)).detach().numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_overfits_ten_conditions(task, tiny):
    model = fit(task, width=128, learning_rate=3e-3, epochs=120, dropout=0.0, identity_dropout=0.0, weight_decay=0.0)
    assert train_correlation(model, task, tiny) > 0.9


def train_correlation(model, task, data):
    """Mean Pearson correlation of predicted and measured shifts of the train conditions."""
    bulk, controls = task.pseudobulk("train"), torch.from_numpy(data.x[task.input_rows[0]].toarray())
    found = []
    for name, shift in zip(bulk.conditions, bulk.shifts, strict=True):
        code = torch.full((len(controls),), data.conditions.index(name))
        with torch.no_grad():
            predicted = model.net.respond(controls, code).double().mean(dim=0).numpy() - task.input_means[0]
        found.append(np.corrcoef(predicted, shift)[0, 1])
    return float(np.mean(found))


def test_an_unseen_target_falls_back_only_without_features(task, tmp_path):
    rows = [f"G{i:02d},{i % 3},{i % 5}" for i in range(12) if i != 9]
    (tmp_path / "f.csv").write_text("\n".join(["gene,a,b", *rows]))
    model = fit(task, features=str(tmp_path / "f.csv"))
    assert model.fallbacks("G08+ctrl") == 0
    assert model.fallbacks("G09+ctrl") == model.fallbacks("G08+G09") == 1
    assert any("1 of 12 perturbed genes have no features (G09)" in text for text in model.warnings)


def test_the_error_of_val_means_by_loops():
    data = screens.tiny_screen(contexts=2)
    task = PerturbationDataModule(Task(data, screens.hand_split(data)))
    net = fit(task).net
    errors = []
    for name in task.split.val:
        rows = data.cells_of[name]
        mean = np.zeros(len(task.genes))
        for context, inputs in enumerate(task.input_rows):
            share = (data.context[rows] == context).mean()
            controls = torch.from_numpy(data.x[inputs[: _cell_net.CELLS]].toarray())
            code = torch.full((len(controls),), data.conditions.index(name))
            with torch.no_grad():
                mean += share * net.respond(controls, code).double().numpy().mean(axis=0)
        errors.append(((mean - data.x[rows].toarray().astype(float).mean(axis=0)) ** 2).mean())
    assert MeanError(net, task)() == pytest.approx(np.mean(errors), rel=1e-6)


@pytest.mark.slow
def test_the_setting_of_the_smallest_val_error_is_taken(many_val):
    """Each setting on its own reaches what it reached among all; the best of these is the choice."""
    model = fit(many_val, width=0)
    assert model.fit_report.trials == len(settings(0, 0.0)) == 6
    assert model.fit_report.cells_seen == 6 * 2 * len(many_val.dataset.rows(many_val.split.train))
    errors = {}
    for setting in settings(0, 0.0):
        alone = fit(many_val, width=setting.width, learning_rate=setting.rate)
        assert alone.fit_report.trials == 1
        errors[setting] = MeanError(alone.net, many_val)()
    assert model.net.setting == min(errors, key=errors.get)
    assert MeanError(model.net, many_val)() == min(errors.values())


def test_the_budget_ends_the_trials(many_val, monkeypatch):
    monkeypatch.setattr(_cell_net, "MAX_TRIALS", 2)
    model = fit(many_val, width=0, epochs=1)
    assert model.fit_report.trials == 2 and "of 2 of 6 settings" in model.fit_report.selection


def test_few_val_conditions_choose_nothing(task):
    model = fit(task, width=0)
    assert model.fit_report.trials == 1 and model.net.setting == settings(0, 0.0)[0]
    assert "default setting, one trial, to its end: only 2 val" in model.fit_report.selection


def test_expression_is_not_negative(tiny, tiny_split, tmp_path):
    assert predict("latent_additive", tiny, tiny_split, tmp_path)[2].y_hat.min() > 0


@pytest.mark.parametrize("bad", [{"width": -1}, {"learning_rate": -1.0}, {"latent": 0}, {"epochs": 0}])
def test_bad_arguments(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        LatentAdditive(**bad)
