"""Folds of the train conditions: what is left out is as unknown to a fold as test conditions are to the whole."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import screens
import torch
from harness import small
from responses import shift_of

from bench.core.conditions import constituents, single
from bench.data.controls import control_pools
from bench.data.datamodule import InputBatch, PerturbationDataModule
from bench.data.dataset import build
from bench.data.splits import split as splits
from bench.data.splits.split import Split
from bench.data.task import Task
from bench.models import registry
from bench.models.response import folds, mean_fit
from bench.models.response.actions import ActionTable
from bench.runner import fit as run
from bench.stats.shifts import row_mean


def task_of(module, monkeypatch, **arguments):
    """The task that a model's response is fitted on."""
    tasks = []

    def fit(task, settings, ledger, runtime):
        tasks.append(task)
        ledger.selection = "none"
        return [mean_fit.MeanHead(task, settings, 1e-3, 1)]

    with monkeypatch.context() as patch:
        patch.setattr(mean_fit, "fit", fit)
        run.fit(registry.load("constant_encoder")(**{**small("constant_encoder"), **arguments}), module, 1)
    return tasks[0]


def names_of(module, targets):
    return [module.dataset.conditions[i] for i in targets.condition.tolist()]


@pytest.mark.parametrize("residual", ["train_mean", "additive"])
def test_the_base_of_a_fold_is_the_baseline_fitted_on_what_it_keeps(residual, module, monkeypatch):
    """The baselines, written without this code, are the truth; they never see what is left out."""
    task = task_of(module, monkeypatch, residual=residual)
    left = []
    for fold, held in folds.folds(task, 1):
        kept, out = names_of(module, fold.train), names_of(module, held)
        left += out
        assert sorted(kept + out) == sorted(module.split.train)
        split = module.split.model_copy(update={"train": tuple(kept), "test": (*module.split.test, *out)})
        reduced = PerturbationDataModule(Task(module.dataset, split), seed=1)
        baseline = registry.load(residual)()
        baseline.fit(reduced)
        rows = [module.dataset.conditions.index(name) for name in reduced.predicted_conditions]
        assert set(out) <= set(reduced.predicted_conditions)
        np.testing.assert_allclose(fold.base[rows], baseline.shifts(rows), atol=1e-6)
        assert not np.allclose(fold.base[rows], task.base[rows], atol=1e-3)
    assert sorted(left) == sorted(module.split.train)  # each is left out once


@pytest.mark.parametrize("residual", ["train_mean", "additive"])
def test_what_is_left_out_cannot_move_the_base(residual, module, monkeypatch):
    """Cells of one train condition are replaced: the base changes in every fold but the one that leaves it out."""
    planted = "G03+ctrl"
    data = module.dataset
    x = data.x.toarray()
    x[data.cells_of[planted]] += np.random.default_rng(0).uniform(0, 2, x.shape[1]).astype(np.float32)
    moved = build(
        data.name, sp.csr_matrix(x), genes=data.genes, barcodes=data.barcodes,
        condition=np.array(data.conditions)[data.condition], context=np.array(data.contexts)[data.context],
        batch=np.array(data.batches)[data.batch], source=data.name,
    )  # fmt: skip
    before = task_of(module, monkeypatch, residual=residual)
    after = task_of(PerturbationDataModule(Task(moved, module.split), seed=1), monkeypatch, residual=residual)
    same = []
    for (one, held), (two, _) in zip(folds.folds(before, 1), folds.folds(after, 1), strict=True):
        if planted in names_of(module, held):
            torch.testing.assert_close(one.base, two.base, atol=0, rtol=0)
            same.append(held)
        else:
            assert (one.base - two.base).abs().max() > 0.05
    assert len(same) == 1


def test_genes_that_only_others_perturb_have_no_identity(module, monkeypatch):
    task = task_of(module, monkeypatch)
    for fold, _ in folds.folds(task, 1):
        known = {gene for name in names_of(module, fold.train) for gene in constituents(name)}
        for i, name in enumerate(module.dataset.conditions):
            got = fold.table.identity[i].tolist()
            for slot, gene in enumerate(constituents(name)):
                assert got[slot] == (task.table.identity[i, slot] if gene in known else 0), (name, gene)
        assert fold.table.identities == task.table.identities
    assert task.table.identity.max() == task.table.identities == 7  # the whole is left as it was


def test_a_gene_of_which_a_fold_knows_nothing_is_no_action(module, monkeypatch):
    """Without features, identities are all that tells actions apart."""
    task = task_of(module, monkeypatch)
    index = {name: i for i, name in enumerate(module.dataset.conditions)}
    bare = replace(task, table=ActionTable(module, []))
    kept = torch.tensor([index["G00+ctrl"], index["G02+G01"]])
    table = folds.knowing(bare.table, kept)
    assert table.present[index["G00+G01"]].tolist() == [True, True]
    assert table.present[index["G03+ctrl"]].tolist() == [False, False]
    assert table.present[index["G04+G05"]].tolist() == [False, False]
    described = folds.knowing(task.table, kept)
    assert torch.equal(described.present, task.table.present)  # features are known all the same


# A small screen, and features that explain a share of its effects

