"""Score, export, compare, explain: as a user calls them, on the tiny screen."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import screens
from command import last
from harness import groups, made_record, made_records, one_entry

from bench.cli.main import main
from bench.core import files as files_of
from bench.results.board import gather
from bench.results.difference import Comparison, no_claim


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    counts, obs = screens.tiny_counts()
    screens.write_h5ad(folder / "tiny.h5ad", counts.astype("float32"), obs)
    (folder / "card.yaml").write_text(
        "name: tiny\nsource: tiny.h5ad\nexpression: counts\n"
        "columns: {condition: condition, context: context, batch: batch}\n"
    )
    split = screens.hand_split(screens.tiny_screen())
    (folder / "split.json").write_text(json.dumps({p: getattr(split, p) for p in ("train", "val", "test")}))
    return folder


def task(files):
    return ["--split-file", str(files / "split.json"), "--seed", "1"]


@pytest.fixture(scope="module")
def exported(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("task")
    assert main(["data", "export", str(files / "card.yaml"), str(out), *task(files)]) == 0
    return out


def test_export_holds_train_val_and_input_controls_alone(exported, tiny, tiny_split):
    cells = anndata.read_h5ad(exported / "train.h5ad")
    assert set(cells.obs["part"]) == {"train", "val", "control"}
    assert set(cells.obs["condition"]) == {*tiny_split.train, *tiny_split.val, "ctrl"}
    controls = set(cells.obs_names[cells.obs["part"] == "control"])
    assert controls == {b for pool in tiny_split.input_controls.values() for b in pool}
    assert set(cells.obs_names[cells.obs["input"]]) == {b for pool in tiny_split.input_cells.values() for b in pool}
    split = json.loads((exported / "split.json").read_text())
    assert split["test"] == list(tiny_split.test)
    assert split["split_id"] == cells.uns["split_id"]
    hidden = {b for pool in tiny_split.reference_controls.values() for b in pool}
    assert not hidden & set(cells.obs_names)
    text = (exported / "split.json").read_text()
    assert not any(barcode in text for barcode in sorted(hidden)[:20])


def predictions(exported, path, **uns):
    """What a stranger's tool would do: the mean of the input cells plus the mean shift."""
    cells = anndata.read_h5ad(exported / "train.h5ad")
    split = json.loads((exported / "split.json").read_text())
    control = np.asarray(cells[cells.obs["input"].to_numpy()].X.mean(axis=0)).ravel()
    shift = np.mean(
        [np.asarray(cells[cells.obs["condition"] == c].X.mean(axis=0)).ravel() - control for c in split["train"]],
        axis=0,
    )
    obs = pd.DataFrame({"condition": split["test"]}, index=[str(i) for i in range(len(split["test"]))])
    x = np.tile(control + shift, (len(obs), 1)).astype(np.float32)
    anndata.AnnData(x, obs=obs, var=pd.DataFrame(index=cells.var_names), uns=uns).write_h5ad(path)
    return path


def score(files, path, tmp_path, *extra):
    folders = [
        "--out",
        str(tmp_path / "runs"),
        "--leaderboards",
        str(tmp_path / "boards"),
        "--published",
        str(tmp_path / "no"),
    ]
    return main(["score", str(path), "--data", str(files / "card.yaml"), *task(files), *folders, *extra])


def test_a_strangers_file_becomes_a_row_in_one_command(files, exported, tmp_path, capsys):
    path = predictions(exported, tmp_path / "stranger.h5ad", controls_used="input")
    assert score(files, path, tmp_path, "--name", "stranger") == 0
    out, err = capsys.readouterr()
    entry = one_entry(Path(last(out)))
    assert entry.record.spec.label == "stranger"
    assert "stranger" in out and "read" in err
    assert entry.record.controls_used == "input"
    for name in ("pearson_delta", "discrimination"):
        mean = np.nanmean(entry.values.column("all", "floor", list(entry.track.metrics).index(name)))
        assert entry.levels[name].mean == pytest.approx(mean, abs=1e-4)  # it is the train mean, through float32
        assert entry.levels[name].skill is None or entry.levels[name].skill <= 1e-9  # it knows no condition


