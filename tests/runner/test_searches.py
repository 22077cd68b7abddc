"""Three searches: each finds what all of them would find, where it may call the model as often."""

from itertools import combinations

import anndata
import numpy as np
import pandas as pd
import pytest
import screens
from command import bench as cli
from command import refuse
from harness import small, spec_of

import bench
from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.models import registry
from bench.runner import candidate_list, fit, planner, searches
from bench.runner.saved import Fitted

GENES = [f"G{i:02d}" for i in range(12)]
PAIRS = ["+".join(pair) for pair in combinations(GENES, 2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network whose response follows from the action, sums of measured singles, and the cells of a double."""
    made = tmp_path_factory.mktemp("searches")
    data = screens.tiny_screen(effect=2.0)
    task = Task(data, screens.hand_split(data))
    for name in ("random_encoder", "additive"):
        known = {**small(name), **({"features": "pca", "head_seeds": 2} if name == "random_encoder" else {})}
        model = registry.load(name)(**known)
        fit.fit(model, PerturbationDataModule(task, seed=1), 1)
        Fitted(name, model, known, task, spec_of(name, task)).save(made / name)
    for name, condition in {"goal": "G00+G01", "start": "ctrl"}.items():
        rows = data.cells_of[condition]
        obs = pd.DataFrame(index=data.barcodes[rows])
        anndata.AnnData(data.x[rows], obs=obs, var=pd.DataFrame(index=data.genes)).write_h5ad(made / f"{name}.h5ad")
    return made


def asked(folder, name, **options):
    return planner.solve(folder / name, folder / "goal.h5ad", folder / "start.h5ad", candidates=PAIRS, **options)


@pytest.mark.parametrize("search", ["surrogate", "gradient"])
def test_a_list_as_long_as_the_candidates_is_an_exhaustive_search(folder, search):
    whole = asked(folder, "random_encoder", top=66, search="exhaustive")
    same = asked(folder, "random_encoder", top=66, search=search, shortlist=66)
    pd.testing.assert_frame_equal(same.table, whole.table)
    assert whole.calls == whole.considered == 66 and whole.projection is None


def test_a_gradient_comes_nearer_than_any_candidate_and_says_what_it_loses(folder):
    whole = asked(folder, "random_encoder", top=66, search="exhaustive").table.set_index("perturbation")["after"]
    quick = asked(folder, "random_encoder", top=10, search="gradient", shortlist=10)
    lost = quick.projection
    assert lost.free < whole.min() and lost.nearest >= whole.min() - 1e-6 and lost.away > 0
    assert len(quick.table) == 10 and quick.calls == searches.STARTS * (searches.STEPS + 1) + 10
    after = quick.table.set_index("perturbation")["after"]
    np.testing.assert_allclose(after, whole[after.index], atol=1e-6)
    assert any("the best continuous action comes within" in note for note in quick.notes)


def test_sums_are_exact_of_a_model_that_adds(folder):
    measured = ["+".join(pair) for pair in combinations(GENES[:7], 2)]  # of the others no single is known
    find = {"candidates": measured, "top": 5}
    goal, start = folder / "goal.h5ad", folder / "start.h5ad"
    whole = planner.solve(folder / "additive", goal, start, search="exhaustive", **find)
    quick = planner.solve(folder / "additive", goal, start, search="surrogate", shortlist=5, **find)
    pd.testing.assert_frame_equal(quick.table, whole.table)
    assert quick.calls == 7 + 5 and whole.calls == 21


def test_pairs_of_very_many_described_genes_are_those_of_the_genes_met(folder, monkeypatch):
    goal, start = folder / "goal.h5ad", folder / "start.h5ad"
    monkeypatch.setattr(candidate_list, "MAX_PAIRS", 1_000)
    found = planner.solve(folder / "random_encoder", goal, start, "pairs", top=200)
    assert set(found.table["known"]) == {"train"} and found.considered < 1_000
    assert any("perturbations met in training; those of all 60 are 1,770" in note for note in found.notes)


def test_singles_have_no_sums_all_are_called(folder):
    goal, start = folder / "goal.h5ad", folder / "start.h5ad"
    found = planner.solve(folder / "random_encoder", goal, start, GENES, search="surrogate", shortlist=3)
    assert found.calls == found.considered == 12


def test_from_the_command_line(capsys, folder):
    argv = ["plan", "--run", folder / "random_encoder", "--target", folder / "goal.h5ad", "--start"]
    argv += [folder / "start.h5ad", "--candidates", "pairs", "--shortlist", 20, "--top", 2]
    code, out, err = cli(capsys, *argv, "--search", "gradient", "--avoid", "G05,NOBODY")
    assert code == 0 and out.count("\n") == 3 and "by gradients: the best continuous action" in err
    assert "in no candidate: NOBODY" in err and "1,711 candidates" in err
    argv[2] = folder / "additive"
    refuse(capsys, [*argv, "--search", "gradient"], "search 'gradient': what 'additive' predicts")
    refuse(capsys, [*argv, "--search", "best"], "search 'best': expected one of exhaustive, surrogate, gradient")


def test_in_python(folder):
    found = bench.plan(folder / "random_encoder", folder / "goal.h5ad", folder / "start.h5ad", PAIRS, search="gradient")
    assert len(found) == 20