N_TEST, N_GENES = 12, 60


def planted(folder, share, n_train=10):
    """Singles whose effects are linear in a table of two features and in two more that nobody is shown."""
    rng = np.random.default_rng(5)
    names = [f"G{i:02d}" for i in range(n_train + N_TEST)]
    shown, hidden = rng.normal(0, 1, (2, len(names), 2))
    path = folder / "table.csv"
    pd.DataFrame(shown, index=names, columns=["a", "b"]).to_csv(path)
    effects = np.hstack([share**0.5 * shown, (1 - share) ** 0.5 * hidden]) @ rng.normal(0, 0.5, (4, N_GENES))
    base = rng.uniform(1, 4, N_GENES)
    blocks, obs = [], []
    for name, effect in [("ctrl", np.zeros(N_GENES)), *zip(map(single, names), effects, strict=True)]:
        n = 120 if name == "ctrl" else 30
        blocks.append(rng.poisson(base * np.exp(effect), (n, N_GENES)))
        obs.append(pd.DataFrame({"condition": name, "context": "a", "batch": "b"}, range(n)))
    frame = pd.concat(obs, ignore_index=True)
    frame.index = pd.Index([f"cell{i:05d}" for i in range(len(frame))])
    data = screens.screen(sp.csr_matrix(np.vstack(blocks)), frame)
    inputs, reference, cells, notes = control_pools(data, 1, 0)
    train, test = tuple(map(single, names[:n_train])), tuple(map(single, names[n_train:]))
    split = Split(
        kind="custom", seed=1, control_fold=0, unused=(), train=train, val=(), test=test,
        subgroups={"unseen_single": test}, input_controls=inputs, reference_controls=reference, input_cells=cells,
        notes=tuple(notes),
    )  # fmt: skip
    return PerturbationDataModule(Task(data, split), seed=1), str(path)


def fitted(module, path):
    """A model, the steps that its response took, and its error on test conditions as a share of the train mean's."""
    settings = {"features": path, "head_steps": 100, "head_width": 64}
    model = registry.load("constant_encoder")(**{**small("constant_encoder"), **settings})
    run.fit(model, module, 1)
    assert "over 5 folds of the train conditions" in model.fit_report.selection
    cells = torch.from_numpy(module.dataset.x[module.input_rows[0]].toarray())
    inputs = cells.double().mean(dim=0).numpy()
    error, floor = 0.0, 0.0
    for name in module.split.test:
        condition = torch.full((len(cells),), module.dataset.conditions.index(name))
        batch = InputBatch(cells, condition, torch.zeros_like(condition))
        shift = row_mean(module.dataset.x, module.dataset.cells_of[name]) - inputs
        error += ((model.predict_step(batch).mean(dim=0).numpy() - inputs - shift) ** 2).mean()
        floor += ((module.train_shift - shift) ** 2).mean()
    return int(model.fit_report.selection.split("steps ")[1].split(" of")[0]), error / floor


@pytest.mark.slow
def test_folds_take_steps_where_features_say_all(tmp_path):
    steps, error = fitted(*planted(tmp_path, 1.0))
    assert steps > 10
    assert error < 0.5


@pytest.mark.slow
def test_folds_take_none_where_features_say_nothing(tmp_path):
    steps, error = fitted(*planted(tmp_path, 0.0))
    assert steps == 0
    assert error == pytest.approx(1, abs=1e-9)


@pytest.mark.slow
def test_with_the_base_of_all_features_that_help_are_used_too_little(tmp_path, monkeypatch):
    """What an honest fold is for: a base that holds the left-out shifts looks better than test conditions find it."""
    module, path = planted(tmp_path, 0.4, n_train=7)
    steps, error = fitted(module, path)
    honest = folds.folds

    def leaking(task, seed):
        for fold, held in honest(task, seed):
            yield replace(fold, base=task.base, table=task.table), held

    monkeypatch.setattr(mean_fit, "folds", leaking)
    fewer, worse = fitted(module, path)
    assert fewer < steps
    assert error < worse < 1


@pytest.mark.ci
def test_where_all_genes_are_known_no_fold_chooses(tiny):
    """From singles to doubles: folds, which leave genes out that are known here, chose no step at all on real cells."""
    split = splits.draw(tiny, "doubles", 1)
    module = PerturbationDataModule(Task(tiny, split), seed=1)
    assert not split.val and {gene for name in split.test for gene in constituents(name)} <= {
        gene for name in split.train for gene in constituents(name)
    }
    settings = {"head_steps": 150, "head_width": 64, "features": "pca", "head_learning_rate": 3e-3}
    model = registry.load("constant_encoder")(**{**small("constant_encoder"), **settings})
    run.fit(model, module, 1)
    assert "steps 150 of 150: default rate, the last step" in model.fit_report.selection
    true = module.dataset.x
    shifts = np.array([row_mean(true, tiny.cells_of[name]) for name in split.test]) - module.input_means[0]
    got = shift_of(model, module, split.test)
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(got, shifts, strict=True)]
    floor = [np.corrcoef(module.train_shift, b)[0, 1] for b in shifts]
    assert np.mean(r) > np.mean(floor) + 0.1
