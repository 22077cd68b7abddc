"""The bilinear ridge against an explicit Kronecker solve, scikit-learn's PCA and the published set-up."""

import numpy as np
import pytest
import screens
from sklearn.decomposition import PCA

from baselines.linear import GRID, RANKS, RIDGES, Linear, bilinear_ridge, gene_scores
from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task


def test_equals_an_explicit_kronecker_ridge_on_6_by_5():
    """(G'G + l)^-1 G'YP' (PP' + l)^-1 solves the two-sided ridge; written out as one linear system on vec(K)."""
    rng = np.random.default_rng(0)
    y, g, p, ridge = rng.normal(size=(6, 5)), rng.normal(size=(6, 2)), rng.normal(size=(2, 5)), 0.1
    left = g.T @ g + ridge * np.eye(2)
    right = p @ p.T + ridge * np.eye(2)
    vec = np.linalg.solve(np.kron(right.T, left), np.kron(p, g.T) @ y.ravel(order="F"))
    np.testing.assert_allclose(bilinear_ridge(y, g, p, ridge), vec.reshape(2, 2, order="F"), rtol=1e-10, atol=1e-12)


def test_without_ridge_it_is_least_squares():
    rng = np.random.default_rng(1)
    y, g, p = rng.normal(size=(6, 5)), rng.normal(size=(6, 2)), rng.normal(size=(2, 5))
    k = np.linalg.lstsq(np.kron(p.T, g), y.ravel(order="F"), rcond=None)[0].reshape(2, 2, order="F")
    np.testing.assert_allclose(bilinear_ridge(y, g, p, 0.0), k, rtol=1e-8, atol=1e-12)


def test_gene_scores_are_a_pca_over_genes():
    means = np.random.default_rng(2).normal(size=(9, 40))
    ours = gene_scores(means, 4)
    theirs = PCA(4).fit_transform(means.T)
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), rtol=1e-8, atol=1e-10)


def test_rank_is_capped_by_the_data():
    assert gene_scores(np.ones((3, 10)), 5).shape == (10, 0)
    assert gene_scores(np.random.default_rng(0).normal(size=(3, 10)), 50).shape[1] <= 3


@pytest.fixture(scope="module")
def module(tiny, tiny_split):
    return PerturbationDataModule(Task(tiny, tiny_split))


def test_whole_prediction_equals_the_formula_written_out(module, tiny):
    model = Linear(rank=3, ridge=0.1)
    model.fit(module)
    bulk = module.pseudobulk("train")
    x = np.vstack([bulk.means, module.input_means[0]]).T  # genes x (conditions + ctrl)
    g = PCA(3).fit_transform(x)
    index = {gene: i for i, gene in enumerate(module.genes)}

    def embed(name):
        return sum((g[index[gene]] for gene in name.split("+") if gene != "ctrl"), np.zeros(3))

    y = np.column_stack([*bulk.shifts, np.zeros(len(g))])
    b = y.mean(axis=1, keepdims=True)
    p = np.column_stack([embed(name) for name in (*bulk.conditions, "ctrl")])
    eye = np.eye(3)
    k = np.linalg.inv(g.T @ g + 0.1 * eye) @ g.T @ (y - b) @ p.T @ np.linalg.inv(p @ p.T + 0.1 * eye)
    for name in module.predicted_conditions:
        ours = model.shifts(tiny.conditions.index(name)).numpy()
        np.testing.assert_allclose(ours, b[:, 0] + g @ k @ embed(name), rtol=1e-7, atol=1e-9)


def test_grid_is_tried_and_the_choice_recorded(module):
    model = Linear()
    model.fit(module)
    assert model.fit_report.trials == 8
    assert "folds of the train conditions" in model.fit_report.selection  # two val conditions are too few to choose by


def test_the_grid_starts_with_the_published_setting_and_reaches_both_ends():
    assert GRID[0] == (10, 0.1) and len(set(GRID)) == 8
    ranks, ridges = zip(*GRID)
    assert {min(RANKS), max(RANKS)} <= set(ranks) <= set(RANKS)
    assert {min(RIDGES), max(RIDGES)} <= set(ridges) <= set(RIDGES)


def test_a_given_rank_leaves_the_ridge_to_choose(module):
    model = Linear(rank=3)
    model.fit(module)
    assert model.fit_report.trials == len(RIDGES)
    assert model.fit_report.selection.startswith("Setting(rank=3, ridge=")


def test_enough_val_conditions_are_used_to_choose():
    data = screens.tiny_screen()
    split = screens.hand_split(data)
    many = split.model_copy(update={"val": (*split.val, *split.test[:9]), "test": split.test[9:]})
    model = Linear()
    model.fit(PerturbationDataModule(Task(data, many)))
    assert "11 val conditions" in model.fit_report.selection


def test_an_unmeasured_target_falls_back_to_the_train_mean_and_is_counted(tiny_split):
    counts, obs = screens.tiny_counts()
    keep = [i for i in range(len(screens.GENES)) if screens.GENES[i] != "G08"]
    full = screens.screen(counts, obs)
    dataset = screens.build(
        "tiny",
        full.x[:, keep],
        genes=screens.GENES[keep],
        barcodes=full.barcodes,
        condition=obs["condition"].to_numpy(dtype=str),
        context=obs["context"].to_numpy(dtype=str),
        batch=obs["batch"].to_numpy(dtype=str),
        source="tiny",
    )
    module = PerturbationDataModule(Task(dataset, screens.hand_split(dataset)))
    model = Linear()
    model.fit(module)
    for name in module.predicted_conditions:
        missing = name.split("+").count("G08")
        assert model.fallbacks(name) == missing
        if missing:
            np.testing.assert_array_equal(model.shifts(dataset.conditions.index(name)), module.train_shift)
    assert any("1 of 12 perturbed genes are not measured (G08)" in note for note in dataset.notes)


def test_negative_hyperparameters_are_refused():
    with pytest.raises(ValueError, match="negative"):
        Linear(rank=-1)


def test_where_no_train_condition_is_embedded_everything_is_a_fallback(module, monkeypatch):
    """As on a slice of genes that holds targets of test conditions alone: nothing can be learned of any of them."""
    measured = module.dataset.unmeasured
    train = {name for name in module.dataset.conditions if name in module.pseudobulk("train").by_condition().conditions}
    monkeypatch.setattr(
        type(module.dataset), "unmeasured", lambda self, name: (name,) if name in train else measured(name)
    )
    model = Linear()
    model.fit(module)
    held = [name for name in module.predicted_conditions if name not in train]
    assert held
    for name in held:
        assert model.fallbacks(name) == sum(part != "ctrl" for part in name.split("+"))
        np.testing.assert_array_equal(model.shifts(module.dataset.conditions.index(name)), module.train_shift)
