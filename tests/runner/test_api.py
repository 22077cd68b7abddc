"""The Python API: AnnData in, DataFrame out, nothing on disk; and the same numbers as the command line."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import ROOT, RUN, furnish, last
from command import bench as cli

import bench
from bench.core.errors import BenchError
from bench.core.files import published_boards
from bench.results import records

MINE = '''
import numpy as np
from bench.models.base import ShiftModel

class Mine(ShiftModel):
    """Half of the mean training shift."""

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        self.share = share

    def fit(self, datamodule):
        data = datamodule.dataset
        x, control = data.x, np.asarray(data.x[datamodule.control_rows].mean(axis=0)).ravel()
        rows = [np.asarray(x[data.rows([c])].mean(axis=0)).ravel() - control for c in datamodule.split.train]
        shift = self.share * np.mean(rows, axis=0).astype(np.float64)
        self.keep(datamodule, {c: (shift, 0) for c in data.conditions})
'''


def mine():
    space = {"__name__": "mine_in_a_notebook"}
    exec(MINE, space)
    return space["Mine"]


@pytest.fixture(scope="module")
def ran(adata, tmp_path_factory):
    """A task, and results of two models on it that nobody changes; nothing is published."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_LEADERBOARDS", str(tmp_path_factory.mktemp("none")))
        task = bench.load_task(adata, split="doubles", seed=1)
        return task, *(bench.run(name, task, progress=False) for name in ("additive", "train_mean"))


def test_importing_is_instant_and_loads_nothing(tmp_path):
    code = "import sys, time; t = time.process_time(); import bench; s = time.process_time() - t\n"
    code += "assert set(bench.__all__) <= set(dir(bench)); print(s, *sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = [
        subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, cwd=tmp_path, check=True)
        for _ in range(3)
    ]
    assert min(float(one.stdout.split()[0]) for one in done) < 0.1
    slow = {"torch", "pandas", "numpy", "anndata", "lightning", "wandb", "pydantic", "scipy", "rich", "yaml"}
    assert not slow & set(done[0].stdout.split())


