"""The contract of every model and baseline, by being registered."""

import inspect
from functools import cache

import numpy as np
import pytest
import screens
import simulated_screen
import torch
from harness import predict, small

from bench.cli.flags import run_parser
from bench.data.splits.split import draw
from bench.data.task import Task
from bench.models import registry
from bench.models.base import PerturbationModel
from bench.models.encoder_model import EncoderModel
from bench.runner.model_choice import choose
from bench.tracks.response.track import TRACK

NAMES = sorted(registry.entries())
#: Encoders meet a task in shared code: one stands for the others in the fast suite.
#: Importing cell-gears takes 20 seconds of each process that fits it.
STANDING_FOR_OTHERS = {"jepa", "perturbed_vae"}
LEFT_TO_SLOW = {
    name
    for name, entry in registry.entries().items()
    if name == "gears" or (entry.kind == "model" and name not in STANDING_FOR_OTHERS)
}
FITTED = [pytest.param(name, marks=pytest.mark.slow) if name in LEFT_TO_SLOW else name for name in NAMES]
#: Two contexts are met in shared code: a closed form and a learned model stand for the others in the fast suite.
TWO_CONTEXTS = [
    (2, name) if name in ("additive", "perturbed_vae") else pytest.param(2, name, marks=pytest.mark.slow)
    for name in NAMES
]
#: Of models that meet an unseen context: the shared response with and without pretraining, and a net of its own.
ACROSS = [
    name if name == "identity" else pytest.param(name, marks=pytest.mark.slow)
    for name in NAMES
    if not registry.load(name).needs_simulation
]
ONE_CONTEXT = [pytest.param(1, name, marks=pytest.mark.slow) if name in LEFT_TO_SLOW else (1, name) for name in NAMES]


