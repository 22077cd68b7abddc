"""A saved model predicts at home what it predicted where it was fitted, and more: and refuses what it cannot know."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import screens
import torch
from command import RUN, furnish, last, refuse
from command import bench as cli
from harness import small, spec_of
from safetensors.torch import load_file, save_file

import bench
from bench.core.errors import BenchError
from bench.core.files import sha256_file, sha256_json
from bench.data.datamodule import InputBatch, PerturbationDataModule
from bench.data.task import Task
from bench.models import registry
from bench.runner import fit as run
from bench.runner.saved import Fitted

TOKENS = {"encoder": "gene_transformer", "latent_target": "own", "residual": "none", "width": 8}
#: Models of each kind: closed forms, controls, pretrained encoders, all strategies of the response.
KINDS = {
    "additive": {},
    "ridge": {"features": "pca"},
    "nearest_context": {},
    "constant_encoder": {},
    "noise_encoder": {},
    "pca_encoder": {"components": 4, "latent_target": "own"},
    "jepa": {"residual": "additive"},
    "random_encoder": {**TOKENS, "predictor": "fixed"},
    "latent_additive": {},
    "cpa_like": {"features": "pca+coexpression"},
    "perturbed_vae": {},
    "vicreg": {"encoder": "gene_transformer", "predictor": "report", "width": 8, "decoder": "shared"},
}


def fitted(name, dataset, **arguments):
    """A small model, fitted on the hand-made split."""
    task = Task(dataset, screens.hand_split(dataset))
    known = {**small(name), **arguments}
    model = registry.load(name)(**known)
    run.fit(model, PerturbationDataModule(task, seed=1), 1)
    return Fitted(name, model, known, task, spec_of(name, task))


def at_once(one, names):
    """Predicted means of conditions in the first context, by the fitted object itself ``[T, G]``."""
    data = PerturbationDataModule(one.task)
    cells = torch.from_numpy(one.task.dataset.x[data.input_rows[0]].toarray())
    out = []
    for name in names:
        condition = torch.full((len(cells),), one.task.dataset.conditions.index(name))
        with torch.no_grad():
            block = one.model.predict_step(InputBatch(cells, condition, torch.zeros_like(condition)))
        out.append(block.double().mean(dim=0).numpy())
    return np.stack(out)


def controls(dataset, rows, context="line0"):
    """Control cells as a file of the user's: log1p values and a label."""
    obs = pd.DataFrame({"condition": "ctrl", "context": context}, index=dataset.barcodes[rows])
    return anndata.AnnData(dataset.x[rows], obs=obs, var=pd.DataFrame(index=dataset.genes))


def input_cells(one):
    """The cells that the fitted model predicted from."""
    return controls(one.task.dataset, PerturbationDataModule(one.task).input_rows[0])


@pytest.fixture(scope="module")
def homes(tiny, tmp_path_factory):
    """Models that were fitted and saved, each once."""
    made = {}

    def get(name):
        if name not in made:
            one = fitted(name, tiny, **KINDS[name])
            made[name] = one, one.save(tmp_path_factory.mktemp(name) / "model")
        return made[name]

    return get


#: One of each way to be kept; the others are slow to fit.
QUICK = ("ridge", "pca_encoder", "latent_additive")


@pytest.mark.thinned(1)
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in KINDS]
)
def test_a_saved_model_predicts_what_it_predicted(name, homes):
    one, folder = homes(name)
    names = [n for n in one.task.split.test if n in ("G08+ctrl", "G11+ctrl", "G02+G03", "G08+G09")]
    assert len(names) >= 3
    got = bench.load_model(folder).predict(input_cells(one), names, means=True)
    np.testing.assert_allclose(got.X, at_once(one, names), rtol=0, atol=1e-6)
    assert got.obs["condition"].tolist() == names