def test_every_public_name_is_there():
    for name in bench.__all__:
        assert getattr(bench, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'borad'"):
        bench.borad  # noqa: B018


def test_ten_lines_give_a_board(here, ran):
    task, additive, floor = ran
    ridge = bench.run("linear", task, rank=3, progress=False)
    guess = bench.predict("additive", task, progress=False)
    scored = bench.score(guess, task, name="by_hand", progress=False)
    board = bench.board([floor, ridge, scored])

    assert list(here.iterdir()) == []
    assert set(board["model"]) == {"train_mean", "linear[rank=3]", "by_hand", "ceiling", "replicate", "floor"}
    assert floor.path is None and not floor.table.empty
    # A table of values and the record's mean are one thing.
    rows = ridge.table.query("metric == 'pearson_delta' and scope == 'all'")
    assert rows["value"].mean() == pytest.approx(ridge.metrics["pearson_delta"].mean, abs=1e-12)
    assert set(ridge.predictions.obs["condition"]) == set(rows["condition"])
    # Predictions scored from outside are those of the run.
    assert scored.metrics["r2"].mean == pytest.approx(additive.metrics["r2"].mean, abs=1e-6)


def test_compare_is_a_table(here, ran):
    _, a, b = ran
    table = bench.compare(a, b)
    assert table.columns.tolist() == ["metric", "scope", "difference", "low", "high", "p", "p_holm", "n", "better"]
    assert table["metric"].tolist()[:2] == ["skill", "pearson_delta"]
    first = table.iloc[1]
    gap = a.metrics[first["metric"]].mean - b.metrics[first["metric"]].mean
    assert first["scope"] == "all" and first["difference"] == pytest.approx(gap, abs=1e-9)
    other = bench.compare(b, a).iloc[1]
    assert other["difference"] == pytest.approx(-first["difference"], abs=1e-12)
    with pytest.raises(BenchError, match="compared with itself"):
        bench.compare(a, a)


def test_python_and_the_command_line_give_one_record(here, capsys):
    furnish(here)
    out = cli(capsys, *RUN)[1]
    theirs = records.read(Path(last(out)))
    task = bench.load_task("t.yaml", split_file="split.json")
    ours = bench.run("train_mean", task, out="o", progress=False)
    assert ours.record.run_id == theirs.run_id
    assert ours.record.values_hash == theirs.values_hash
    assert ours.path == Path("o") / theirs.run_id / "record.json"
    # The board of the command line as JSON is that of Python.
    code, out, err = cli(capsys, *RUN, "--json")
    assert code == 0 and ours.path.name in err
    rows = {row["model"]: row for row in json.loads(out)}
    table = bench.board(task).set_index("model")
    assert set(rows) == set(table.index)
    assert rows["replicate"]["pearson_delta"] == pytest.approx(table.loc["replicate", "pearson_delta"], abs=1e-12)
    code, out, _ = cli(capsys, *RUN, "--csv")
    assert code == 0 and out.startswith("dataset,split,rank,")
    assert cli(capsys, *RUN, "--csv", "--json")[0] == 2


@pytest.mark.ci
def test_a_class_or_an_object_of_ones_own(here, adata):
    """Half of the mean shift has the pattern of the whole and half its size."""
    task = bench.load_task(adata, split="doubles")
    cls = mine()
    by_class = bench.run(cls, task, progress=False)
    by_object = bench.run(cls(share=0.5), task, progress=False)
    other = bench.run(cls(share=0.75), task, progress=False)
    floor = bench.run("train_mean", task, progress=False)
    assert by_class.record.spec.model == "mine" and by_class.record.spec.arguments["share"] == 0.5
    assert by_class.metrics["r2"] == by_object.metrics["r2"]
    assert other.record.run_id != by_object.record.run_id
    correlation = [r.metrics["pearson_delta"].mean for r in (by_class, other, floor)]
    assert correlation == pytest.approx([correlation[2]] * 3, abs=1e-5)
    size = [r.metrics["shift_log_ratio"].mean for r in (floor, by_class, other)]
    assert size[0] - size[1] == pytest.approx(np.log(2), abs=1e-3)
    assert size[2] - size[1] == pytest.approx(np.log(1.5), abs=1e-3)
    with pytest.raises(BenchError, match="an object has its arguments already"):
        bench.run(cls(), task, share=0.1)
    with pytest.raises(BenchError, match="row name 'linear' is that of a registered model"):
        bench.run(cls, task, name="linear")


@pytest.mark.slow
def test_a_class_path_in_a_config_and_in_a_sweep(here, capsys):
    furnish(here)
    (here / "mypkg").mkdir()
    (here / "mypkg" / "own_model.py").write_text(MINE)
    (here / "mine.yaml").write_text("class_path: mypkg.own_model.Mine\ninit_args: {share: 0.25}\n")
    code, out, err = cli(capsys, *RUN[:1], "--model", "mine.yaml", *RUN[3:])
    assert code == 0, err
    spec = records.read(Path(last(out))).spec
    assert spec.label == "mine[share=0.25]" and spec.arguments["class_path"] == "mypkg.own_model.Mine"
    code, out, _ = cli(capsys, *RUN[:1], "--model", "mypkg.own_model.Mine", "--share", "0.25", *RUN[3:])
    assert code == 0 and records.read(Path(last(out))).run_id == spec.run_id
    (here / "s.yaml").write_text("runs: [{models: mypkg.own_model.Mine, data: t.yaml, splits: doubles}]\n")
    code, out, err = cli(capsys, "sweep", "s.yaml", "--workers", "1")
    assert code == 0 and "mine" in out, err
    for path, words in (
        ("mypkg.gone.Mine", "No module named"),
        ("mypkg.own_model.Gone", "Gone"),
        ("os.path", "not a model"),
    ):
        code, out, err = cli(capsys, *RUN[:1], "--model", path, *RUN[3:])
        assert code == 2 and words in err and "Traceback" not in err, err


def test_embeddings_are_those_of_the_principal_components(here, adata):
    """The encoder of the first principal axes, against numpy's own decomposition: the same space of cells."""
    task = bench.load_task(adata, split="doubles")
    cells = bench.embed("pca_encoder", task, components=8)
    z = cells.obsm["X_pca_encoder"]
    assert z.shape == (adata.n_obs, 8) and {"condition", "context", "batch"} <= set(cells.obs)
    given = bench.embed("pca_encoder", task, cells[:50], components=8)
    np.testing.assert_allclose(given.obsm["X_pca_encoder"], z[:50], rtol=1e-4, atol=1e-4)
    # An embedding of principal axes is linear: the part of it that a linear map of expression leaves over is nothing.
    x = np.column_stack([cells.X.toarray(), np.ones(len(z))]).astype(np.float64)
    left = z - x @ np.linalg.lstsq(x, z, rcond=None)[0]
    assert np.abs(left).max() < 1e-3 * np.abs(z).max()
    with pytest.raises(BenchError, match="no encoder"):
        bench.embed("linear", task)
    with pytest.raises(BenchError, match="genes are missing"):
        bench.embed("pca_encoder", task, cells[:, :10], components=8)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda task: bench.run("linaer", task), "Did you mean 'linear'"),
        (lambda task: bench.run("linear", task, rnk=3), "Did you mean 'rank'"),
        (lambda task: bench.run("linear", task, rank="much"), "Expected an integer"),
        (lambda task: bench.run("linear", task, rank=-2), "model 'linear'"),
        (lambda task: bench.run(3, task), "is not a model"),
        (lambda task: bench.score(pd.DataFrame(), task), "a DataFrame holds no predictions"),
        (lambda task: bench.score("gone.h5ad", task), "no such file: gone.h5ad"),
        (lambda task: bench.load_task(3), "data of type int"),
        (lambda task: bench.load_task("simulatd"), "Did you mean 'simulated'"),
        (lambda task: bench.board(3), "an int has no board"),
        (lambda task: bench.load_task("simulated", seed="x"), "seed is 'x'; expected an integer of at least 0."),
        (lambda task: bench.load_task("simulated", seed=-1), "seed is -1; expected an integer of at least 0."),
        (lambda task: bench.profiles("w", seed="x"), "seed is 'x'; expected an integer of at least 0 or a list"),
        (lambda task: bench.profiles("w", seed=[1, 2.5]), "seed is [1, 2.5]; expected"),
        (lambda task: bench.plan("run", None, top="x"), "top is 'x'; expected an integer."),
        (lambda task: bench.run("linear", task, progress="no"), "progress is 'no'; expected true or false."),
        (lambda task: bench.run("linear", task, tracking="of"), "Did you mean 'off'"),
        (lambda task: bench.board(task, models=3), "models is 3; expected a text or a list of texts or none."),
        (lambda task: bench.compare("jepa", 3), "an int is no row"),
    ],
)
def test_bad_input_is_the_same_error_as_on_the_command_line(call, words, here, tiny, tiny_split):
    with pytest.raises(BenchError) as caught:
        call(bench.Task(tiny, tiny_split))
    assert words in str(caught.value), caught.value


