"""Trials of an objective's settings: which are tried, which stays, and what a record says of it."""

from typing import ClassVar

import numpy as np
import pytest
import screens

from bench.core.arguments import resolved
from bench.core.given_files import recorded
from bench.data.datamodule import PerturbationDataModule
from bench.data.splits.split import draw
from bench.data.task import Task
from bench.models import registry, trials
from bench.models.ssl.jepa import JEPA, LatentPrediction
from bench.models.ssl.mae import MAE
from bench.training.fit import FitReport
from bench.training.objective import Objective

OBJECTIVES = [name for name in registry.entries() if hasattr(registry.load(name), "_try")]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_has_settings_to_try_and_its_own_comes_first(name):
    objective = registry.load(name)().maker.objective
    settings = trials.offered(objective, 6, 1)
    own = resolved(objective)
    assert settings[0] == {key: own[key] for key in objective.search}
    assert len({tuple(s.items()) for s in settings}) == 6
    for setting in settings:  # each is one that the objective's constructor takes
        type(objective)(**{**own, **setting})
    assert settings == trials.offered(objective, 6, 1) != trials.offered(objective, 6, 2)


def test_more_trials_than_settings_are_refused():
    with pytest.raises(ValueError, match=r"trials is 1000; LatentPrediction has \d+ settings"):
        trials.offered(LatentPrediction(), 1000, 1)


class Judged(MAE):
    """A model whose error is known beforehand: nothing is trained."""

    errors: ClassVar[dict[float, float | None]] = {}

    def fit(self, datamodule):
        if self._trials > 1:
            return super().fit(datamodule)
        mask = self.maker.objective.mask
        self.fit_report = FitReport(
            steps=10, cells_seen=100, flops=5.0, error=self.errors.get(mask, 1.0), selection="s"
        )
        self.encoder = f"encoder of mask {mask}"
        return None


def test_the_trial_with_the_smallest_error_is_taken_over_and_all_are_paid_for(monkeypatch):
    model = Judged(trials=20)
    masks = {s["mask"] for s in trials.offered(model.maker.objective, 20, 3)}
    monkeypatch.setattr(Judged, "errors", {0.15: 0.25})
    assert 0.15 in masks
    model.fit(type("Data", (), {"seed": 3})())
    assert model.encoder == "encoder of mask 0.15" and model.maker.objective.mask == 0.15
    report = model.fit_report
    assert (report.steps, report.cells_seen, report.flops, report.trials) == (200, 2000, 100.0, 20)
    assert report.error == 0.25 and report.selection.startswith("mask=0.15") and "of 20 trials" in report.selection
    assert resolved(model)["trials"] == 20  # what was asked for, not what the winner was asked


def test_ties_go_to_the_settings_of_the_objective(monkeypatch):
    monkeypatch.setattr(Judged, "errors", {})
    model = Judged(trials=5)
    model.fit(type("Data", (), {"seed": 3})())
    assert model.maker.objective.mask == 0.6


def test_nothing_to_judge_by_is_said(monkeypatch):
    monkeypatch.setattr(Judged, "errors", {0.6: None})
    with pytest.raises(ValueError, match="trials need units that are held out"):
        Judged(trials=2).fit(type("Data", (), {"seed": 3})())


def test_one_trial_changes_no_record():
    given = {name: p.default for name, p in registry.arguments(JEPA).items()}
    assert given["trials"] == 1 and "trials" not in recorded(JEPA, given)
    assert recorded(JEPA, {**given, "trials": 4})["trials"] == 4


@pytest.mark.parametrize("frozen", [pytest.param(False, marks=pytest.mark.ci), True])
def test_a_trial_is_the_run_that_has_its_setting(frozen):
    """The chosen one predicts, or embeds, exactly as the same model with that setting typed in."""
    data = screens.tiny_screen(contexts=4, cells=14, controls=40)
    task = Task(data, draw(data, "unseen_context", 1))
    small = {"epochs": 1, "head_steps": 10, "head_seeds": 1, "width": 8, "hidden": 16}
    tried = MAE(trials=3, **small)
    fit = MAE.freeze_encoder if frozen else MAE.fit
    fit(tried, PerturbationDataModule(task, seed=1))
    chosen = {name: resolved(tried.maker.objective)[name] for name in MAE(**small).maker.objective.search}
    alone = MAE(**small, **chosen)
    fit(alone, PerturbationDataModule(task, seed=1))
    assert tried.fit_report.error == pytest.approx(alone.fit_report.error, rel=1e-6, abs=1e-9)
    batch = next(iter(PerturbationDataModule(task, seed=1).predict_dataloader()))
    of = [(m.embed(batch.controls) if frozen else m.predict_step(batch)).numpy() for m in (tried, alone)]
    np.testing.assert_allclose(*of, rtol=1e-5, atol=1e-6)
    assert isinstance(tried.maker.objective, Objective) and tried.fit_report.trials == 3