@pytest.mark.ci
def test_a_perturbation_that_the_data_do_not_have_is_predicted_from_its_features(tiny, homes):
    """No model sees a test condition's cells: one that was fitted where G11 is called G40 says what is to come out."""
    label = np.array(tiny.conditions)[tiny.condition]
    other = np.where(label == "G11+ctrl", "G40+ctrl", np.where(label == "G10+G11", "G10+G40", label))
    obs = pd.DataFrame({"condition": other, "context": "line0"}, index=tiny.barcodes)
    obs["batch"] = np.array(tiny.batches)[tiny.batch]
    renamed = screens.screen(sp.csr_matrix(tiny.x.shape), obs)
    renamed = type(tiny)(**{**vars(renamed), "x": tiny.x, "genes": tiny.genes})
    one, folder = homes("jepa")
    there = fitted("jepa", renamed, **KINDS["jepa"])
    names = ["G40+ctrl", "G10+G40"]
    got = bench.load_model(folder).predict(input_cells(one), "G40,G40+G10", means=True)
    np.testing.assert_allclose(got.X, at_once(there, names), rtol=0, atol=1e-6)
    assert abs(got.X[0] - got.varm["controls"]["line0"]).max() > 1e-3
    assert one.model.inputs == there.model.inputs


def relabelled(dataset, names):
    """The same cells, of which some conditions are called otherwise."""
    label = np.array(dataset.conditions)[dataset.condition]
    obs = pd.DataFrame({"condition": [names.get(name, name) for name in label], "context": "line0"})
    obs.index, obs["batch"] = dataset.barcodes, np.array(dataset.batches)[dataset.batch]
    other = screens.screen(sp.csr_matrix(dataset.x.shape), obs)
    return type(dataset)(**{**vars(other), "x": dataset.x, "genes": dataset.genes})


@pytest.mark.parametrize(
    ("name", "arguments", "new"),
    [
        ("no_change", {}, "G40+G41"),
        ("train_mean", {}, "G40+G41"),
        ("nonctl_mean", {}, "G40+G41"),
        ("matching_mean", {}, "G00+G05"),
        ("additive", {}, "G00+G05"),
        ("linear", {}, "G00+G41"),
        ("ridge", {"features": "pca", "identity": True}, "G00+G41"),
        ("rrr", {"features": "pca+coexpression"}, "G40+G41"),
        ("knn", {"features": "pca"}, "G40+G41"),
    ],
)
def test_closed_forms_answer_for_conditions_that_their_task_did_not_have(name, arguments, new, tiny, tmp_path):
    """No model sees a test condition's cells: a fit where one of them is called otherwise says what is to come out."""
    there = fitted(name, relabelled(tiny, {"G08+G09": new}), **arguments)
    here = fitted(name, tiny, **arguments)
    model = bench.load_model(here.save(tmp_path / "m"))
    got = model.predict(input_cells(here), [new, "G11"], means=True)
    np.testing.assert_allclose(got.X[:1], at_once(there, [new]), rtol=0, atol=1e-6)
    np.testing.assert_allclose(got.X[1:], at_once(here, ["G11+ctrl"]), rtol=0, atol=1e-6)
    assert got.obs["fallbacks"].tolist()[0] == 0
    moved = np.abs(got.X[0] - got.varm["controls"]["line0"]).max()
    assert moved == pytest.approx(0, abs=1e-6) if name == "no_change" else moved > 1e-2


def test_the_genes_of_another_file_are_aligned_and_brought_to_the_same_total(homes):
    """More genes, in another order, at ten times the total: the same cells, on the model's genes and scale."""
    one, folder = homes("jepa")
    model, cells = bench.load_model(folder), input_cells(one)
    rates = np.expm1(cells.X.toarray().astype(np.float64)) * 10
    wide = np.hstack([np.full((len(rates), 5), 3.0), rates[:, ::-1]])
    names = [*(f"more{i}" for i in range(5)), *one.task.dataset.genes[::-1]]
    other = anndata.AnnData(sp.csr_matrix(np.log1p(wide).astype(np.float32)), cells.obs, pd.DataFrame(index=names))
    expected, got = (model.predict(x, "G11", means=True) for x in (cells, other))
    assert got.var_names.tolist() == one.task.dataset.genes.tolist()
    np.testing.assert_allclose(got.X, expected.X, rtol=0, atol=1e-4)