def test_published_boards_are_found_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_LEADERBOARDS", raising=False)
    assert published_boards() == ROOT / "leaderboards"
    monkeypatch.setenv("BENCH_LEADERBOARDS", str(tmp_path / "own"))
    assert published_boards() == tmp_path / "own"


@pytest.mark.ci
def test_published_rows_stand_beside_ones_own(here, capsys, monkeypatch):
    """From a folder that is no checkout: rows of the published boards, and compare on standard output."""
    furnish(here)
    monkeypatch.setenv("BENCH_LEADERBOARDS", "elsewhere")
    assert cli(capsys, *RUN, "--leaderboards", "elsewhere")[0] == 0
    code, out, err = cli(capsys, *RUN[:2], "additive", *RUN[3:])
    assert code == 0 and "train_mean" in out and "additive" in out and "Look first" in err
    split = records.read(Path(last(out))).spec.split
    argv = ["compare", "additive", "train_mean", "--data", "t", "--split", split]
    code, out, _ = cli(capsys, *argv)
    assert code == 0 and out.startswith("additive less train_mean | t | ")
    code, out, err = cli(capsys, *argv, "--json")
    assert (code, err) == (0, "") and json.loads(out)[0]["metric"] == "skill"


def test_progress_says_how_long_the_rest_takes(capsys, monkeypatch):
    from bench.core.console import Stages

    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    with Stages(4, runs=4) as stages:
        for i in range(4):
            stages.title(f"run {i}")
            if i == 1:  # was finished already
                stages.skip(1)
                continue
            with stages.stage("fit"):
                clock[0] += 120
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "[1/4] run 0: fit (120.0 s)"
    assert lines[1] == "[3/4] run 2: fit (120.0 s), about 2 min left"
    assert lines[2] == "[4/4] run 3: fit (120.0 s)"


PAGE = ROOT / "docs" / "python.md"


def table_of(page, first):
    """A table that the page shows: its lines as words, by the one after the first; what is first in its heading."""
    lines = page.split(f"```\n{first}")[1].split("```")[0].splitlines()[1:]
    return [line.split() for line in lines]


def test_the_documented_numbers_are_those_of_the_committed_records(monkeypatch):
    """docs/python.md, the published rows and the bars: no row's numbers depend on which others are there."""
    from bench.results.board import board
    from bench.runner.boards import board_records

    monkeypatch.delenv("BENCH_LEADERBOARDS", raising=False)
    rows = board(board_records("simulated", "simulation", [published_boards()]), seeds=[1]).set_index("model")
    shown = {words[1]: [float(word) for word in words[2:]] for words in table_of(PAGE.read_text("utf-8"), " rank")}
    for name in ("jepa", "constant_encoder", "ridge", "ceiling", "replicate", "floor"):
        found = rows.loc[name, ["skill", "pearson_delta", "discrimination", "signed_rank_z"]]
        assert found.tolist() == pytest.approx(shown[name], abs=0.0051), name


@pytest.mark.slow
def test_the_documented_lines_give_the_documented_numbers(tmp_path, monkeypatch):
    """docs/python.md, on the built-in data, beside the published rows; ranks, and two decimals."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_LEADERBOARDS", raising=False)
    page, space = PAGE.read_text(encoding="utf-8"), {}
    for block, first in ((1, " rank"), (2, "        metric")):
        code = page.split("```python\n")[block].split("```")[0].rstrip().splitlines()
        exec("\n".join([*code[:-1], f"shown = {code[-1]}"]), space)
        found = [[str(value) for value in row] for row in space["shown"].to_numpy().tolist()]
        printed = table_of(page, first)
        assert len(found) == len(printed) == (7 if block == 1 else 5)
        for ours, theirs in zip(found, printed, strict=True):
            words = [word for word, other in zip(ours, theirs, strict=True) if not _number(other)]
            assert words == [word for word in theirs if not _number(word)]
            numbers = [float(word) for word in ours if _number(word)]
            assert numbers == pytest.approx([float(word) for word in theirs if _number(word)], abs=0.011), ours
    assert list(tmp_path.iterdir()) == []


def _number(word):
    try:
        return float(word) is not None
    except ValueError:
        return False
