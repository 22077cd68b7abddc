"""The head-room baseline: ridge on the generator's own features, on simulated data and nowhere else."""

import dataclasses

import numpy as np
import pytest
import simulated_screen
from harness import predict
from sklearn.linear_model import Ridge

from baselines.oracle_features import OracleFeatures
from baselines.ridge import Ridge as RidgeOnViews
from bench.core.conditions import constituents
from bench.core.errors import BenchError
from bench.data import load
from bench.data.cards import find_card
from bench.data.datamodule import PerturbationDataModule
from bench.data.features.resolve import load_banks
from bench.data.simulate.genes import draw_genes
from bench.data.simulate.screens import SIMULATED, simulate
from bench.data.task import Task


@pytest.fixture(scope="module")
def small():
    return simulated_screen.task()


@pytest.fixture(scope="module")
def truth():
    return simulate(SIMULATED)


@pytest.mark.ci
def test_equals_scikit_learn_on_the_generators_features(small, truth, tmp_path):
    """All columns keep their scale: one factor makes their mean variance over the train targets 1."""
    data, split = small
    model, module, _ = predict("oracle_features", data, split, tmp_path, ridge=2.0)
    bulk, index = module.pseudobulk("train"), {gene: i for i, gene in enumerate(truth.genes.tolist())}
    features = truth.truth.network_features
    seen = sorted({index[gene] for name in split.train for gene in constituents(name)})
    features = features / np.sqrt(features[seen].var(axis=0).mean())
    f, wanted = (
        np.array([features[[index[gene] for gene in constituents(name)]].sum(axis=0) for name in names])
        for names in (bulk.conditions, module.predicted_conditions)
    )
    rows = [data.conditions.index(name) for name in module.predicted_conditions]
    expected = Ridge(2.0).fit(f, bulk.shifts).predict(wanted)
    np.testing.assert_allclose(model.shifts(rows).numpy(), expected, atol=1e-5)
    assert sorted(model.inputs) == ["features true_network"]
    assert any("head-room, not a method" in line for line in model.warnings)
    assert not any(model.fallbacks(name) for name in module.predicted_conditions)


def regulation(parameters):
    drawn = draw_genes(parameters)
    return tuple(drawn.genes.tolist()), drawn.outgoing


@pytest.mark.ci
def test_its_features_are_the_cause_and_not_the_shifts(truth):
    """They are the network's effects on programs, which know neither cells nor interactions nor saturation."""
    genes, features = regulation(SIMULATED)
    assert genes == tuple(truth.genes.tolist()) and features.shape == (500, SIMULATED.n_modules + 1)
    total = np.linalg.inv(np.eye(500) - truth.truth.network.toarray()) - np.eye(500)
    loadings = truth.truth.modules / np.linalg.norm(truth.truth.modules, axis=0)
    np.testing.assert_allclose(features[:, :-1], total.T @ loadings, atol=1e-9)
    changed = dataclasses.replace(SIMULATED, epistasis=0.0, saturation=2.0, library_median=9_000.0)
    np.testing.assert_array_equal(regulation(changed)[1], features)


def test_no_other_model_can_ask_for_them(small):
    data, split = small
    module = PerturbationDataModule(Task(data, split))
    for spec in ("true_network", "network_features"):
        with pytest.raises(BenchError, match="unknown features"):
            load_banks(spec, module)
    assert {bank.name for bank in load_banks("card", module)} == {"view_a", "view_b"}


def test_data_that_were_not_simulated_are_refused(tiny, tiny_split, tmp_path):
    with pytest.raises(BenchError, match=r"'oracle_features' reads the true network .* 'tiny' is not simulated"):
        predict("oracle_features", tiny, tiny_split, tmp_path)


def test_a_file_that_calls_itself_simulated_is_refused(small, tmp_path):
    """The card that the cells were read from decides, not their name."""
    data, split = small
    card = find_card("simulated").model_copy(update={"source": "simulated.h5ad"})
    with pytest.raises(BenchError, match="'simulated' is not simulated"):
        predict("oracle_features", dataclasses.replace(data, card=card), split, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["simulated", "simulated_hard"])
def test_it_stands_above_ridge_on_the_noisy_views(dataset):
    """By squared error to the planted shifts, over three splits: else it would be no head-room."""
    dataset = load.load(find_card(dataset))
    planted = simulate(load.parameters_of(dataset.card)).truth
    at = {frozenset(constituents(name)): i for i, name in enumerate(planted.conditions.tolist())}
    errors = {OracleFeatures: 0.0, RidgeOnViews: 0.0}
    for seed in (1, 2, 3):
        module = PerturbationDataModule(Task(dataset, simulated_screen.random_split(dataset, seed)))
        names = module.predicted_conditions
        shifts = planted.shifts[[at[frozenset(constituents(name))] for name in names]]
        for kind in errors:
            model = kind()
            model.fit(module)
            ours = model.shifts([dataset.conditions.index(name) for name in names]).numpy()
            errors[kind] += float(((ours - shifts) ** 2).mean())
    assert errors[OracleFeatures] < 0.95 * errors[RidgeOnViews]
