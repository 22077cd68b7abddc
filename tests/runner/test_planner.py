"""A saved model asked what to do: the ranking against an exhaustive search, the columns, and what it refuses."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
import screens
from command import bench as cli
from command import refuse
from harness import small, spec_of

import bench
from bench.core.conditions import constituents
from bench.core.errors import BenchError
from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.models import registry
from bench.reports.figures import plan as picture
from bench.runner import fit as run
from bench.runner import planner, searches
from bench.runner.home import load_model
from bench.runner.saved import Fitted


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A saved model with two networks, the state of a double, and control cells to start from."""
    made = tmp_path_factory.mktemp("plan")
    data = screens.tiny_screen(effect=2.0)
    task = Task(data, screens.hand_split(data))
    known = {**small("identity"), "features": "pca", "head_seeds": 2, "residual": "additive"}
    model = registry.load("identity")(**known)
    run.fit(model, PerturbationDataModule(task, seed=1), 1)
    Fitted("identity", model, known, task, spec_of("identity", task)).save(made / "model")
    for name, condition in {"goal": "G00+G01", "start": "ctrl"}.items():
        rows = data.cells_of[condition]
        obs = pd.DataFrame(index=data.barcodes[rows])
        anndata.AnnData(data.x[rows], obs=obs, var=pd.DataFrame(index=data.genes)).write_h5ad(made / f"{name}.h5ad")
    return made


def asked(folder, **options):
    return planner.solve(folder / "model", folder / "goal.h5ad", folder / "start.h5ad", **options)


def test_the_nearest_are_first_and_the_columns_say_how_near(folder):
    found = asked(folder)
    table, route = found.table, found.route
    assert list(table) == ["rank", "perturbation", "before", "after", "share", "uncertainty", "known"]
    assert len(table) == 20 and found.considered == found.calls == 60
    assert table["after"].is_monotonic_increasing and table["rank"].tolist() == list(range(1, 21))
    np.testing.assert_allclose(table["share"], 1 - table["after"] / table["before"])
    square = ((found.means[0] - route.goal) ** 2).sum() - route.noise
    assert table["after"][0] == pytest.approx(np.sqrt(max(square, 0)))
    goal, start = (anndata.read_h5ad(folder / f"{name}.h5ad").to_df().to_numpy(float) for name in ("goal", "start"))
    noise = sum(x.var(axis=0, ddof=1).sum() / len(x) for x in (goal, start))
    wanted = np.sqrt(((goal.mean(0) - start.mean(0)) ** 2).sum() - noise)
    assert table["before"][0] == pytest.approx(wanted, rel=1e-5)
    assert (table["uncertainty"] >= 0).all() and table["uncertainty"].max() > 0
    assert {"train", "features only"} >= set(table["known"])
    assert table["perturbation"][0] in ("G00", "G01") and table["known"][0] == "train"
    assert "predicted, not measured" in table.attrs["caveat"]


def test_predictions_are_those_of_the_saved_model(folder):
    found = asked(folder, candidates=["G00", "G01+G02"], top=2)
    model = load_model(folder / "model")
    start = anndata.read_h5ad(folder / "start.h5ad")
    start.obs["condition"] = "ctrl"
    names = found.table["perturbation"].tolist()
    wanted = model.predict(start, names, means=True)
    shift = np.asarray(wanted.X) - wanted.varm["controls"].iloc[:, 0].to_numpy()
    np.testing.assert_allclose(found.means - found.route.start, shift, atol=0.02)  # from 32 of the cells, not from all


def test_the_sum_of_shifts_by_hand():
    rng = np.random.default_rng(0)
    shifts, way = rng.normal(size=(5, 7)), rng.normal(size=7)
    members = np.array([[0, 1, -1], [3, -1, -1], [2, 4, 1], [0, 0, -1]])
    sums = [shifts[[i for i in row if i >= 0]].sum(axis=0) for row in members]
    np.testing.assert_allclose(
        searches.summed_distances(shifts, way, members), [((s - way) ** 2).sum() for s in sums], atol=1e-12
    )


@pytest.mark.slow
def test_pairs_in_two_stages_find_what_an_exhaustive_search_finds(folder):
    """Each is called once, or only what the sums of singles put first."""
    everything = asked(folder, candidates="pairs", top=20, shortlist=10_000)
    quick = asked(folder, candidates="pairs", top=20, shortlist=200)
    assert everything.considered == quick.considered == everything.calls == 60 * 59 // 2
    assert quick.calls == 200 + 60
    best = set(everything.table["perturbation"])
    assert len(best & set(quick.table["perturbation"])) >= 14
    assert all(len(constituents(name)) == 2 for name in best)


def test_what_is_avoided_is_not_there_and_the_unknown_are_last_and_named(folder):
    found = asked(folder, candidates=["G00", "NOBODY", "G01", "G00+WHO", "G05"], avoid="G01", top=9)
    assert found.table["perturbation"].tolist()[2:] == ["NOBODY", "G00+WHO"]
    assert set(found.table["perturbation"][:2]) == {"G00", "G05"}
    assert (
        found.table["known"].tolist()[2:] == ["nothing"] * 2 and found.table["after"].isna().tolist()[2:] == [True] * 2
    )
    assert "the model knows nothing of 2 of 4 candidates, which are last: NOBODY, G00+WHO" in found.notes


