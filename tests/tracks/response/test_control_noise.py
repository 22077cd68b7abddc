"""A prediction that was made from reference controls is told from one that was not."""

from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
import screens

import bench
from bench.data.task import Task
from bench.stats.shifts import row_mean
from bench.tracks.response.control_noise import MAX_LOADING, control_noise
from bench.tracks.response.truth import truth


def made(seed=0, fold=0, **options):
    dataset = screens.tiny_screen(seed=seed, **options)
    task = Task(dataset, screens.hand_split(dataset, fold=fold))
    return task, truth.compute(task)


@pytest.fixture(scope="module")
def case():
    return made()


def learned(task):
    """Mean of each train condition ``[K, G]``, by another way than the check's."""
    return np.stack([screens.dense(task.dataset, task.dataset.cells_of[c]).mean(axis=0) for c in task.split.train])


def made_from(task, facts, controls, weights):
    """Shifts of the train conditions against some controls, added up, on top of the input cells."""
    return facts.c_in + weights @ (learned(task) - controls)


def both(task, facts):
    rows = screens.rows_of(task.dataset, [b for p in task.split.input_controls.values() for b in p])
    rows += screens.rows_of(task.dataset, [b for p in task.split.reference_controls.values() for b in p])
    return row_mean(task.dataset.x, np.array(rows))


def weights_of(facts, k, seed=0):
    """Each condition from its own mixture of the train conditions; they sum to 1."""
    return np.random.default_rng(seed).dirichlet(np.ones(k), len(facts.conditions))


@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize(("who", "loading"), [("all", -0.5), ("reference", -1.0)])
def test_the_loading_is_the_weight_of_the_reference_controls(case, who, loading, share):
    task, facts = case
    w = weights_of(facts, len(task.split.train))
    cheat = made_from(task, facts, facts.c_ref[0] if who == "reference" else both(task, facts), w)
    honest = made_from(task, facts, facts.c_in[0], w)
    found = control_noise(task, facts, share * cheat + (1 - share) * honest)
    assert found.loading == pytest.approx(share * loading, abs=1e-9)
    assert found.found


def test_a_sum_of_train_shifts_has_no_loading_whatever_its_weights(case):
    task, facts = case
    w = np.random.default_rng(1).normal(size=(len(facts.conditions), len(task.split.train)))
    for y in (made_from(task, facts, facts.c_in[0], w), facts.c_in, facts.c_in + facts.train_delta, 0.9 * facts.c_in):
        found = control_noise(task, facts, y)
        assert (found.loading, found.p, found.found) == (0.0, 1.0, False)


def test_the_loading_is_that_of_least_squares(case):
    """One regression with all columns, by numpy, on genes divided by their SD."""
    task, facts = case
    rng = np.random.default_rng(2)
    y = facts.c_in + rng.normal(0, 0.1, facts.y.shape)
    genes = facts.expressed
    sd = facts.control_sd[genes]
    w = 1 / np.maximum(sd, 0.2 * np.median(sd))
    conditions = [*task.split.train, *task.split.val]
    means = [screens.dense(task.dataset, task.dataset.cells_of[c]).mean(axis=0)[genes] for c in conditions]
    columns = [np.ones(genes.sum()), facts.c_in[0, genes], *means, (facts.c_ref - facts.c_in)[0, genes]]
    fit = np.linalg.lstsq(
        np.stack(columns, axis=1) * w[:, None], (y - facts.c_in)[:, genes].mean(axis=0) * w, rcond=None
    )
    assert control_noise(task, facts, y).loading == pytest.approx(fit[0][-1], rel=1e-6, abs=1e-9)


@pytest.mark.slow
def test_p_of_predictions_that_are_not_sums_is_uniform_at_most():
    """40 screens, each with a prediction of its own: none is found, and small p are no more common than they should."""
    found = []
    for seed in range(40):
        task, facts = made(seed=seed, cells=15, controls=60)
        rng = np.random.default_rng(seed)
        w = weights_of(facts, len(task.split.train), seed)
        y = np.maximum(made_from(task, facts, facts.c_in[0], w) + rng.normal(0, 0.05, facts.y.shape), 0)
        found.append(control_noise(task, facts, y))
    p = np.array([one.p for one in found])
    assert not any(one.found for one in found)
    assert (p < 0.1).mean() < 0.1 + 3 * np.sqrt(0.09 / len(p))
    assert 0.3 < p.mean() < 0.7


def test_several_contexts():
    task, facts = made(contexts=2)
    shift = np.zeros_like(facts.y)
    for c, name in enumerate(task.dataset.contexts):
        at = facts.context == c
        cells = [task.dataset.cells_of[k] for k in task.split.train]
        own = [rows[task.dataset.context[rows] == c] for rows in cells]
        shift[at] = np.mean([row_mean(task.dataset.x, rows) for rows in own], axis=0)
        assert task.dataset.contexts[c] == name
    honest, cheat = facts.c_in + shift - facts.c_in, facts.c_in + shift - facts.c_ref
    assert not control_noise(task, facts, honest).found
    found = control_noise(task, facts, cheat)
    assert found.found and found.loading == pytest.approx(-1.0, abs=1e-6)


@pytest.mark.ci
def test_a_file_that_declares_input_falsely_has_no_skill(case):
    task, facts = case
    w = weights_of(facts, len(task.split.train))
    uns = {"data_hash": task.dataset.hash, "split_id": task.split.split_id, "controls_used": "input"}
    obs = pd.DataFrame({"condition": facts.conditions}, index=[str(i) for i in range(len(facts.conditions))])

    def score(y):
        table = anndata.AnnData(y.astype(np.float32), obs=obs, var=pd.DataFrame(index=list(facts.genes)), uns=uns)
        return bench.score(table, task, progress=False)

    honest = score(made_from(task, facts, facts.c_in[0], w))
    assert honest.record.controls_used == "input"
    assert not any("noise of the reference controls" in line for line in honest.record.warnings)
    cheat = score(made_from(task, facts, both(task, facts), w))
    assert cheat.record.controls_used == "all"
    assert any("noise of the reference controls (loading -0.50" in line for line in cheat.record.warnings)
    assert all(level.skill is None for level in cheat.metrics.values())


def test_the_rule_is_on_loading_and_p(case):
    task, facts = case
    found = control_noise(task, facts, made_from(task, facts, facts.c_ref[0], weights_of(facts, len(task.split.train))))
    assert found.found
    assert not replace(found, loading=MAX_LOADING / 2).found
    assert not replace(found, p=0.01).found