def task_of(name, contexts=1):
    """The tiny screen, or a simulated one for a model that reads the generator's truth, and a split of it."""
    if registry.load(name).needs_simulation:
        return simulated_screen.task(contexts)
    data = screens.tiny_screen(contexts=contexts)
    return data, screens.hand_split(data)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A model, its data and its predictions on its task of 1 or 2 contexts, fitted once."""

    @cache
    def fit(name, contexts=1):
        return predict(name, *task_of(name, contexts), tmp_path_factory.mktemp(name))

    return fit


@pytest.mark.parametrize("name", NAMES)
def test_hyperparameters_are_typed_documented_flags(name):
    model = registry.load(name)
    assert issubclass(model, PerturbationModel)
    doc = "".join((cls.__doc__ or "") + (cls.__init__.__doc__ or "") for cls in model.__mro__)
    for key, parameter in registry.arguments(model).items():
        assert parameter.annotation not in (inspect.Parameter.empty, "Any"), key
        assert parameter.default is not inspect.Parameter.empty, key
        assert f"\n        {key}: " in doc or f"\n    {key}: " in doc, f"{key} is not documented"
    run_parser(choose(name), TRACK, "")  # no flag of the model's collides with the runner's
    assert len(registry.entries()[name].summary) > 20


@pytest.mark.parametrize("name", NAMES)
def test_flags_are_all_that_the_constructor_takes(name):
    """Arguments are collected over templates: each must reach its constructor, and no other may."""
    model = registry.load(name)
    defaults = {key: parameter.default for key, parameter in registry.arguments(model).items()}
    made, plain = model(**defaults), model()
    assert vars(made).get("head") == vars(plain).get("head")
    with pytest.raises(TypeError):
        model(**defaults, no_such_argument=1)


@pytest.mark.parametrize(("contexts", "name"), ONE_CONTEXT + TWO_CONTEXTS)
def test_predicts_every_test_condition_for_the_input_cells(name, contexts, fitted):
    model, module, got = fitted(name, contexts)
    assert got.y_hat.shape == (contexts * len(module.predicted_conditions), len(module.genes))
    assert got.uns["controls_used"] == "input"
    assert got.uns["split_id"] == module.split.split_id
    batch = next(iter(module.predict_dataloader()))
    with torch.no_grad():
        assert model.predict_step(batch, 0).shape == batch.controls.shape
    assert model.fit_report.trials >= 1
    assert model.fit_report.cells_seen >= 0
    assert model.fit_report.parameters
    assert all(number >= 0 for number in model.fit_report.parameters.values())


@pytest.mark.thinned(12)
@pytest.mark.parametrize("name", FITTED)
def test_what_no_model_may_see_changes_nothing(name, fitted, tmp_path):
    """Test cells and reference controls are replaced by noise: predictions must be the same to the last bit.

    So is another fit under the same seed, whatever was drawn before. The same code runs on the same visible cells in
    the same process and shapes: no kernel has a reason to round otherwise.
    """
    data, split = task_of(name)
    hidden = data.rows(split.test)
    reference = [data.barcode_index[b] for pool in split.reference_controls.values() for b in pool]
    x = data.x.toarray()
    x[np.concatenate([hidden, reference])] = np.random.default_rng(0).exponential(
        2, (len(hidden) + len(reference), x.shape[1])
    )
    corrupted = screens.rebuilt(data, x)
    assert corrupted.hash != data.hash
    before = fitted(name)[2]
    torch.rand(7)
    np.random.rand(7)
    after = predict(name, corrupted, split, tmp_path)[2]
    np.testing.assert_array_equal(before.y_hat, after.y_hat)
    np.testing.assert_array_equal(before.fallbacks, after.fallbacks)


@pytest.mark.parametrize("name", ACROSS)
def test_an_unseen_context_is_unseen(name, tmp_path):
    """Perturbed cells and reference controls of a context that is held out are noise: no model notices."""
    data = screens.tiny_screen(contexts=3, cells=14, controls=40)
    split = draw(data, "unseen_context", 1)
    task = Task(data, split)
    x = data.x.toarray()
    hidden = np.r_[
        task.rows("test"), [data.barcode_index[b] for pool in split.reference_controls.values() for b in pool]
    ]
    x[hidden] = np.random.default_rng(0).exponential(2, (len(hidden), x.shape[1]))
    before, after = (predict(name, each, split, tmp_path)[2] for each in (data, screens.rebuilt(data, x)))
    assert len(before.y_hat) == 22
    np.testing.assert_array_equal(before.y_hat, after.y_hat)


@pytest.mark.thinned(6)
@pytest.mark.parametrize("name", FITTED)
def test_train_cells_do_change_the_fit(name, fitted, tmp_path):
    """The test above can only pass for the right reason if fitting depends on something at all."""
    if name == "no_change":
        pytest.skip("learns nothing by definition")
    data, split = task_of(name)
    rows = data.rows(split.train)
    x = data.x.toarray()
    x[rows] = x[rows][:, ::-1]
    other = predict(name, screens.rebuilt(data, x), split, tmp_path)[2]
    assert not np.allclose(fitted(name)[2].y_hat, other.y_hat, atol=1e-3)


def test_small_arguments_reduce_every_learned_model():
    for name in NAMES:
        if registry.entries()[name].kind == "model":
            response = issubclass(registry.load(name), EncoderModel) and name != "biojepa_ac"  # trained in one stage
            assert ({"head_steps", "head_seeds"} if response else {"epochs", "hidden"}) <= set(small(name)), name


def test_registered_files_are_found_without_importing_them():
    kinds = {name: entry.kind for name, entry in registry.entries().items()}
    for name in ("no_change", "train_mean", "additive", "linear"):
        assert kinds[name] == "baseline"
        assert registry.entries()[name].summary
    for name in ("jepa", "mae", "vicreg", "supervised"):
        assert kinds[name] == "model"
    for name in ("constant_encoder", "random_encoder", "pca_encoder", "identity"):
        assert kinds[name] == "model"
    assert not {"base", "encoder_model", "pretrained", "response"} & set(kinds)
