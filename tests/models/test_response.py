"""The second stage: its base, what it can learn, what it must not, and the two tracks in which the encoder matters."""

import numpy as np
import pytest
import screens
import torch
from harness import predict, small
from scipy.stats import pearsonr

from bench import run, score, truth
from bench.data import load
from bench.data.cells import build
from bench.data.datamodule import InputBatch, PerturbationDataModule
from bench.errors import BenchError
from bench.models import registry, response
from bench.models.base import Runtime
from bench.shifts import row_mean


def shift_of(model, data, names):
    """Predicted mean shifts of any conditions of one context ``[T, G]``."""
    cells = torch.from_numpy(data.data.x[data.input_rows[0]].toarray())
    out = []
    for name in names:
        condition = torch.full((len(cells),), data.data.conditions.index(name))
        batch = InputBatch(cells, condition, torch.zeros_like(condition))
        with torch.no_grad():
            out.append((model.predict_step(batch).double() - cells.double()).mean(dim=0).numpy())
    return np.stack(out)


def to_the_end(monkeypatch, steps):
    """Responses are trained on all train conditions for these steps: no rule stops them."""

    def fit(task, settings, ledger, runtime):
        ledger.selection = "all steps"
        made, _ = response._fit_one(task, settings, settings.rate, 1_000, None, steps, runtime)
        return [made]

    monkeypatch.setattr(response, "fit", fit)


def fitted_to_the_end(name, data, monkeypatch, steps, **arguments):
    """A model whose response is trained to the end."""
    to_the_end(monkeypatch, steps)
    settings = {"head_width": 128, "head_depth": 1, "action_width": 64, "head_steps": steps}
    model = registry.load(name)(**{**small(name), **settings, "head_learning_rate": 3e-3, **arguments})
    run.fit(model, data, 1)
    return model


# The base


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
    module = PerturbationDataModule(data, screens.hand_split(data), seed=1)
    model = fitted_to_the_end("constant_encoder", module, monkeypatch, 0, residual="train_mean", head_steps=10)
    expected = np.tile(module.train_shift, (len(module.predicted_conditions), 1))
    np.testing.assert_allclose(shift_of(model, module, module.predicted_conditions), expected, atol=1e-6)


# What it can learn


@pytest.mark.parametrize("residual", ["train_mean", "none"])
@pytest.mark.parametrize("name", ["constant_encoder", "jepa", "supervised"])
def test_ten_conditions_can_be_overfitted(name, residual, module, monkeypatch):
    train = module.pseudobulk("train")
    assert len(train.conditions) == 10

    def r(steps):
        model = fitted_to_the_end(name, module, monkeypatch, steps, residual=residual)
        got = shift_of(model, module, train.conditions)
        return [pearsonr(a, b).statistic if a.std() else 0.0 for a, b in zip(got, train.shifts, strict=True)]

    assert min(r(300)) > 0.95
    assert np.mean(r(0)) < 0.8  # the base alone does not


@pytest.mark.parametrize("kind", ["fixed", "report"])
def test_token_predictors_can_be_overfitted(kind, module, monkeypatch):
    train = module.pseudobulk("train")
    model = fitted_to_the_end(
        "random_encoder", module, monkeypatch, 120, residual="none", predictor=kind, encoder="gene_transformer"
    )
    got = shift_of(model, module, train.conditions)
    assert np.mean([pearsonr(a, b).statistic for a, b in zip(got, train.shifts, strict=True)]) > 0.8


def permuted(data, split, seed):
    """Labels of the train cells exchanged among themselves."""
    rows = data.rows(split.train)
    condition = np.array(data.conditions)[data.condition]
    condition[rows] = np.random.default_rng(seed).permutation(condition[rows])
    return build(
        data.name,
        data.x,
        genes=data.genes,
        barcodes=data.barcodes,
        condition=condition,
        context=np.array(data.contexts)[data.context],
        batch=np.array(data.batches)[data.batch],
        source=data.name,
    )


@pytest.mark.parametrize("name", ["constant_encoder", "mae"])
def test_permuted_labels_teach_nothing(name, simulated, tmp_path, monkeypatch):
    """Discrimination against the true conditions: about chance after permuted labels, far above it after true ones.

    Trained to the end, as the val conditions, whose labels stay, would otherwise choose not to train at all.
    """
    data, split = simulated.data, simulated.split
    facts = truth.compute(data, split)
    to_the_end(monkeypatch, 100)
    arguments = {"head_width": 64, "action_width": 64, "head_steps": 100, "head_learning_rate": 3e-3}

    def discrimination(cells):
        monkeypatch.setitem(load._cards, (cells.name, cells.hash), load.card_of(data))
        got = predict(name, cells, split, tmp_path, **arguments)[2]
        groups = {key: list(names) for key, names in split.subgroups.items()}
        table = score.score_table(facts, got.y_hat, got.fallbacks, groups)
        chosen = table[(table["metric"] == "discrimination") & (table["scope"] == "all")]
        assert len(chosen) == len(split.test) == 60
        assert not chosen["degenerate"].any()  # there is something to tell apart in either case
        return chosen["value"].mean()

    # Three permutations: the conditions' predictions are alike, so that one of them may lie .11 from chance.
    assert np.mean([discrimination(permuted(data, split, seed)) for seed in range(3)]) == pytest.approx(0.5, abs=0.1)
    assert discrimination(data) > 0.65