def test_a_picture_has_start_and_goal_at_its_ends(folder):
    found = asked(folder, top=6)
    drawn = picture.table(found.route.start, found.route.goal, found.means, found.others, found.table)
    assert drawn["kind"].tolist()[:3] == ["start", "goal", "best"] and (drawn["kind"] == "best").sum() == 6
    way = found.route.goal - found.route.start
    np.testing.assert_allclose(drawn["x"][2], (found.means[0] - found.route.start) @ way / (way @ way))
    assert len(picture.chart(drawn).to_dict()["layer"]) == 6


def write(folder, name, change):
    data = anndata.read_h5ad(folder / "goal.h5ad")
    change(data).write_h5ad(folder / name)
    return folder / name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a[:1].copy(), "1 cell: how far a state is cannot be told from one cell"),
        (lambda a: a[:, :50].copy(), "bad.h5ad: 10 of the model's 60 genes are missing"),
        (
            lambda a: anndata.AnnData(a.X, var=pd.DataFrame(index=[f"ENSG{i}" for i in range(60)])),
            "60 of the model's 60 genes are missing .*; its genes are called ENSG0",
        ),
        (lambda a: anndata.AnnData(a.to_df().where(a.to_df() != a.to_df().iloc[0, 3])), "NaN"),
        (lambda a: anndata.AnnData(a.to_df() - 3), "negative"),
    ],
)
def test_states_that_are_none(folder, change, words):
    path = write(folder, "bad.h5ad", change)
    with pytest.raises(BenchError, match=words):
        bench.plan(folder / "model", path, folder / "start.h5ad")


def test_what_cannot_be_planned(folder):
    goal, start = folder / "goal.h5ad", folder / "start.h5ad"
    with pytest.raises(BenchError, match="start .* and target .* cannot be told apart"):
        bench.plan(folder / "model", goal, goal)
    with pytest.raises(BenchError, match="the data that this model was fitted on have none"):
        bench.plan(folder / "model", goal, start, doses="1")
    with pytest.raises(BenchError, match="search 'guess': expected one of exhaustive, surrogate, gradient"):
        bench.plan(folder / "model", goal, start, search="guess")
    with pytest.raises(BenchError, match="shortlist 0: at least 1"):
        bench.plan(folder / "model", goal, start, shortlist=0)
    with pytest.raises(
        BenchError, match="search 'gradient': what 'identity' predicts here does not follow from the sum"
    ):
        bench.plan(folder / "model", goal, start, search="gradient")  # it adds to measured sums of singles
    with pytest.raises(BenchError, match="no such file"):
        bench.plan(folder / "model", folder / "none.h5ad", start)
    (folder / "empty.txt").write_text("# nobody\n\n")
    with pytest.raises(BenchError, match="no candidates: expected a perturbation per line"):
        bench.plan(folder / "model", goal, start, folder / "empty.txt")
    with pytest.raises(BenchError, match="no candidates left after the argument 'avoid'"):
        bench.plan(folder / "model", goal, start, ["G00"], avoid=["G00"])
    with pytest.raises(BenchError, match="expected 'all', 'pairs', or a text file"):
        bench.plan(folder / "model", goal, start, "nowhere.txt")
    with pytest.raises(BenchError, match="Give the cells to start from by the argument 'start'"):
        bench.plan(folder / "model", goal)


def test_counts_are_brought_to_the_scale_of_the_model(folder):
    counts, obs = screens.tiny_counts(effect=2.0)
    rows = np.flatnonzero((obs["condition"] == "G00+G01").to_numpy())
    raw = anndata.AnnData(counts[rows], obs=obs.iloc[rows][[]], var=pd.DataFrame(index=screens.GENES))
    ours, theirs = (bench.plan(folder / "model", each, folder / "start.h5ad") for each in (folder / "goal.h5ad", raw))
    np.testing.assert_allclose(ours["after"], theirs["after"], atol=1e-4)


@pytest.mark.ci
def test_from_the_command_line(capsys, folder):
    argv = ["plan", "--run", folder / "model", "--target", folder / "goal.h5ad", "--start", folder / "start.h5ad"]
    code, out, err = cli(capsys, *argv, "--top", 3, "--json", "--figure", folder / "plan.svg")
    assert code == 0 and [row["rank"] for row in json.loads(out)] == [1, 2, 3]
    assert "predicted, not measured" in err and "60 candidates" in err and (folder / "plan.svg").stat().st_size > 1000
    (folder / "genes.txt").write_text("G00\nG05+G06\n")
    code, out, _ = cli(capsys, *argv, "--candidates", folder / "genes.txt", "--csv")
    assert code == 0 and out.splitlines()[0].startswith("rank,perturbation,before,after,share") and out.count("\n") == 3
    code, out, _ = cli(capsys, *argv, "--top", 2)
    assert code == 0 and out.splitlines()[0].split()[:2] == ["rank", "perturbation"]
    refuse(capsys, [*argv, "--figure", "x.gif"], "--figure x.gif", ".svg")
    refuse(capsys, [*argv, "--top", 0], "top 0")