def test_contexts_are_the_files_own(homes):
    """Cells of two new contexts: each is predicted from its own controls, a row per cell with its barcode."""
    one, folder = homes("jepa")
    rows = PerturbationDataModule(one.task).input_rows[0]
    both = controls(one.task.dataset, rows, np.where(np.arange(len(rows)) % 3, "new", "newer"))
    got = bench.load_model(folder).predict(both, ["G11", "G08"], max_cells=15)
    assert got.obs.groupby(["condition", "context"], observed=True).size().tolist() == [15] * 4
    assert set(got.obs["control"]) <= set(both.obs_names)
    newer = got[(got.obs["context"] == "newer") & (got.obs["condition"] == "G11+ctrl")]
    alone = bench.load_model(folder).predict(both[newer.obs["control"].to_numpy()], "G11")
    np.testing.assert_allclose(newer.X, alone.X, rtol=0, atol=1e-5)


def altered(folder, to, **changes):
    """A copy of a saved model whose description says something else, with a digest that fits."""
    shutil.copytree(folder, to)
    content = json.loads((to / "model.json").read_text())
    del content["digest"]
    content |= changes
    (to / "model.json").write_text(json.dumps({**content, "digest": sha256_json(content)}))
    return to


def test_what_is_damaged_altered_or_of_another_layout_is_refused(homes, tmp_path):
    _, folder = homes("jepa")

    def refused(place, *words):
        with pytest.raises(BenchError) as error:
            bench.load_model(place).predict(controls_of(homes), "G11")
        assert all(word in str(error.value) for word in words), error.value
        assert str(error.value).count(". ") <= 2 and "\n" not in str(error.value)

    refused(tmp_path / "none", "no saved model")
    refused(altered(folder, tmp_path / "a", schema_version=99), "layout 99")
    refused(altered(folder, tmp_path / "b", model_version=99), "version 99")
    refused(altered(folder, tmp_path / "c", model="os.system"), "unknown model 'os.system'")
    shutil.copytree(folder, tmp_path / "d")
    text = (tmp_path / "d" / "model.json").read_text()
    (tmp_path / "d" / "model.json").write_text(text.replace('"G11"', '"G99"', 1))
    refused(tmp_path / "d", "model.json: damaged, or altered")
    shutil.copytree(folder, tmp_path / "e")
    raw = bytearray((tmp_path / "e" / "weights.safetensors").read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "e" / "weights.safetensors").write_bytes(raw)
    refused(tmp_path / "e", "weights.safetensors: damaged, or altered")
    values = load_file(folder / "weights.safetensors")
    values["state/latent_mean"] = values["state/latent_mean"] * np.nan
    broken = altered(folder, tmp_path / "f")
    save_file(values, broken / "weights.safetensors")
    digest = sha256_file(broken / "weights.safetensors")
    refused(altered(broken, tmp_path / "g", weights_sha256=digest), "NaN", "latent_mean")
    values["state/latent_mean"] = torch.zeros(3)
    save_file(values, broken / "weights.safetensors")
    refused(
        altered(broken, tmp_path / "h", weights_sha256=sha256_file(broken / "weights.safetensors")),
        "weights are not those",
    )
    with open(broken / "weights.safetensors", "wb") as handle:  # pickled objects are no arrays
        np.savez(handle, **{"state/a": np.array([object()])})
    refused(
        altered(broken, tmp_path / "i", weights_sha256=sha256_file(broken / "weights.safetensors")), "no file of arrays"
    )


def controls_of(homes):
    return input_cells(homes("jepa")[0])


def test_what_a_model_cannot_know_is_refused(homes):
    cells = controls_of(homes)
    jepa, additive = (bench.load_model(homes(name)[1]) for name in ("jepa", "additive"))
    for model, given, asked, words in (
        (jepa, cells, "G11,MYC", ("nothing of MYC", "MYC+ctrl", "It knows 60 perturbations: G00")),
        (jepa, cells, "ctrl", ("control itself",)),
        (jepa, cells, " , ", ("no conditions",)),
        (jepa, cells[:, :50], "G11", ("10 of the model's 60 genes are missing (G50, ",)),
        (additive, cells, "G40,G00+G40", ("nothing of G40", "G00+G40", "It knows 7 perturbations: G00")),
    ):
        with pytest.raises(BenchError) as error:
            model.predict(given, asked)
        assert all(word in str(error.value) for word in words), error.value


