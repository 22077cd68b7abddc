"""The contract of every model and baseline, by being registered."""

import inspect

import numpy as np
import pytest
import screens
import torch
from harness import predict

from bench.flags import run_parser
from bench.models import registry
from bench.models.base import PerturbationModel

NAMES = sorted(registry.entries())


@pytest.mark.parametrize("name", NAMES)
def test_hyperparameters_are_typed_documented_flags(name):
    model = registry.load(name)
    assert issubclass(model, PerturbationModel)
    doc = (model.__doc__ or "") + (inspect.getdoc(model.__init__) or "")
    for key, parameter in list(inspect.signature(model.__init__).parameters.items())[1:]:
        assert parameter.annotation is not inspect.Parameter.empty, key
        assert parameter.default is not inspect.Parameter.empty, key
        assert f"{key}:" in doc, f"{key} is not documented"
    run_parser(model)  # no flag of the model's collides with the runner's
    assert len(registry.entries()[name].summary) > 20


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("contexts", [1, 2])
def test_predicts_every_test_condition_for_the_input_cells(name, contexts, tmp_path):
    data = screens.tiny_screen(contexts=contexts)
    split = screens.hand_split(data)
    model, module, got = predict(name, data, split, tmp_path)
    assert got.y_hat.shape == (len(module.predicted_conditions), len(data.genes))
    assert got.uns["controls_used"] == "input"
    assert got.uns["split_id"] == split.split_id
    batch = next(iter(module.predict_dataloader()))
    with torch.no_grad():
        assert model.predict_step(batch, 0).shape == batch.controls.shape
    assert model.ledger.trials >= 1
    assert sum(model.ledger.parameters.values()) >= 0
    assert model.ledger.parameters


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_prediction(name, tiny, tiny_split, tmp_path):
    one = predict(name, tiny, tiny_split, tmp_path)[2]
    two = predict(name, tiny, tiny_split, tmp_path)[2]
    np.testing.assert_array_equal(one.y_hat, two.y_hat)


@pytest.mark.parametrize("name", NAMES)
def test_what_no_model_may_see_changes_nothing(name, tiny, tiny_split, tmp_path):
    """Test cells and reference controls are replaced by noise: predictions must be the same to the last bit."""
    import scipy.sparse as sp

    hidden = tiny.rows(tiny_split.test)
    reference = [tiny.barcode_index[b] for pool in tiny_split.reference_controls.values() for b in pool]
    x = tiny.x.toarray()
    x[np.concatenate([hidden, reference])] = np.random.default_rng(0).exponential(
        2, (len(hidden) + len(reference), x.shape[1])
    )
    corrupted = screens.build(
        "tiny",
        sp.csr_matrix(x),
        genes=tiny.genes,
        barcodes=tiny.barcodes,
        condition=np.array(tiny.conditions)[tiny.condition],
        context=np.array(tiny.contexts)[tiny.context],
        batch=np.array(tiny.batches)[tiny.batch],
        source="tiny",
    )
    assert corrupted.hash != tiny.hash
    before = predict(name, tiny, tiny_split, tmp_path)[2]
    after = predict(name, corrupted, tiny_split, tmp_path)[2]
    np.testing.assert_array_equal(before.y_hat, after.y_hat)
    np.testing.assert_array_equal(before.fallbacks, after.fallbacks)


@pytest.mark.parametrize("name", NAMES)
def test_train_cells_do_change_the_fit(name, tiny, tiny_split, tmp_path):
    """The test above can only pass for the right reason if fitting depends on something at all."""
    other = screens.tiny_screen(seed=5)
    if name == "no_change":
        pytest.skip("learns nothing by definition")
    a = predict(name, tiny, tiny_split, tmp_path)[2].y_hat
    b = predict(name, other, screens.hand_split(other), tmp_path)[2].y_hat
    assert not np.allclose(a, b)


def test_registered_files_are_found_without_importing_them():
    kinds = {name: entry.kind for name, entry in registry.entries().items()}
    for name in ("no_change", "train_mean", "additive", "linear"):
        assert kinds[name] == "baseline"
        assert registry.entries()[name].summary
