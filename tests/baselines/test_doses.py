"""What models and bars make of doses: formulas by hand, the nearest dose, and structure that can be learned."""

import json

import numpy as np
import pytest
import screens
import torch
from harness import predict, scored
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from baselines._condition_features import ConditionFeatures
from bench.core.conditions import CONTROL, bare, read_treated, treated
from bench.core.errors import BenchError
from bench.core.units import Unit
from bench.data.datamodule import PerturbationDataModule
from bench.data.features.bank import FeatureBank
from bench.data.features.resolve import load_banks
from bench.data.features.treatments import Treatments
from bench.data.load import inspect, load
from bench.data.splits.split import draw
from bench.data.task import Task
from bench.models.response.actions import ActionTable
from bench.models.shift_rules import ShiftRule
from bench.nn.composer import Composer
from bench.results.levels import headline
from bench.stats.design import design
from bench.stats.jackknife import estimate
from bench.stats.shifts import additive, shifts_by_identity
from bench.tracks.response import score
from bench.tracks.response.track import TRACK
from bench.training.selection import rounds


def at(compound, dose):
    return treated(f"{compound}+ctrl", f"{dose:g} uM")


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """A split of compounds, with all of their doses."""
    folder = tmp_path_factory.mktemp("chemical")
    screen = load(inspect(screens.chemical_file(folder))[1].card)
    order = np.random.default_rng(5).permutation(sorted(set(screen.perturbations) - {CONTROL})).tolist()
    lists = {"train": order[:23], "val": order[23:27], "test": order[27:]}
    (folder / "lists.json").write_text(json.dumps(lists))
    return PerturbationDataModule(Task(screen, draw(screen, "custom", custom=folder / "lists.json")))


def test_doses_are_standardised_logarithms_of_train_conditions():
    train = [at("A", 0.1), at("A", 10), at("B", 0.1), at("B", 10)]
    found = Treatments.of(train)([*train, CONTROL, at("C", 1), at("C", 100)])
    assert found == pytest.approx(np.array([[-1.0], [1.0], [-1.0], [1.0], [0.0], [0.0], [2.0]]), abs=1e-9)
    assert Treatments.of(["A+ctrl", "A+B"]).names == ()
    with pytest.raises(BenchError, match="names no dose or time, and the model was trained on conditions with dose"):
        Treatments.of(train)(["A+ctrl"])


def test_ridge_features_are_the_compound_its_product_with_the_dose_and_the_dose():
    bank = FeatureBank("f", ("A", "B", "C"), np.array([[1.0, 0], [3, 0], [5, 2]]), "here")
    train = [at(name, dose) for name in "ABC" for dose in (1, 100)]
    features = ConditionFeatures([bank], train)
    f = StandardScaler().fit_transform([[1.0, 0], [3, 0], [5, 2]])
    for i, name in enumerate("ABC"):
        for dose, z in ((1, -1.0), (10, 0.0), (100, 1.0)):
            expected = [*f[i], *(f[i] * z), np.sqrt(2) * z]
            assert features([at(name, dose)])[0] == pytest.approx(np.array(expected), abs=1e-6)
    assert features.width == 5


def test_the_composer_scales_and_shifts_an_action_by_its_dose():
    torch.manual_seed(0)
    composer = Composer({"f": 3}, 4, n_treatments=1).eval()
    features, known = {"f": torch.randn(5, 1, 3)}, {"f": torch.ones(5, 1, dtype=torch.bool)}
    mode, z = torch.zeros(5, 1, dtype=torch.int64), torch.randn(5, 1, 1)
    plain = composer(features, known, mode)
    torch.testing.assert_close(composer(features, known, mode, treatment=z), plain)  # zero at the start
    for layer in (composer.treatment_scale, composer.treatment_shift):
        torch.nn.init.normal_(layer.weight)
    w, v = composer.treatment_scale.weight.T, composer.treatment_shift.weight.T
    torch.testing.assert_close(composer(features, known, mode, treatment=z), plain * (1 + z @ w) + z @ v)
    none = {"f": torch.zeros(5, 1, dtype=torch.bool)}
    assert not composer(features, none, mode, treatment=z).any(), "a dose of what is not known says nothing"


