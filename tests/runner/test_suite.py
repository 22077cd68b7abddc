"""A model is asked all eight evaluations: what it has is measured, what it lacks is said, and nothing is left out."""

import json

import numpy as np
import pandas as pd
import pytest
import screens
import torch
from command import bench, furnish, refuse
from harness import _SMALL

from bench.core.errors import BenchError
from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.evaluations.biojepac import essentiality, interval, suite
from bench.evaluations.biojepac.pathways import pathways_of
from bench.models import registry
from bench.runner import fit as run_fit
from bench.runner import suite_parts, suite_tables
from bench.runner.suite import inputs_of
from bench.runner.suite_tables import Tables, two_columns
from bench.training.fit import FitContext

ASK = ["suite", "biojepac", "--data", "t.yaml", "--split-file", "split.json"]
NAMES = [
    "1 expression", "2 gene calls", "3 retrieval", "4 uncertainty", "5 batches", "6 pathways", "7 mechanism",
    "8 essentiality",
]  # fmt: skip
TOKENS = {
    "encoder": "gene_transformer", "token_identity": "fixed", "latent_target": "own", "predictor": "report",
    "residual": "none", "decoder": "shared", "identity_dropout": 1.0, "width": 8, "depth": 1, "heads": 2,
    "predictor_depth": 1, "head_depth": 1, "action_width": 8, "epochs": 1, "batch_size": 64, "head_steps": 4,
    "head_seeds": 1, "head_learning_rate": 1e-3, "features": "pca+coexpression",
}  # fmt: skip
FILM = {**{k: v for k, v in _SMALL.items() if k in registry.arguments(registry.load("jepa"))}, "head_seeds": 2}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """On a busy machine, threads that wait for each other take ten times as long over so small tensors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def task(tiny, tiny_split):
    return Task(tiny, tiny_split)


def inputs(task, name, **arguments):
    model = registry.load(name)(**arguments)
    units = tuple(dict.fromkeys(u for part in ("test", "train", "val") for u in task.units_of(part)))
    module = PerturbationDataModule(task, seed=1, asked=units)
    run_fit.fit(model, module, 1, FitContext())
    return inputs_of(model.eval(), module, name)


@pytest.fixture(scope="module")
def of_tokens(task):
    return inputs(task, "jepa", **TOKENS)


def with_tables(found, genes):
    """The same with pathways, mechanisms and essential genes that mean nothing."""
    group = {gene: "ab"[i % 2] for i, gene in enumerate(genes)}
    return type(found)(
        **{
            **vars(found),
            "pathways": (pathways_of("halves", group),),
            "mechanism": {gene: "xyz"[i % 3] for i, gene in enumerate(screens.SINGLES)},
            "essential": {gene: i % 2 for i, gene in enumerate(genes)},
        }
    )


@pytest.mark.ci
def test_a_model_that_has_everything_has_a_number_in_every_evaluation(of_tokens, monkeypatch):
    monkeypatch.setattr(interval, "DRAWS", 20)
    monkeypatch.setattr(essentiality, "STRENGTHS", (1.0,))
    table = suite.table(with_tables(of_tokens, screens.GENES.tolist()))
    assert list(dict.fromkeys(table["evaluation"])) == NAMES
    found = table.groupby("evaluation")["corrected"].count()
    assert found.drop("7 mechanism").min() >= 1
    assert table.set_index("evaluation").loc["7 mechanism", "note"].startswith("4 single test perturbations have")
    asked = table[table["corrected"].notna()]
    assert np.isfinite(asked["corrected"]).all()
    bounded = asked[asked["low"].notna()]
    assert ((bounded["low"] <= bounded["corrected"]) & (bounded["corrected"] <= bounded["high"])).all()
    wrong = table[table["evaluation"] == "3 retrieval"]["note"].iloc[0]
    assert "wrong projector" in wrong and "among 23 items" in wrong  # 22 perturbations, and what targets nothing


def test_latents_are_held_against_their_own_gaussian(of_tokens):
    spread = of_tokens.spread
    assert spread.kind == "a Gaussian over latents of cells"
    assert spread.mean.shape == spread.sd.shape == spread.target.shape == (4 * 10, 256)
    assert (spread.sd > 0).all()


@pytest.mark.slow
def test_networks_that_differ_are_an_uncertainty_and_decoder_weights_are_gene_vectors(task):
    found = inputs(task, "jepa", **FILM)
    assert found.spread.kind.startswith("the spread of 2 networks")
    assert found.gene_vectors.values.shape[0] == 60
    assert found.action_vectors.published is None  # one bank: there is no wrong projector
    assert found.averaged.note.startswith("expression")
    assert found.averaged.items[-1] == "ctrl" and len(found.averaged.asked) == 10


def test_published_means_are_asked_from_one_cell_and_corrected_ones_from_many(task, monkeypatch):
    model = registry.load("train_mean")()
    units = tuple(dict.fromkeys(u for part in ("test", "train", "val") for u in task.units_of(part)))
    module = PerturbationDataModule(task, seed=1, asked=units)
    run_fit.fit(model, module, 1, FitContext())
    cells, inner = [], model.predict_means
    monkeypatch.setattr(model, "predict_means", lambda x, *rest: cells.append(len(x)) or inner(x, *rest))
    suite_parts.averaged(model, module, 1, "m")
    suite_parts.means(model, task, task.units, 1, "m")
    assert cells[0] == 1 < cells[1] <= suite_parts.INPUT_CELLS


def test_what_a_closed_form_lacks_is_said_in_its_row(tmp_path, monkeypatch, capsys):
    furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_DATA", raising=False)
    code, out, err = bench(capsys, *ASK, "--model", "train_mean", "--json")
    assert code == 0, err
    rows = json.loads(out)
    assert list(dict.fromkeys(row["evaluation"] for row in rows)) == NAMES
    said = {row["evaluation"]: row["note"] for row in rows if row["corrected"] is None}
    assert said["4 uncertainty"].startswith("no uncertainty")
    assert said["5 batches"].startswith("no latents")
    assert said["6 pathways"].startswith("no pathways: name a table")
    assert said["7 mechanism"].startswith("no mechanisms")
    assert said["8 essentiality"].startswith("no essential genes")
    mrr = next(row for row in rows if row["measure"] == "mean reciprocal rank")
    assert mrr["corrected"] == pytest.approx(mrr["trivial"], abs=1e-9)
    assert "published = as printed" in err and "published =" not in out
    (written,) = (tmp_path / "runs").glob("*/suite_biojepac.csv")
    assert len(pd.read_csv(written)) == len(rows)


def test_tables_of_the_user(tmp_path, tiny):
    path = tmp_path / "t.csv"
    path.write_text("gene,essential\nG01,1\n G02 ,0\n")
    assert suite_tables.essential(Tables(essential=path)) == ({"G01": 1, "G02": 0}, "")
    path.write_text("gene,essential\nG01,maybe\n")
    with pytest.raises(BenchError, match="holds maybe; expected 1"):
        suite_tables.essential(Tables(essential=path))
    path.write_text("gene,pathway\nG01,a\nG01,b\n")
    with pytest.raises(BenchError, match="'G01' stands twice"):
        two_columns(path, "gene", "pathway")
    with pytest.raises(BenchError, match="no column 'perturbation'"):
        suite_tables.mechanisms(Tables(mechanisms=path), tiny)
    path.write_text("entity1,entity2\nG02,G01\nG03,G01\n")
    (found,), _ = suite_tables.pathways(Tables(pairs=(path,)), tiny)
    assert found.pairs == {("G01", "G02"), ("G01", "G03")}


def test_simulated_data_bring_their_modules_and_programs(simulated):
    (modules,), _ = suite_tables.pathways(Tables(), simulated.dataset)
    assert set(modules.group) == set(simulated.genes)
    programs, _ = suite_tables.mechanisms(Tables(), simulated.dataset)
    assert programs and set(programs) < set(simulated.genes)


def test_bad_command_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    refuse(capsys, ["suite", "biojepa"], "unknown suite", "biojepac")
    refuse(capsys, ["suite", "biojepac", "--model", ","], "names no model")
    refuse(capsys, ["suite", "biojepac", "--json", "--csv"], "choose one")
    refuse(capsys, ["suite", "biojepac", "--model", "train_maen"], "train_mean")
