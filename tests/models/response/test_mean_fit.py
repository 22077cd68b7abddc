"""The response on condition means: what it can learn, what it must not, and how its step is chosen."""

import itertools

import numpy as np
import pytest
import torch
from harness import predict, small
from responses import fitted_to_the_end, shift_of, to_the_end
from scipy.stats import pearsonr

from bench.data.dataset import build
from bench.data.task import Task
from bench.models import registry
from bench.runner import fit as run
from bench.tracks.response import score
from bench.tracks.response.truth import truth
from bench.training.fit import FitContext


@pytest.mark.parametrize(
    ("name", "residual"),
    [
        pytest.param("constant_encoder", "none", marks=pytest.mark.ci),
        *(
            pytest.param(*both, marks=pytest.mark.slow)
            for both in itertools.product(("constant_encoder", "jepa", "supervised"), ("train_mean", "none"))
            if both != ("constant_encoder", "none")
        ),
    ],
)
def test_ten_conditions_can_be_overfitted(name, residual, module, monkeypatch):
    train = module.pseudobulk("train")
    assert len(train.conditions) == 10

    def r(steps):
        model = fitted_to_the_end(name, module, monkeypatch, steps, residual=residual)
        got = shift_of(model, module, train.conditions)
        return [pearsonr(a, b).statistic if a.std() else 0.0 for a, b in zip(got, train.shifts, strict=True)]

    assert min(r(300)) > 0.95
    assert np.mean(r(0)) < 0.8  # the base alone does not


@pytest.mark.slow
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
        card=data.card,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["constant_encoder", "mae"])
def test_permuted_labels_teach_nothing(name, simulated, tmp_path, monkeypatch):
    """Discrimination against the true conditions: about chance after permuted labels, far above it after true ones.

    Trained to the end, as the val conditions, whose labels stay, would otherwise choose not to train at all.
    """
    data, split = simulated.dataset, simulated.split
    facts = truth.compute(Task(data, split))
    to_the_end(monkeypatch, 100)
    arguments = {"head_width": 64, "action_width": 64, "head_steps": 100, "head_learning_rate": 3e-3}

    def discrimination(cells):
        got = predict(name, cells, split, tmp_path, **arguments)[2]
        table = score.score_table(facts, got.y_hat, got.fallbacks).frame
        chosen = table[(table["metric"] == "discrimination") & (table["scope"] == "all")]
        assert len(chosen) == len(split.test) == 60
        assert not chosen["degenerate"].any()  # there is something to tell apart in either case
        return chosen["value"].mean()

    # Three permutations: the conditions' predictions are alike, so that one of them may lie .11 from chance.
    assert np.mean([discrimination(permuted(data, split, seed)) for seed in range(3)]) == pytest.approx(0.5, abs=0.1)
    assert discrimination(data) > 0.65


@pytest.mark.slow
def test_val_conditions_choose_rate_and_step(simulated):
    """With 10 or more of them; what is kept is never worse on val than the base."""
    model = registry.load("constant_encoder")(**{**small("constant_encoder"), "head_steps": 40, "head_seeds": 2})
    run.fit(model, simulated, 1)
    assert model.fit_report.trials == 3
    assert model.fit_report.steps == 40 * (3 + 1)
    assert "on 12 val conditions, of 3 rates" in model.fit_report.selection
    val = simulated.pseudobulk("val")
    error = ((shift_of(model, simulated, val.conditions) - val.shifts) ** 2).mean()
    base = ((simulated.train_shift - val.shifts) ** 2).mean()
    assert error <= base * 1.001


def test_a_rate_that_is_given_is_the_only_trial(simulated):
    settings = {**small("constant_encoder"), "head_learning_rate": 2e-3}
    model = registry.load("constant_encoder")(**settings)
    run.fit(model, simulated, 1)
    assert (model.fit_report.trials, model.fit_report.steps) == (1, settings["head_steps"])
    assert "head rate 0.002" in model.fit_report.selection


def test_a_learnable_residual_is_kept_and_an_unlearnable_one_is_not(simulated):
    """Chosen by val: features that say nothing leave the base; the choice never takes the last step for granted."""
    settings = {**small("constant_encoder"), "head_steps": 150, "head_learning_rate": 1e-2, "head_weight_decay": 0.0}
    model = registry.load("constant_encoder")(**settings)
    run.fit(model, simulated, 1)
    steps = int(model.fit_report.selection.split("steps ")[1].split(" of")[0])
    assert steps < 150  # 88 conditions are overfitted long before


@pytest.mark.ci
def test_head_seeds_are_averaged(module):
    arguments = {**small("constant_encoder"), "residual": "none"}
    names = module.predicted_conditions
    model = registry.load("constant_encoder")(**{**arguments, "head_seeds": 3})
    run.fit(model, module, 1, FitContext(head_seed=4))
    together, responses = shift_of(model, module, names), list(model.response.networks)
    assert [r.seed for r in responses] == [4000, 4001, 4002]
    each = []
    for r in responses:
        model.response.networks = torch.nn.ModuleList([r])
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
    (features,) = model.response.networks[0].table.widths.values()
    first = 2 * (conditions * slots * features * e + conditions * d * h)  # features and latents
    of_actions = 3 * conditions * slots * 2 * mode * e  # scale and shift by mode
    of_block = 3 * conditions * (2 * e * h + 2 * h * h)
    rest = 3 * conditions * (h * h + e * h + h * g) + conditions * h * h  # mean, direct, decoder; unused log-variance
    one = 2 * (first + of_actions + of_block + rest)
    assert model.fit_report.flops == pytest.approx(one * model.fit_report.steps, rel=0.01)
