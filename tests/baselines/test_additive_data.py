"""On data without interactions no model is credited with any."""

from dataclasses import replace

import harness
import numpy as np
import pytest
import simulated_screen
import yaml

from bench.core.conditions import constituents
from bench.data import load
from bench.data.cards import read_card
from bench.data.datamodule import PerturbationDataModule
from bench.data.simulate.screens import simulate
from bench.data.task import Task
from bench.models import registry
from bench.tracks.response import score
from bench.tracks.response.metrics.registry import METRICS, evaluate
from bench.tracks.response.truth import truth

#: The plain sum, and what is a multiple of it: exactly chance, as is the train mean.
CLAIM_NOTHING = ("no_change", "train_mean", "additive", "matching_mean")
OTHERS = ("nonctl_mean", "ridge", "rrr", "oracle_features")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """All singles are train, all doubles test; nothing is planted in any of them."""
    card = tmp_path_factory.mktemp("card") / "additive_screen.yaml"
    wanted = {"source": "simulated", "expression": "counts", "features": ["view_a", "view_b"]}
    card.write_text(yaml.safe_dump({**wanted, "parameters": {"epistatic_share": 0.0}}))
    dataset = load.load(read_card(card))
    split = simulated_screen.split_of(dataset, [name for name in dataset.conditions if len(constituents(name)) == 1])
    assert set(split.subgroups) == {"combo_seen2"}
    return PerturbationDataModule(Task(dataset, split)), truth.compute(Task(dataset, split))


def epistasis(model, module, facts):
    """``epistasis_r`` of all doubles: which are resolved must not decide whether there is a bias."""
    model.fit(module)
    shifts = model.shifts([module.dataset.conditions.index(name) for name in facts.conditions]).numpy()
    return interactions(score.align(facts, facts.c_in + shifts))


def interactions(case):
    assert case.epistasis is not None
    every = replace(case.epistasis, resolved=case.epistasis.row >= 0)
    return evaluate(METRICS["epistasis_r"], replace(case, epistasis=every)).values


@pytest.mark.ci
@pytest.mark.parametrize("name", CLAIM_NOTHING)
def test_multiples_of_the_sum_claim_no_interaction(name, task):
    values = epistasis(registry.load(name)(), *task)
    assert len(values) == 100 and (values == 0.0).all()


@pytest.mark.ci
@pytest.mark.parametrize("name", ["linear", "knn", *(pytest.param(name, marks=pytest.mark.ci) for name in OTHERS)])
def test_no_closed_form_is_credited_with_an_interaction(name, task):
    """With the planted shifts of the singles 0; the noise of their cells in a prediction can only lower it."""
    module, facts = task
    measured = epistasis(registry.load(name)(), module, facts)
    planted = epistasis(registry.load(name)(), noiseless(module), facts)
    assert len(measured) == 100 and np.isfinite(measured).all() and np.isfinite(planted).all()
    assert -0.2 < measured.mean() < 0.05
    assert abs(planted.mean()) < 0.08  # sums of log changes are not quite sums after log1p


#: Own sizes, a fraction of the steps: enough to beat the mean.
BRIEF = {
    "jepa": {"width": 128, "hidden": 256, "epochs": 4, "head_width": 128, "action_width": 128, "head_steps": 200},
    "latent_additive": {"width": 128, "learning_rate": 3e-3, "epochs": 10},
    "cpa_like": {"width": 128, "learning_rate": 3e-3, "epochs": 20},
    "perturbed_vae": {"hidden": 256, "epochs": 5, "min_steps": 200, "action_width": 128},
    "gears": {"epochs": 2},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BRIEF))
def test_no_learned_model_is_credited_with_an_interaction(name, task, tmp_path):
    """Noise of the train singles, which learned models carry, pulls it below 0 (tests/stats/test_epistasis.py)."""
    module, facts = task
    got = harness.predict(name, module.dataset, module.split, tmp_path, **BRIEF[name])[2]
    case = score.align(facts, got.y_hat)
    learned = evaluate(METRICS["pearson_delta"], case).values.mean()
    values = interactions(case)
    assert learned > 0.25  # it does predict something: nothing would be credited with nothing
    assert len(values) == 100 and np.isfinite(values).all()
    assert -0.65 < values.mean() < 0.05


def noiseless(module):
    """The same task, but the train shifts are those that the generator planted."""
    made = PerturbationDataModule(module.task)
    bulk = made.pseudobulk("train")
    true = simulate(load.parameters_of(module.dataset.card)).truth
    at = {name: i for i, name in enumerate(true.conditions.tolist())}
    shifts = true.shifts[[at[name] for name in bulk.conditions]]
    planted = replace(bulk, shifts=shifts, means=bulk.means - bulk.shifts + shifts)
    made.pseudobulk = lambda part: planted if part == "train" else module.pseudobulk(part)
    return made