def test_a_table_of_shifts_that_differ_between_contexts_knows_no_other(tmp_path):
    data = screens.tiny_screen(contexts=2)
    one = fitted("nearest_context", data)
    model = bench.load_model(one.save(tmp_path / "m"))
    rows = PerturbationDataModule(one.task).input_rows
    here = model.predict(controls(data, rows[1], "line1"), "G11", means=True)
    unit = {"condition": data.conditions.index("G11+ctrl"), "context": 1}
    shift = one.model.shifts(*unit.values()).numpy()
    np.testing.assert_allclose(here.X[0] - here.varm["controls"]["line1"], shift, rtol=0, atol=1e-6)
    elsewhere = controls(data, rows[1], "line9")
    if not np.allclose(shift, one.model.shifts(unit["condition"], 0).numpy()):
        with pytest.raises(BenchError, match="line9"):
            model.predict(elsewhere, "G11")


def test_models_that_cannot_be_saved_say_so_before_they_are_fitted(tiny):
    task = Task(tiny, screens.hand_split(tiny))
    for name, model in {"gears": registry.load("gears")(), "embeddings": registry.load("embeddings")()}.items():
        with pytest.raises(BenchError, match=f"model '{name}' cannot be saved: "):
            Fitted(name, model, {}, task, spec_of(name, task)).save("nowhere")
    with pytest.raises(BenchError, match=r"model 'mine.Mine' cannot be saved: only registered"):
        Fitted("mine.Mine", registry.load("additive")(), {}, task, spec_of("mine", task)).save("nowhere")


CODE = """
import sys
from bench.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_the_command_line_takes_a_run_home(tiny, tmp_path):
    """In Python and on the command line, in a process of its own, from a file of control cells."""
    task = Task(tiny, screens.hand_split(tiny))
    result = bench.run("ridge", task, features="pca", progress=False)
    folder = result.save(tmp_path / "home")
    one = fitted("ridge", tiny, features="pca")
    input_cells(one).write_h5ad(tmp_path / "new.h5ad")
    words = ["predict", str(folder), "--data", "new.h5ad", "--conditions", "G11,G08+G09", "--means", "--csv"]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "condition,context,cells,shift,top_genes"
    assert [line.split(",")[0] for line in lines[1:]] == ["G11+ctrl", "G08+G09"]
    got = anndata.read_h5ad(tmp_path / "pred.h5ad")
    expected = at_once(one, ["G11+ctrl", "G08+G09"])
    np.testing.assert_allclose(got.X, expected, rtol=0, atol=1e-6)
    shift = np.linalg.norm(expected[0] - got.varm["controls"]["line0"])
    assert float(lines[1].split(",")[3]) == pytest.approx(shift, rel=1e-4)


@pytest.mark.ci
def test_a_run_keeps_its_model_where_it_is_asked_to(tmp_path, monkeypatch, capsys):
    """A finished run without a model is fitted again; one with it is not; its id is enough to predict."""
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    _, out, _ = cli(capsys, *RUN)
    run = Path(last(out)).parent
    assert not (run / "model").exists()
    code, _, err = cli(capsys, *RUN, "--save")
    assert code == 0
    assert "finished already" not in err
    assert sorted(path.name for path in (run / "model").iterdir()) == ["model.json", "weights.safetensors"]
    assert "finished already" in cli(capsys, *RUN, "--save")[2]
    code, out, err = cli(capsys, "predict", run.name, "--data", "t.yaml", "--conditions", "G08", "--means")
    assert code == 0, err
    assert last(out) == "pred.h5ad"
    refuse(capsys, ["predict", run.name, "--data", "t.yaml", "--conditions", "ctrl"], "the control itself")
    refuse(capsys, ["run", "--model", "gears", *RUN[3:], "--save"], "model 'gears' cannot be saved")
