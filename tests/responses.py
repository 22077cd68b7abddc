"""Responses that are trained to the end, and the shifts that any model predicts."""

from __future__ import annotations

import json

import numpy as np
import screens
import torch
from harness import small

from bench.data.datamodule import InputBatch, PerturbationDataModule
from bench.data.splits.split import draw
from bench.data.task import Task
from bench.models import registry
from bench.models.response import mean_fit
from bench.runner import fit as run


def shift_of(model, data, names):
    """Predicted mean shifts of any conditions of one context ``[T, G]``."""
    cells = torch.from_numpy(data.dataset.x[data.input_rows[0]].toarray())
    out = []
    for name in names:
        condition = torch.full((len(cells),), data.dataset.conditions.index(name))
        batch = InputBatch(cells, condition, torch.zeros_like(condition))
        with torch.no_grad():
            out.append((model.predict_step(batch).double() - cells.double()).mean(dim=0).numpy())
    return np.stack(out)


def to_the_end(monkeypatch, steps):
    """Responses are trained on all train conditions for these steps: no rule stops them."""

    def fit(task, settings, ledger, runtime):
        ledger.selection = "all steps"
        made, _ = mean_fit._fit_one(task, settings, settings.head_learning_rate, 1_000, None, steps, runtime)
        return [made]

    monkeypatch.setattr(mean_fit, "fit", fit)


def fitted_to_the_end(name, data, monkeypatch, steps, **arguments):
    """A model whose response is trained to the end."""
    to_the_end(monkeypatch, steps)
    settings = {"head_width": 128, "head_depth": 1, "action_width": 64, "head_steps": steps}
    model = registry.load(name)(**{**small(name), **settings, "head_learning_rate": 3e-3, **arguments})
    run.fit(model, data, 1)
    return model


def ten_units(tmp_path) -> PerturbationDataModule:
    """A and B in five contexts, whose cells and whose responses have nothing in common; A+B is asked, so that no gene
    and no context is new, and the response takes all its steps."""
    rng = np.random.default_rng(0)
    rows, labels = [], []
    for c in range(5):
        base = rng.uniform(0.5, 3.0, 30)
        for name in ("ctrl", "A+ctrl", "B+ctrl", "A+B"):
            n = 60 if name == "ctrl" else 20
            mean = base if name == "ctrl" else base + rng.normal(0, 0.5, 30)
            rows.append(np.maximum(mean + rng.normal(0, 0.3, (n, 30)), 0))
            labels += [(name, f"line{c}")] * n
    dataset = screens.from_cells("ten", rows, labels)
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"train": ["A+ctrl", "B+ctrl"], "test": ["A+B"]}))
    return PerturbationDataModule(Task(dataset, draw(dataset, "custom", 1, custom=path)), seed=1)


def predicted_shifts(model, module, units):
    """Mean predicted shift of each unit from its context's input controls ``[T, G]``."""
    predicted = []
    for unit in units:
        context = module.dataset.contexts.index(unit.context)
        cells = torch.from_numpy(module.dataset.x[module.input_rows[context]].toarray())
        asked = torch.full((len(cells),), module.dataset.conditions.index(unit.perturbation))
        batch = InputBatch(cells, asked, torch.full((len(cells),), context))
        predicted.append((model.predict_step(batch) - cells.double()).mean(dim=0).numpy())
    return np.array(predicted)