def test_an_action_table_knows_a_compound_at_any_dose(module):
    table, names = ActionTable(module, load_banks("card", module)), module.dataset.conditions
    compound = bare(module.split.train[0])
    rows = [names.index(treated(compound, f"{dose:g} uM")) for dose in screens.DOSES]
    assert len({int(table.identity[row, 0]) for row in rows} - {0}) == 1
    assert len({int(table.perturbation[row]) for row in rows}) == 1
    assert table.treatment[rows, 0, 0].numpy() == pytest.approx(np.sqrt(1.5) * np.array([-1.0, 0.0, 1.0]), abs=1e-5)
    restored = ActionTable.restored(table.kept(), [at("amino-benzene", 3)])
    expected = np.sqrt(1.5) * np.log10(3)
    assert float(restored.treatment[0, 0, 0]) == pytest.approx(expected, abs=1e-5)


def test_a_compound_at_an_unknown_dose_takes_the_nearest():
    names = [at("A", 0.1), at("A", 10), at("B", 1), treated("A+B", "1 uM")]
    known = shifts_by_identity(names, np.arange(4.0)[:, None])
    zero = np.full(1, 9.0)
    found = [additive(at("A", dose), known, zero) for dose in (0.1, 0.5, 2, 1000)]
    assert [(float(shift[0]), missing) for shift, missing in found] == [(0, 0), (0, 0), (1, 0), (1, 0)]
    assert additive(treated("A+B", "5 uM"), known, zero)[0][0] == 1 + 2
    assert additive(at("C", 1), known, zero) == (9.0, 1) and additive("A+ctrl", known, zero) == (9.0, 1)


def test_doses_of_a_compound_are_left_out_together(module):
    parts, how = rounds(module)
    if "folds" not in how:  # 12 val conditions judge
        small = PerturbationDataModule(Task(module.dataset, module.split.model_copy(update={"val": ()})))
        parts, how = rounds(small)
    assert "folds" in how and len(parts) == 5
    for fitted, held in parts:
        assert not set(map(bare, fitted.conditions)) & set(map(bare, held.conditions))
        assert len(held.conditions) == 3 * len(set(map(bare, held.conditions)))


def test_intervals_take_a_compound_as_one_cluster():
    rng = np.random.default_rng(0)
    effect, noise = rng.normal(size=(20, 1)), 0.01 * rng.normal(size=(20, 3))
    values = (effect + noise).ravel()
    units = [[Unit(at(f"C{i:02d}", dose), "c") for i in range(20) for dose in screens.DOSES]]
    plan = design(units)
    assert plan.distinct == 60 and plan.genes == 20
    order = np.array([plan.units.index(unit) for unit in units[0]])
    assert order.tolist() == plan.ids[0].tolist()
    found = estimate(plan, values[:, None])
    by_compound = values.reshape(20, 3).mean(axis=1)
    # One value for each compound says as much as its three doses.
    alone = estimate(design([[Unit(f"C{i:02d}+ctrl", "c") for i in range(20)]]), by_compound[:, None])
    assert found.value[0] == pytest.approx(alone.value[0], rel=1e-9)
    assert found.half_width()[0] == pytest.approx(alone.half_width()[0], rel=0.05)


def error_by_dose(module, got):
    """Squared error of predicted means by dose; cells of the test units are the truth."""
    errors = {}
    for unit, y_hat in zip(module.task.units, got.y_hat, strict=True):
        true = screens.dense(module.dataset, module.dataset.unit_rows(unit)).mean(axis=0)
        errors.setdefault(read_treated(unit.perturbation).dose, []).append(((y_hat - true) ** 2).mean())
    return {dose: float(np.mean(each)) for dose, each in errors.items()}


