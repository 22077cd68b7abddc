"""A loader of the wrong role is refused wherever something is evaluated."""

import pytest
from harness import small, spec_of

from bench.core.errors import BenchError
from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.models import registry
from bench.runner import fit as run


@pytest.fixture(scope="module", params=["train_mean", pytest.param("constant_encoder", marks=pytest.mark.ci)])
def fitted(request, tiny, tiny_split):
    """A fitted model and its spec; each test predicts with a data module of its own. The runner refuses, not the model:
    the fast suite asks it with one.
    """
    model = registry.load(request.param)(**small(request.param))
    task = Task(tiny, tiny_split)
    run.fit(model, PerturbationDataModule(task, seed=1), 1)
    return model, spec_of(request.param, task)


@pytest.mark.parametrize("role", ["train", "val", "test"])
def test_predictions_are_made_from_the_predict_loader_only(role, fitted, module, tmp_path, monkeypatch):
    model, spec = fitted
    monkeypatch.setattr(module, "predict_dataloader", getattr(module, f"{role}_dataloader"))
    with pytest.raises(BenchError, match=f"a {role} loader cannot feed an evaluation"):
        run.predict(model, module, tmp_path / "p.h5ad", spec)
    assert not list(tmp_path.iterdir())


def test_cells_of_the_pretraining_are_no_evaluation(fitted, module, tmp_path, monkeypatch):
    model, spec = fitted
    monkeypatch.setattr(module, "predict_dataloader", lambda: module.cells_dataloader(32))
    with pytest.raises(BenchError, match="a train loader cannot feed an evaluation"):
        run.predict(model, module, tmp_path / "p.h5ad", spec)


@pytest.mark.parametrize("planted", ["G00+ctrl", "G01+G02", "G07+ctrl", "ctrl"])
def test_a_predict_loader_holds_test_conditions_only(planted, fitted, module, tmp_path, monkeypatch):
    """A train condition (also with its genes exchanged: the file calls it G02+G01), a val condition, the control."""
    model, spec = fitted
    loader = module.predict_dataloader()
    loader.conditions = (*loader.conditions, planted)
    monkeypatch.setattr(module, "predict_dataloader", lambda: loader)
    with pytest.raises(BenchError, match=f"'{planted}' is not a test condition of this split".replace("+", r"\+")):
        run.predict(model, module, tmp_path / "p.h5ad", spec)


def test_a_loader_without_a_role_is_refused(fitted, module, tmp_path, monkeypatch):
    from torch.utils.data import DataLoader

    model, spec = fitted
    monkeypatch.setattr(module, "predict_dataloader", lambda: DataLoader([1, 2]))
    with pytest.raises(BenchError, match="a nameless loader cannot feed an evaluation"):
        run.predict(model, module, tmp_path / "p.h5ad", spec)


def test_the_right_loader_is_accepted(fitted, module, tmp_path):
    model, spec = fitted
    run.predict(model, module, tmp_path / "p.h5ad", spec)
    assert (tmp_path / "p.h5ad").is_file()
