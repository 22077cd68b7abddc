"""Ridge, reduced-rank ridge and nearest neighbours against scikit-learn, from files of features to predictions."""

import numpy as np
import pandas as pd
import pytest
import screens
from harness import predict
from scipy.special import softmax
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from baselines.knn import nearest_mean
from baselines.ridge import RIDGES, ridge_regression
from baselines.rrr import leading_components
from bench.core.errors import BenchError
from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.models import registry

MODELS = ("ridge", "rrr", "knn")
#: Arguments under which each model has nothing to choose.
FIXED = {"ridge": {"ridge": 3.0}, "rrr": {"rank": 3, "ridge": 3.0}, "knn": {"neighbours": 3, "temperature": 0.3}}


def genes_of(name):
    return [gene for gene in name.split("+") if gene != "ctrl"]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Two files of features, 4 and 9 columns wide, of all perturbed genes; none so far out that a bank would cut it."""
    folder, rng = tmp_path_factory.mktemp("features"), np.random.default_rng(3)
    made = {}
    for name, width in (("a", 4), ("b", 9)):
        frame = pd.DataFrame(rng.uniform(-1.0, 5.0, (len(screens.SINGLES), width)), index=pd.Index(screens.SINGLES))
        frame.to_csv(folder / f"{name}.csv")
        made[folder / f"{name}.csv"] = frame
    return made


def spec(tables):
    return "+".join(str(path) for path in tables)


def design(frames, train, names, drop=()):
    """Standardise on the genes that train conditions perturb, sum over constituents, put side by side."""
    seen = sorted({gene for name in train for gene in genes_of(name)} - set(drop))
    scaled = [
        pd.DataFrame(StandardScaler().fit(frame.loc[seen]).transform(frame), index=frame.index).drop(index=list(drop))
        for frame in frames
    ]
    known = [[gene for gene in genes_of(name) if gene not in drop] for name in names]
    return np.array([np.concatenate([frame.loc[genes].sum() for frame in scaled]) for genes in known])


def fitted(name, data, split, **arguments):
    """The model, the module and the shifts of the predicted conditions."""
    model, module = registry.load(name)(**arguments), PerturbationDataModule(Task(data, split))
    model.fit(module)
    rows = [data.conditions.index(condition) for condition in module.predicted_conditions]
    return model, module, model.shifts(rows).numpy()


# Formulas


@pytest.mark.parametrize("width", [3, 40])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ridge", [0.01, 7.0, 1e4])
def test_ridge_equals_scikit_learn(width, weighted, ridge):
    rng = np.random.default_rng(width)
    f, d, v = rng.normal(1.0, 2.0, (12, width)), rng.normal(3.0, 1.0, (12, 7)), rng.uniform(0.2, 2.0, 12)
    w, b = ridge_regression(f, d, ridge, v if weighted else None)
    theirs = Ridge(alpha=ridge, solver="svd").fit(f, d, sample_weight=v if weighted else None)
    np.testing.assert_allclose(w, theirs.coef_.T, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(b, theirs.intercept_, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("rank", [1, 4, 30])
def test_components_are_those_of_a_pca(rank):
    d = np.random.default_rng(0).normal(2.0, 1.0, (9, 20))
    ours, theirs = leading_components(d, rank), PCA(min(rank, 8)).fit(d).components_.T
    np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, atol=1e-10)  # signs are open
    assert leading_components(np.ones((4, 5)), 3).shape == (5, 0)


def test_neighbours_by_hand():
    """Cosines with (1, 0) are 1, 0 and -1; the two nearest weigh e^2 to 1 at temperature 0.5."""
    f, d = np.array([[2.0, 0.0], [0.0, 1.0], [-3.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]])
    near, far = np.exp(2.0) / (np.exp(2.0) + 1.0), 1.0 / (np.exp(2.0) + 1.0)
    got = nearest_mean(f, d, np.array([[1.0, 0.0]]), 2, 0.5)
    np.testing.assert_allclose(got, [[near, far]], atol=1e-12)
    np.testing.assert_allclose(nearest_mean(f, d, np.array([[0.1, 0.0]]), 1, 0.5), [[1.0, 0.0]], atol=1e-12)
    np.testing.assert_allclose(
        nearest_mean(f, d, np.zeros((1, 2)), 3, 0.5), d.mean(axis=0)[None], atol=1e-12
    )  # no direction


@pytest.mark.parametrize("k", [1, 5, 12])
def test_neighbours_are_those_of_scikit_learn(k):
    rng = np.random.default_rng(k)
    f, d, wanted = rng.normal(size=(12, 6)), rng.normal(size=(12, 7)), rng.normal(size=(4, 6))
    distance, index = NearestNeighbors(n_neighbors=k, metric="cosine").fit(f).kneighbors(wanted)
    weights = softmax((1.0 - distance) / 0.2, axis=1)
    expected = np.array([w @ d[i] for w, i in zip(weights, index, strict=True)])
    np.testing.assert_allclose(nearest_mean(f, d, wanted, k, 0.2), expected, rtol=1e-10, atol=1e-12)


# Whole models, two files of features


@pytest.mark.parametrize("weighted", [False, True])
def test_ridge_from_files_equals_scikit_learn(weighted, tables, tiny, tiny_split):
    model, module, ours = fitted("ridge", tiny, tiny_split, features=spec(tables), ridge=3.0, cell_weights=weighted)
    bulk, frames = module.pseudobulk("train"), list(tables.values())
    f, wanted = (design(frames, bulk.conditions, names) for names in (bulk.conditions, module.predicted_conditions))
    cells = np.array([(np.array(tiny.conditions)[tiny.condition] == name).sum() for name in bulk.conditions])
    v = cells / (cells + np.median(cells)) if weighted else None
    np.testing.assert_allclose(ours, Ridge(3.0).fit(f, bulk.shifts, sample_weight=v).predict(wanted), atol=1e-5)
    assert model.fit_report.parameters == {"fit": 60 * (4 + 9 + 1)}
    assert sorted(model.inputs) == ["features table_a", "features table_b"]
    assert model.fit_report.trials == 1 and not model.warnings


def test_ridge_with_identities_equals_scikit_learn(tables, tiny, tiny_split):
    model, module, ours = fitted("ridge", tiny, tiny_split, features=spec(tables), ridge=3.0, identity=True)
    bulk, frames = module.pseudobulk("train"), list(tables.values())
    seen = sorted({gene for name in bulk.conditions for gene in genes_of(name)})

    def both(names):
        own = np.array([[np.sqrt(13) * (gene in genes_of(name)) for gene in seen] for name in names])
        return np.hstack([design(frames, bulk.conditions, names), own])

    expected = Ridge(3.0).fit(both(bulk.conditions), bulk.shifts).predict(both(module.predicted_conditions))
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    assert not np.allclose(ours, fitted("ridge", tiny, tiny_split, features=spec(tables), ridge=3.0)[2], atol=1e-3)
    assert model.fit_report.parameters == {"fit": 60 * (4 + 9 + len(seen) + 1)}


def test_ridge_with_uneven_cells_is_moved_by_their_weights(tables):
    counts, obs = screens.tiny_counts()
    keep = ~(obs["condition"].eq("G00+ctrl") & (np.arange(len(obs)) % 3 > 0)).to_numpy()
    data = screens.screen(counts[np.flatnonzero(keep)], obs[keep])
    split = screens.hand_split(data)
    plain, weighted = (
        fitted("ridge", data, split, features=spec(tables), ridge=3.0, cell_weights=w) for w in (False, True)
    )
    bulk = weighted[1].pseudobulk("train")
    f, wanted = (
        design(list(tables.values()), bulk.conditions, names)
        for names in (bulk.conditions, weighted[1].predicted_conditions)
    )
    v = np.where(np.array(bulk.conditions) == "G00+ctrl", 10 / (10 + 30), 30 / (30 + 30))
    expected = Ridge(3.0).fit(f, bulk.shifts, sample_weight=v).predict(wanted)
    np.testing.assert_allclose(weighted[2], expected, atol=1e-5)
    assert not np.allclose(weighted[2], plain[2], atol=1e-4)


def test_rrr_from_files_is_scikit_learns_ridge_on_projected_targets(tables, tiny, tiny_split):
    model, module, ours = fitted("rrr", tiny, tiny_split, features=spec(tables), **FIXED["rrr"])
    bulk, frames = module.pseudobulk("train"), list(tables.values())
    f, wanted = (design(frames, bulk.conditions, names) for names in (bulk.conditions, module.predicted_conditions))
    pca = PCA(3).fit(bulk.shifts)
    expected = pca.inverse_transform(Ridge(3.0).fit(f, pca.transform(bulk.shifts)).predict(wanted))
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    assert model.fit_report.parameters == {"fit": 3 * (13 + 1) + 60 * (3 + 1)}


def test_rrr_of_full_rank_is_ridge(tables, tiny, tiny_split):
    full = fitted("rrr", tiny, tiny_split, features=spec(tables), rank=9, ridge=3.0)[2]
    plain = fitted("ridge", tiny, tiny_split, features=spec(tables), ridge=3.0)[2]
    np.testing.assert_allclose(full, plain, atol=1e-10)


def test_knn_from_files_finds_scikit_learns_neighbours(tables, tiny, tiny_split):
    _, module, ours = fitted("knn", tiny, tiny_split, features=spec(tables), **FIXED["knn"])
    bulk, frames = module.pseudobulk("train"), list(tables.values())
    f, wanted = (design(frames, bulk.conditions, names) for names in (bulk.conditions, module.predicted_conditions))
    distance, index = NearestNeighbors(n_neighbors=3, metric="cosine").fit(f).kneighbors(wanted)
    weights = softmax((1.0 - distance) / 0.3, axis=1)
    expected = np.array([w @ bulk.shifts[i] for w, i in zip(weights, index, strict=True)])
    np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_linear_effects_of_features_are_found(name, tables, tiny, tiny_split):
    """Shifts that are a linear function of the features are recovered on unseen conditions, by knn roughly."""
    module = PerturbationDataModule(Task(tiny, tiny_split))
    frames = [next(iter(tables.values()))]  # 4 features, 10 train conditions
    bulk, rng = module.pseudobulk("train"), np.random.default_rng(0)
    effect = rng.normal(size=(4, len(module.genes)))
    train, wanted = (design(frames, bulk.conditions, n) for n in (bulk.conditions, module.predicted_conditions))
    made = type(bulk)(bulk.conditions, bulk.means, 5.0 + train @ effect, bulk.cells)
    module.pseudobulk = lambda part: made if part == "train" else PerturbationDataModule.pseudobulk(module, part)
    arguments = {"ridge": {"ridge": 1e-6}, "rrr": {"rank": 4, "ridge": 1e-6}, "knn": FIXED["knn"]}[name]
    model = registry.load(name)(features=str(next(iter(tables))), **arguments)
    model.fit(module)
    rows = [tiny.conditions.index(condition) for condition in module.predicted_conditions]
    ours, truth = model.shifts(rows).numpy(), 5.0 + wanted @ effect
    if name == "knn":
        assert np.corrcoef((ours - 5.0).ravel(), (truth - 5.0).ravel())[0, 1] > 0.4
    else:
        np.testing.assert_allclose(ours, truth, atol=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_no_control_has_a_part_in_the_choice_or_in_a_predicted_mean(name, tables, tiny, tiny_split):
    """Weights of the train conditions sum to one: what is added to all controls is taken off again, exactly.

    Nothing that is chosen by the error of means can then keep the noise of the controls, whichever setting it is.
    """
    means, chosen = [], []
    for noise in (0.0, 0.3):
        model, module = registry.load(name)(features=spec(tables)), PerturbationDataModule(Task(tiny, tiny_split))
        drawn = np.random.default_rng(0).normal(size=module.input_means.shape)
        module.__dict__["input_means"] = module.input_means + noise * drawn
        model.fit(module)
        rows = [tiny.conditions.index(condition) for condition in module.predicted_conditions]
        means.append(model.shifts(rows).numpy() + module.input_means)
        chosen.append(model.fit_report.selection)
    assert chosen[0] == chosen[1] and model.fit_report.trials > 1
    np.testing.assert_allclose(means[0], means[1], atol=1e-9)


def test_the_choice_is_the_one_of_a_search_with_scikit_learn(tables):
    data = screens.tiny_screen()
    split = screens.hand_split(data)
    split = split.model_copy(update={"val": (*split.val, *split.test[:9]), "test": split.test[9:]})
    model, module, _ = fitted("ridge", data, split, features=spec(tables))
    train, val = module.pseudobulk("train"), module.pseudobulk("val")
    f, held = (design(list(tables.values()), train.conditions, bulk.conditions) for bulk in (train, val))
    errors = {r: ((Ridge(r).fit(f, train.shifts).predict(held) - val.shifts) ** 2).mean() for r in RIDGES}
    best = min(errors, key=errors.get)
    assert model.fit_report.selection == (
        f"Setting(ridge={best}): smallest squared error on 11 val conditions, of 8 settings"
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("val", [0, 2])
def test_few_or_no_val_conditions(name, val, tables, tiny, tiny_split):
    split = tiny_split.model_copy(update={"val": tiny_split.val[:val]})
    model, module, ours = fitted(name, tiny, split, features=spec(tables))
    assert f"over 5 folds of the train conditions (only {val} val)" in model.fit_report.selection
    assert 1 < model.fit_report.trials <= 8
    assert np.isfinite(ours).all()


# Genes without features


@pytest.mark.parametrize("name", MODELS)
def test_genes_without_features(name, tables, tiny, tiny_split, tmp_path):
    """G04 (train single, train double G04+G05) and G11 (test only) are in neither file."""
    drop, kept = ["G04", "G11"], {}
    for path, frame in tables.items():
        kept[tmp_path / path.name] = frame.drop(index=drop)
        kept[tmp_path / path.name].to_csv(tmp_path / path.name)
    model, module, ours = fitted(name, tiny, tiny_split, features=spec(kept), **FIXED[name])
    bulk, names = module.pseudobulk("train"), module.predicted_conditions
    usable = [i for i, c in enumerate(bulk.conditions) if not set(genes_of(c)) & set(drop)]
    assert len(usable) == len(bulk.conditions) - 2
    missing = [len(set(genes_of(c)) & set(drop)) for c in names]
    assert [model.fallbacks(c) for c in names] == missing
    some = [i for i, c in enumerate(names) if missing[i] < len(genes_of(c))]
    assert {missing[i] for i in some} == {0, 1}  # G04+G03 is predicted from G03 alone
    f = design(list(tables.values()), bulk.conditions, [bulk.conditions[i] for i in usable], drop)
    wanted = design(list(tables.values()), bulk.conditions, [names[i] for i in some], drop)
    shifts = bulk.shifts[usable]
    if name == "ridge":
        expected = Ridge(3.0).fit(f, shifts).predict(wanted)
    elif name == "rrr":
        pca = PCA(3).fit(shifts)
        expected = pca.inverse_transform(Ridge(3.0).fit(f, pca.transform(shifts)).predict(wanted))
    else:
        expected = nearest_mean(f, shifts, wanted, 3, 0.3)
    np.testing.assert_allclose(ours[some], expected, atol=1e-5)
    alone = [i for i in range(len(names)) if i not in some]
    assert [names[i] for i in alone] == ["G11+ctrl"]
    np.testing.assert_allclose(ours[alone], [bulk.shifts.mean(axis=0)], atol=1e-12)
    assert any("2 of 12 perturbed genes have no features (G04, G11)" in line for line in model.warnings)


def test_a_gene_that_one_of_two_files_describes_stands_at_the_mean_of_the_other(tables, tiny, tiny_split, tmp_path):
    (path_a, a), (path_b, b) = tables.items()
    b.drop(index="G11").to_csv(tmp_path / path_b.name)
    features = f"{path_a}+{tmp_path / path_b.name}"
    model, module, ours = fitted("ridge", tiny, tiny_split, features=features, ridge=3.0)
    bulk, names = module.pseudobulk("train"), module.predicted_conditions
    f, wanted = (design([a, b], bulk.conditions, n) for n in (bulk.conditions, names))
    at = names.index("G11+ctrl")
    wanted[at, a.shape[1] :] = 0.0
    np.testing.assert_allclose(ours[at], Ridge(3.0).fit(f, bulk.shifts).predict(wanted)[at], atol=1e-5)
    assert model.fallbacks("G11+ctrl") == 0 and not model.warnings


# Bad input


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("gene,f1\nG00,1.0\nG00,2.0\nG01,3.0\n", "several rows (G00)"),
        ("gene,f1\nG00,1.0\nG01,\nG02,2.0\n", "gene 'G01'"),
        ("gene,f1\ng00,1.0\ng01,2.0\n", "Without regard to case 2 agree"),
        ("gene,f1\nTP53,1.0\nMYC,2.0\n", "describes none of the 12 perturbed genes"),
        ("gene,f1\nG00,1.0\nG11,2.0\n", "of only 1 of 10 train conditions, and at least 2 are needed"),
    ],
)
def test_a_bad_table_is_named_with_what_is_wrong(name, content, message, tiny, tiny_split, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(BenchError) as error:
        predict(name, tiny, tiny_split, tmp_path, features=str(path))
    assert message in str(error.value) and "bad.csv" in str(error.value)


@pytest.mark.parametrize("name", MODELS)
def test_unknown_features_are_refused(name, tiny, tiny_split, tmp_path):
    with pytest.raises(BenchError, match="unknown features 'pcaa'. Did you mean 'pca'"):
        predict(name, tiny, tiny_split, tmp_path, features="pcaa")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("ridge", {"ridge": -1.0}, "ridge is -1; expected a penalty above 0"),
        ("ridge", {"ridge": float("nan")}, "ridge is nan"),
        ("rrr", {"ridge": -1.0}, "ridge is -1"),
        ("rrr", {"rank": -2}, "rank is -2"),
        ("knn", {"neighbours": -1}, "neighbours is -1"),
        ("knn", {"temperature": -0.5}, "temperature is -0.5"),
        ("oracle_features", {"ridge": -1.0}, "ridge is -1"),
    ],
)
def test_bad_arguments_are_refused(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        registry.load(name)(**arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("rrr", {"rank": 10}, "model 'rrr': rank is 10, .* 10 train conditions and 60 genes have at most 9 components"),
        ("knn", {"neighbours": 11}, "model 'knn': neighbours is 11, but there are only 10 train conditions"),
    ],
)
def test_more_than_the_train_conditions_allow_is_refused(name, arguments, message, tiny, tiny_split, tmp_path):
    with pytest.raises(BenchError, match=message):
        predict(name, tiny, tiny_split, tmp_path, **arguments)
