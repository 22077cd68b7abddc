"""Baselines that only move the input cells: against their definitions, and the floor against its own model."""

import numpy as np
import pytest
from harness import predict

from bench.data.task import Task
from bench.tracks.response import score
from bench.tracks.response.truth import truth


@pytest.fixture(scope="module")
def facts(tiny, tiny_split):
    return truth.load(Task(tiny, tiny_split))


def test_no_change_is_the_input_mean(tiny, tiny_split, facts, tmp_path):
    got = predict("no_change", tiny, tiny_split, tmp_path)[2]
    np.testing.assert_allclose(got.y_hat, facts.c_in, atol=1e-9)


def test_train_mean_is_the_floor_of_every_metric(tiny, tiny_split, facts, tmp_path):
    got = predict("train_mean", tiny, tiny_split, tmp_path)[2]
    np.testing.assert_allclose(
        got.y_hat - facts.c_in, np.tile(facts.train_delta, (len(facts.conditions), 1)), atol=1e-9
    )
    table = score.score_table(facts, got.y_hat, got.fallbacks).frame
    table = table[table["metric"] != "state_r"]  # it is of shifts by state, which are not handed in here
    np.testing.assert_allclose(table["value"], table["floor"], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(table["half_value"], table["half_floor"], rtol=1e-6, atol=1e-9)


def test_additive_equals_train_mean_on_unseen_singles_and_sums_on_seen_pairs(tiny, tiny_split, tmp_path):
    model, module, got = predict("additive", tiny, tiny_split, tmp_path)
    mean = predict("train_mean", tiny, tiny_split, tmp_path)[2]
    bulk = module.pseudobulk("train")
    shift = dict(zip(bulk.conditions, bulk.shifts, strict=True))
    for i, name in enumerate(module.predicted_conditions):
        if name in tiny_split.subgroups["unseen_single"]:
            np.testing.assert_allclose(got.y_hat[i], mean.y_hat[i], atol=1e-12)
            assert got.fallbacks[i] == 1
        if name in tiny_split.subgroups["combo_seen2"]:
            a, b = (f"{gene}+ctrl" for gene in name.split("+"))
            np.testing.assert_allclose(got.y_hat[i], module.input_means[0] + shift[a] + shift[b], atol=1e-9)
            assert got.fallbacks[i] == 0
        if name in tiny_split.subgroups["combo_seen0"]:
            assert got.fallbacks[i] == 2


def test_multiplicative_multiplies_the_fold_changes_of_seen_singles(tiny, tiny_split, tmp_path):
    model, module, got = predict("multiplicative", tiny, tiny_split, tmp_path, pseudocount=0.5)
    bulk, control = module.pseudobulk("train"), module.input_means[0]
    mean = {name: np.expm1(control + shift) for name, shift in zip(bulk.conditions, bulk.shifts, strict=True)}
    asked = [name for name in module.predicted_conditions if name in tiny_split.subgroups["combo_seen2"]]
    for name in asked:
        a, b = (mean[f"{gene}+ctrl"] + 0.5 for gene in name.split("+"))
        both = np.log1p(np.maximum(a * b / (np.expm1(control) + 0.5) - 0.5, 0.0))
        i = module.predicted_conditions.index(name)
        np.testing.assert_allclose(got.y_hat[i], both, atol=1e-9)
        assert got.fallbacks[i] == 0
    plain = predict("additive", tiny, tiny_split, tmp_path)[2]
    assert asked and np.abs(got.y_hat - plain.y_hat).max() > 1e-3
    with pytest.raises(ValueError, match="expected above 0"):
        type(model)(pseudocount=0.0)