def test_structure_and_dose_are_learned_and_each_bar_knows_what_it_says(module, tmp_path):
    found = {
        name: predict(name, module.dataset, module.split, tmp_path)
        for name in ("train_mean", "same_dose_mean", "ridge", "additive", "same_perturbation_mean")
    }
    errors = {name: error_by_dose(module, got) for name, (_, _, got) in found.items()}
    total = {name: sum(each.values()) for name, each in errors.items()}
    assert total["ridge"] < 0.8 * min(total["train_mean"], total["same_dose_mean"])
    assert errors["ridge"][10.0] < 0.6 * errors["train_mean"][10.0]
    assert errors["same_dose_mean"][10.0] < errors["train_mean"][10.0]
    for name in ("additive", "same_perturbation_mean"):  # unseen compounds: the train mean, counted
        assert found[name][2].y_hat == pytest.approx(found["train_mean"][2].y_hat, abs=1e-6)
        assert set(found[name][2].fallbacks.tolist()) == {1}
    assert not found["ridge"][2].fallbacks.any()
    bulk = module.pseudobulk("train")
    rows = [i for i, name in enumerate(bulk.conditions) if read_treated(name).dose == 1.0]
    at_one = [i for i, unit in enumerate(module.task.units) if read_treated(unit.perturbation).dose == 1.0]
    inputs = module.input_means[[module.dataset.contexts.index(module.task.units[i].context) for i in at_one]]
    assert found["same_dose_mean"][2].y_hat[at_one] - inputs == pytest.approx(
        np.tile(bulk.shifts[rows].mean(axis=0), (len(at_one), 1)), abs=1e-5
    )


def test_ridge_with_doses_is_scikit_learns(module, tmp_path):
    model, _, got = predict("ridge", module.dataset, module.split, tmp_path, ridge=100.0)
    bulk = module.pseudobulk("train").by_condition()
    (bank,) = load_banks("card", module)
    features = ConditionFeatures([bank], module.split.train)
    oracle = Ridge(alpha=100.0).fit(features(bulk.conditions), bulk.shifts)
    names = [unit.perturbation for unit in module.task.units]
    inputs = module.input_means[[module.dataset.contexts.index(unit.context) for unit in module.task.units]]
    assert got.y_hat - inputs == pytest.approx(oracle.predict(features(names)), abs=1e-4)


@pytest.mark.ci
def test_what_is_known_of_a_dose_alone_is_no_skill(module, tmp_path):
    found = {}
    for name in ("same_dose_mean", "train_mean", "ridge"):
        _, values = scored(name, module.dataset, module.split, tmp_path)
        table = score.table_of(values)
        found[name] = headline(TRACK, table)
        if name != "ridge":  # the same answer for every compound at a dose
            told = table.column("all", "value", list(TRACK.metrics).index("discrimination"))
            assert told.mean() == pytest.approx(0.5, abs=1e-9)
    for name in ("same_dose_mean", "train_mean"):
        assert found[name].low < 0 and found[name].value < 0.05, found
    assert found["ridge"].low > 0.1, found


@pytest.mark.parametrize("name", ["ridge", "rrr", "knn"])
def test_the_rule_that_is_saved_says_what_was_fitted_and_answers_at_other_doses(module, tmp_path, name):
    model, made, _ = predict(name, module.dataset, module.split, tmp_path)
    rule = ShiftRule.restored(model._rule.kept(), model.solved_by)
    names = list(made.predicted_conditions)
    places = [made.dataset.conditions.index(each) for each in names]
    np.testing.assert_allclose(rule.shifts(names), model.shifts(places).numpy(), rtol=1e-6, atol=1e-8)
    compound = bare(names[0]).removesuffix("+ctrl")
    low, between, high = rule.shifts([at(compound, dose) for dose in (1.0, 3.0, 10.0)])
    if name == "ridge":  # linear in the logarithm of the dose
        share = np.log10(3.0)
        np.testing.assert_allclose(between, (1 - share) * low + share * high, rtol=1e-6, atol=1e-8)
    assert np.abs(high - low).max() > 1e-3
    with pytest.raises(BenchError, match="names no dose or time"):
        rule.shifts([f"{compound}+ctrl"])


def test_a_rule_that_knows_no_doses_is_not_kept_with_them(module, tmp_path):
    assert predict("additive", module.dataset, module.split, tmp_path)[0]._rule is None
    constant = predict("train_mean", module.dataset, module.split, tmp_path)[0]._rule
    assert constant.shifts([at("anything", 0.3)]).shape == (1, len(module.genes))
