"""Models from elsewhere: a package of one's own, a config that names it, an entry point, an object."""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from command import RUN, bench, furnish
from harness import spec_of

from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.models import registry
from bench.results import records
from bench.results.predictions import read
from bench.runner import fit as run
from bench.tracks.response.truth import truth

MINE = '''"""A model of one's own."""
import torch
from bench.models.base import PerturbationModel


class MeanShift(PerturbationModel):
    """Scaled mean shift.

    Args:
        scale: Of the shift.
    """

    emits_cells = False

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def fit(self, datamodule):
        self.shift = torch.from_numpy(self.scale * datamodule.train_shift)
        self.fit_report.parameters = {"fit": len(self.shift)}

    def predict_step(self, batch, batch_idx=0):
        return batch.controls.double() + self.shift


class Plain:
    """Knows no torch."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def fit(self, datamodule):
        self.shift = self.scale * datamodule.train_shift

    def predict(self, controls, condition):
        assert condition in ("G07+ctrl", "G08+ctrl") or "G" in condition
        return controls.astype(float) + self.shift


class Ridge(Plain):
    """Has the name of a registered model."""


class NoType(Plain):
    def __init__(self, scale=1.0):
        self.scale = scale


class Estimator:
    def fit(self, x): ...
    def predict(self, x): ...


a_function = len
'''


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a package mypkg, which is forgotten afterwards."""
    (tmp_path / "mypkg").mkdir()
    (tmp_path / "mypkg" / "__init__.py").write_text("")
    (tmp_path / "mypkg" / "mine.py").write_text(MINE)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    forget()  # another test's package of that name
    yield tmp_path
    forget()


def forget():
    for name in [name for name in sys.modules if name.split(".")[0] == "mypkg"]:
        del sys.modules[name]


def predicted(model, module, folder):
    """Predictions of a model, through the runner's own stages."""
    run.fit(model, module, 1)
    run.predict(model, module, folder / "p.h5ad", spec_of("train_mean", module.task))
    facts = truth.load(module.task)
    return read(folder / "p.h5ad", facts.units, facts.genes, {}).y_hat


@pytest.mark.parametrize("name", ["MeanShift", "Plain"])
def test_a_class_by_its_path_predicts_as_the_baseline_that_it_copies(here, module, name):
    cls = registry.load(f"mypkg.mine.{name}")
    expected = predicted(registry.load("train_mean")(), module, here)
    np.testing.assert_allclose(predicted(cls(), module, here), expected, atol=1e-6)
    assert not np.allclose(predicted(cls(scale=0.5), module, here), expected, atol=1e-3)
    found = registry.resolve(f"mypkg.mine.{name}")
    assert (found.name, found.version) == ({"MeanShift": "mean_shift", "Plain": "plain"}[name], 1)
    assert cls().inputs == found.inputs == {f"class mypkg.mine.{name}": sha256_file(here / "mypkg" / "mine.py")}


def test_objects_and_classes_are_models(here, module):
    MeanShift, Plain = registry.load("mypkg.mine.MeanShift"), sys.modules["mypkg.mine"].Plain

    expected = predicted(registry.load("train_mean")(), module, here)
    for given in (Plain(), MeanShift()):
        found = registry.resolve(given)
        assert found.name in ("plain", "mean_shift")
        np.testing.assert_allclose(predicted(found.make(), module, here), expected, atol=1e-6)
        np.testing.assert_allclose(predicted(registry.wrap(given), module, here), expected, atol=1e-6)
    assert registry.resolve(Plain).make(scale=2.0).inner.scale == 2.0
    assert registry.resolve(registry.load("ridge")).name == "ridge"
    assert registry.resolve("ridge").make(ridge=2.0).ridge == 2.0


