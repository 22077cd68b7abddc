"""The page docs/minimal.md runs as it stands, but for its size."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from harness import spec_of

from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.models import registry
from bench.results.predictions import read
from bench.runner import fit as run
from bench.tracks.response.truth import truth

PAGE = Path(__file__).parents[1] / "docs" / "minimal.md"
SMALL = {"head_steps": 20, "head_seeds": 1, "head_width": 16, "width": 16}


@pytest.mark.ci
def test_both_models_of_the_page_fit_and_predict(tmp_path, monkeypatch, tiny, tiny_split):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    assert len(blocks) == 2
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    for name, cls, text in zip(("denoising", "projecting"), ("Denoising", "Projected"), blocks, strict=True):
        (tmp_path / f"{name}.py").write_text(text)
        first = {"noise": 0.3, "epochs": 2} if name == "denoising" else {}
        model = registry.load(f"{name}.{cls}")(**SMALL, **first)
        task = Task(tiny, tiny_split)
        module = PerturbationDataModule(task, seed=1)
        run.fit(model, module, 1)
        run.predict(model, module, tmp_path / "p.h5ad", spec_of("train_mean", task))
        facts = truth.load(task)
        got = read(tmp_path / "p.h5ad", facts.units, facts.genes, {})
        assert got.y_hat.shape == (len(tiny_split.test), len(tiny.genes)) and np.isfinite(got.y_hat).all()
        assert registry.resolve(f"{name}.{cls}").name == cls.lower()
        assert model.fit_report.parameters["response"] > 0
        sys.modules.pop(name)