def test_a_file_that_says_nothing_is_shown_without_skill_or_rank(files, exported, tmp_path, capsys):
    path = predictions(exported, tmp_path / "silent.h5ad")
    assert score(files, path, tmp_path) == 0
    err = capsys.readouterr().err
    assert "not made from the input controls: silent (unknown)" in err
    items = next(iter(groups(tmp_path / "boards").values()))
    assert not gather(items)[1]["silent"].honest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data_hash": "x"}, "made for data_hash x"),
        ({"split_id": "x"}, "made for split_id x"),
        ({"controls_used": "mine"}, "controls_used"),
    ],
)
def test_files_of_another_task_are_refused(change, message, files, exported, tmp_path, capsys):
    path = predictions(exported, tmp_path / "p.h5ad", **change)
    assert score(files, path, tmp_path) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "boards").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../up",
        "a/b",
        "train_mean",
        "replicate",
        "linear",
        pytest.param("", marks=pytest.mark.ci),
        "x" * 80,
        "<b>",
        "-x",
    ],
)
def test_names_that_would_mislead_or_leave_their_folder_are_refused(name, files, exported, tmp_path, capsys):
    path = predictions(exported, tmp_path / "p.h5ad", controls_used="input")
    assert score(files, path, tmp_path, f"--name={name}") == (0 if not name else 2)
    if name:
        assert "row name" in capsys.readouterr().err


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    means = {"a": 0.5, "b": 0.4, "train_mean": 0.25}
    made_records(folder, {name: {"pearson_delta": mean} for name, mean in means.items()})
    return folder


def test_compare_by_hand(study):
    _, rows = gather(groups(study)["d", "simulation"])
    found = Comparison(rows, [1, 2, 3]).difference("a", "b", "all", "pearson_delta")
    assert found.mean == pytest.approx(0.1)
    assert found.low == pytest.approx(0.1)  # the two scatter alike: no noise in the difference
    assert found.clear
    assert found.n == 12
    assert found.p < 1e-9
    assert found.p_holm == pytest.approx(3 * found.p, abs=1e-12)  # three pairs on the board
    assert not Comparison(rows, [1, 2, 3]).difference("a", "b", "effect_low", "pearson_delta").clear  # four conditions


def test_compare_prints_and_names_conditions(study, capsys):
    assert main(["compare", "a", "b", "--data", "d", "--leaderboards", str(study)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "a less b | d | simulation | seeds 1-3" in out
    assert "a is better" in out
    assert "They differ most" in out
    assert main(["compare", "a", "bb", "--data", "d", "--leaderboards", str(study)]) == 2
    assert "Did you mean 'b'" in capsys.readouterr().err
    assert main(["compare", "a", "b", "--data", "dd", "--leaderboards", str(study)]) == 2
    assert main(["compare", "a", "a", "--data", "d", "--leaderboards", str(study)]) == 2
    assert "compared with itself" in capsys.readouterr().err


def test_claims_are_refused_where_they_must(tmp_path):
    made_record(tmp_path, "a", {"pearson_delta": 0.5}, evidence="smoke")
    made_record(tmp_path, "b", {"pearson_delta": 0.5}, controls_used="all", evidence="smoke")
    rows = gather(groups(tmp_path)["d", "simulation"])[1]
    assert "smoke" in no_claim([rows["a"]])
    made_record(tmp_path / "x", "a", {"pearson_delta": 0.5})
    made_record(tmp_path / "x", "b", {"pearson_delta": 0.5}, controls_used="all")
    rows = gather(groups(tmp_path / "x")["d", "simulation"])[1]
    assert no_claim([rows["a"]]) == ""
    assert "input controls: b" in no_claim([rows["a"], rows["b"]])


def test_conditions_of_several_seeds_count_once(study):
    _, rows = gather(groups(study)["d", "simulation"])
    gaps = Comparison(rows, [1, 2, 3]).by_condition("a", "b", "pearson_delta")
    assert len(gaps) == 12


def test_explain_says_where_a_number_starts_and_ends(study, capsys):
    assert main(["explain", "pearson_delta", "--leaderboards", str(study)]) == 0
    out = capsys.readouterr().out
    for word in (
        "formula",
        "higher is better",
        "chance     0",
        "pattern",
        "source",
        "avoids",
        "floor 0.25, replicate 0.75",
    ):
        assert word in out, word
    assert main(["explain", "pearson_dleta"]) == 2
    assert "Did you mean 'pearson_delta'" in capsys.readouterr().err


def test_the_published_boards_are_checked_from_any_folder(tmp_path, capsys, monkeypatch):
    made_record(tmp_path / "boards", "linear", {"pearson_delta": 0.5})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("BENCH_LEADERBOARDS", str(tmp_path / "boards"))
    assert main(["leaderboard", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["leaderboard", "--check"]) == 0
    assert "CSVs equal what the records give" in capsys.readouterr().err
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("verb", [["leaderboard"], ["publish", "abc"], ["prune", "abc"]])
def test_boards_of_an_installed_package_are_not_written(tmp_path, capsys, monkeypatch, verb):
    package = tmp_path / "site-packages" / "bench"
    (package / "leaderboards").mkdir(parents=True)
    monkeypatch.delenv("BENCH_LEADERBOARDS", raising=False)
    monkeypatch.setattr(files_of, "_PACKAGE", package)
    assert main(verb) == 2
    assert "belongs to the installed package" in " ".join(capsys.readouterr().err.split())
    assert not list((package / "leaderboards").iterdir())