@pytest.mark.parametrize("model", [3, object(), dict, "os.system", "mypkg.mine.Estimator", "mypkg.mine.a_function"])
def test_what_is_no_model_is_refused(here, model):
    with pytest.raises(BenchError, match="is not a model: expected"):
        registry.resolve(model)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("mypkg.mine.Nothing", "has no 'Nothing'"),
        ("mypkg.nothing.Mine", "cannot import 'mypkg.nothing'"),
        ("nothere.mine.Mine", "start from the folder that holds nothere"),
        ("mypkg.mine.NoType", "its argument 'scale' has no type"),
        ("../../evil", "unknown model"),
        ("mypkg/mine.py", "unknown model"),
        ("mypkg.mine.Ridge", "the name 'ridge' is a registered model's"),
    ],
)
def test_a_path_that_is_none_is_refused(here, path, words):
    with pytest.raises(BenchError, match=words):
        registry.resolve(path)


def test_an_object_that_predicts_another_shape_is_told(here, module):
    registry.load("mypkg.mine.Plain")

    class Odd(sys.modules["mypkg.mine"].Plain):
        def predict(self, controls, condition):
            return controls[:, :3]

    with pytest.raises(BenchError, match=r"'Odd' predicted an array of shape .* expected \[cells, genes\]"):
        predicted(registry.wrap(Odd()), module, here)


def test_an_entry_point_is_a_model_under_its_name(here, capsys, monkeypatch):
    points = [EntryPoint("theirs", "mypkg.mine:MeanShift", registry.GROUP)]
    points += [EntryPoint("ridge", "mypkg.mine:Ridge", registry.GROUP)]  # ours stays ours
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == registry.GROUP else [])
    registry.plugins.cache_clear()
    try:
        assert (here / "mypkg").is_dir() and str(here) not in sys.path
        sys.path.append(str(here))
        assert registry.resolve("theirs").name == "theirs"
        assert registry.load("ridge").__module__ == "baselines.ridge"
        listed = dict(line.split(maxsplit=1) for line in bench(capsys, "list", "models")[1].splitlines())
        assert listed["theirs"] == "of mypkg.mine:MeanShift" and "ridge" not in listed
    finally:
        registry.plugins.cache_clear()


@pytest.mark.ci
@pytest.mark.parametrize("named", ["my.yaml", "mypkg.mine.MeanShift"])
def test_a_config_that_names_it_runs_from_the_command_line(here, capsys, named):
    """End to end; another file of the class is another run, the same file is not run again."""
    furnish(here)
    Path("my.yaml").write_text("class_path: mypkg.mine.MeanShift\ninit_args: {scale: 0.5}\n")
    argv = ["run", "--model", named, *RUN[3:], "--scale=0.5"]
    code, out, err = bench(capsys, *argv)
    assert code == 0, err
    record = records.read(Path(out.strip().splitlines()[-1]))
    assert record.spec.model == "mean_shift" and record.spec.arguments["scale"] == 0.5
    assert record.hashes["class mypkg.mine.MeanShift"] == sha256_file(here / "mypkg" / "mine.py")
    code, _, err = bench(capsys, *argv)
    assert code == 0 and "is finished already" in err
    (here / "mypkg" / "mine.py").write_text(MINE.replace("self.scale * datamodule", "2 * self.scale * datamodule"))
    forget()
    code, out, err = bench(capsys, *argv)
    assert code == 0 and "is finished already" not in err, err
    again = records.read(Path(out.strip().splitlines()[-1]))
    assert again.values_hash != record.values_hash and again.hashes != record.hashes


@pytest.mark.parametrize(("name", "said"), [("MeanShfit", "Did you mean 'MeanShift'? "), ("Xyz", "")])
def test_a_class_that_its_module_does_not_have_is_not_called_a_bad_model(here, name, said):
    with pytest.raises(BenchError) as caught:
        registry.load(f"mypkg.mine.{name}")
    start = f"module 'mypkg.mine' has no '{name}'. {said}Its classes: MeanShift, Plain,"
    assert str(caught.value).startswith(start), caught.value