def test_val_conditions_choose_rate_and_step(simulated):
    """With 10 or more of them; what is kept is never worse on val than the base."""
    model = registry.load("constant_encoder")(**{**small("constant_encoder"), "head_steps": 40, "head_seeds": 2})
    run.fit(model, simulated, 1)
    assert model.ledger.trials == 3
    assert model.ledger.steps == 40 * (3 + 1)
    assert "on 12 val conditions, of 3 rates" in model.ledger.selection
    val = simulated.pseudobulk("val")
    error = ((shift_of(model, simulated, val.conditions) - val.shifts) ** 2).mean()
    base = ((simulated.train_shift - val.shifts) ** 2).mean()
    assert error <= base * 1.001


def test_a_rate_that_is_given_is_the_only_trial(simulated):
    settings = {**small("constant_encoder"), "head_learning_rate": 2e-3}
    model = registry.load("constant_encoder")(**settings)
    run.fit(model, simulated, 1)
    assert (model.ledger.trials, model.ledger.steps) == (1, settings["head_steps"])
    assert "head rate 0.002" in model.ledger.selection


def test_a_learnable_residual_is_kept_and_an_unlearnable_one_is_not(simulated):
    """Chosen by val: features that say nothing leave the base; the choice never takes the last step for granted."""
    settings = {**small("constant_encoder"), "head_steps": 150, "head_learning_rate": 1e-2, "head_weight_decay": 0.0}
    model = registry.load("constant_encoder")(**settings)
    run.fit(model, simulated, 1)
    steps = int(model.ledger.selection.split("steps ")[1].split(" of")[0])
    assert steps < 150  # 88 conditions are overfitted long before


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"residual": "mean"}, "residual: expected one of train_mean, additive, none"),
        ({"latent_target": "cells"}, "latent_target: expected one of genes, own"),
        ({"predictor": "mlp"}, "predictor: expected one of film, fixed, report"),
        ({"head_steps": -1}, "head_steps"),
        ({"head_seeds": 0}, "head_seeds at least 1"),
        ({"head_learning_rate": -1.0}, "head_learning_rate"),
    ],
)
def test_settings_that_do_not_go_together(wrong, words):
    with pytest.raises(ValueError, match=words):
        registry.load("constant_encoder")(**wrong)


def test_head_seeds_are_averaged(module):
    arguments = {**small("constant_encoder"), "residual": "none"}
    names = module.predicted_conditions
    model = registry.load("constant_encoder")(**{**arguments, "head_seeds": 3})
    run.fit(model, module, 1, Runtime(head_seed=4))
    together, responses = shift_of(model, module, names), list(model.responses)
    assert [r.seed for r in responses] == [4000, 4001, 4002]
    each = []
    for r in responses:
        model.responses = torch.nn.ModuleList([r])
        each.append(shift_of(model, module, names))
    np.testing.assert_allclose(together, np.mean(each, axis=0), atol=1e-6)
    assert not np.allclose(each[0], each[1], atol=1e-6)


def test_flops_of_a_response_by_hand(module):
    """Multiply and add of every layer, forward and backward; the first layers need no gradient of their input."""
    settings = small("constant_encoder")
    model = registry.load("constant_encoder")(**settings)
    run.fit(model, module, 1)
    e, h, d, g = settings["action_width"], settings["head_width"], 1, len(module.genes)
    mode, conditions, slots = 64, 10, 2
    (features,) = model.responses[0].table.widths.values()
    first = 2 * (conditions * slots * features * e + conditions * d * h)  # features and latents
    of_actions = 3 * conditions * slots * 2 * mode * e  # scale and shift by mode
    of_block = 3 * conditions * (2 * e * h + 2 * h * h)
    rest = 3 * conditions * (h * h + e * h + h * g) + conditions * h * h  # mean, direct, decoder; unused log-variance
    one = 2 * (first + of_actions + of_block + rest)
    assert model.ledger.flops == pytest.approx(one * model.ledger.steps, rel=0.01)


# The encoder's two tracks


def test_features_from_an_encoder_are_its_decoder_weights(module):
    """Against sklearn: ridge regression of each gene on the standardised components."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge

    from bench.models.actions import ActionTable
    from bench.models.encoder_model import FROM_ENCODER

    model = registry.load("pca_encoder")(**small("pca_encoder"), features=FROM_ENCODER, components=8)
    run.fit(model, module, 1)
    cells = module.data.x[module.representation_rows("train")].toarray().astype(np.float64)
    z = PCA(8, svd_solver="full").fit_transform(cells)
    z /= z.std(axis=0)
    expected = Ridge(alpha=0.01 * len(z)).fit(z, cells).coef_  # [G, 8], up to the components' signs
    train = sorted({g for name in module.split.train for g in name.split("+")} - {"ctrl"})
    rows = [module.genes.index(g) for g in train]
    chosen = expected[rows]
    scale = np.maximum(chosen.std(axis=0), 0.1 * expected.std(axis=0))
    wanted = ((expected - chosen.mean(axis=0)) / scale).clip(-10, 10)
    table: ActionTable = model.responses[0].table
    assert table.widths == {FROM_ENCODER: 8}
    values, known = table.features(torch.arange(len(module.data.conditions)))
    for i, name in enumerate(module.data.conditions):
        if name.endswith("+ctrl"):
            assert known[FROM_ENCODER][i, 0]
            got = values[FROM_ENCODER][i, 0].numpy()
            np.testing.assert_allclose(np.abs(got), np.abs(wanted[module.genes.index(name[:3])]), atol=2e-2)


def test_an_encoder_that_says_nothing_has_no_features(module):
    model = registry.load("constant_encoder")(**small("constant_encoder"), features="from_encoder")
    with pytest.raises(BenchError, match="model 'constant_encoder': features=from_encoder: .* nothing about any gene"):
        run.fit(model, module, 1)


def test_features_can_be_joined_with_those_of_an_encoder(module):
    model = registry.load("identity")(**small("identity"), features="pca+from_encoder")
    run.fit(model, module, 1)
    assert list(model.responses[0].table.widths) == ["pca", "from_encoder"]


@pytest.mark.parametrize("name", ["identity", "pca_encoder"])
def test_own_latents_are_decoded_to_genes(name, module, monkeypatch):
    """The identity's latents are the genes: predicting its own latents is predicting genes, decoded."""
    extra = {"components": 40} if name == "pca_encoder" else {}
    train = module.pseudobulk("train")
    shifts = {
        target: shift_of(
            fitted_to_the_end(name, module, monkeypatch, 300, residual="none", latent_target=target, **extra),
            module,
            train.conditions,
        )
        for target in ("own", "genes")
    }
    assert np.isfinite(shifts["own"]).all()
    error = ((shifts["own"] - train.shifts) ** 2).mean()
    assert error < 0.2 * (train.shifts**2).mean()  # no change at all has 1
    each = [pearsonr(a, b).statistic for a, b in zip(shifts["own"], shifts["genes"], strict=True)]
    assert np.mean(each) > 0.9


def test_constant_latents_carry_nothing_of_their_own(module, monkeypatch):
    model = fitted_to_the_end("constant_encoder", module, monkeypatch, 20, residual="none", latent_target="own")
    np.testing.assert_array_equal(shift_of(model, module, module.predicted_conditions), 0)


def test_the_latent_that_a_start_has_is_standardised_by_train_cells(module):
    model = registry.load("pca_encoder")(**small("pca_encoder"), components=5)
    run.fit(model, module, 1)
    rows = module.representation_rows("train")
    z = model.standardised(torch.from_numpy(module.data.x[rows].toarray())).pooled.numpy()
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(z.std(axis=0), 1, atol=1e-3)


def test_shifts_are_those_of_the_pseudobulk(module, monkeypatch):
    """What a response is trained on, against means taken by hand."""
    tasks = []
    monkeypatch.setattr(response, "fit", lambda task, *rest: tasks.append(task) or [response.Response(task, *_rest)])
    model = registry.load("identity")(**small("identity"))
    _rest = (model.head, 1e-3, 1)
    run.fit(model, module, 1)
    (task,) = tasks
    data = module.data
    inputs = row_mean(data.x, module.input_rows[0])
    for part, targets in (("train", task.train), ("val", task.val)):
        names = [data.conditions[i] for i in targets.condition.tolist()]
        assert set(names) == set(getattr(module.split, part))
        for name, shift in zip(names, targets.shift.numpy(), strict=True):
            np.testing.assert_allclose(shift, row_mean(data.x, data.cells_of[name]) - inputs, atol=1e-5)
