"""From the file of a chemical screen to its board and gene table, without a card, as a user types it."""

import json
from pathlib import Path

import pandas as pd
import pytest
import screens
from command import bench

from bench.core.conditions import bare
from bench.data.task import load_task

MODELS = {"ridge", "train_mean", "same_dose_mean", "additive"}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chemical")
    screens.chemical_file(folder)
    compounds = [f"{group}-{ring}" for ring in screens.RINGS for group in screens.GROUPS]
    lists = {"train": [], "val": [], "test": []}
    for i, name in enumerate(compounds):
        lists["test" if i % 3 == 0 else "val" if i % 9 == 1 else "train"].append(name)
    (folder / "lists.json").write_text(json.dumps(lists))
    return folder


def run(capsys, models, *more):
    split = ["--split", "custom", "--split-file", "lists.json"]
    code, out, err = bench(
        capsys, "run", "--model", models, "--data", "chemical.h5ad", *split, "--tracking", "off", *more
    )
    assert code == 0, err
    boards = Path("runs", "leaderboards")
    assert bench(capsys, "leaderboard", "--leaderboards", boards, "--quiet")[0] == 0
    (board,) = boards.glob("chemical__custom-*.csv")
    return out, err, pd.read_csv(board).set_index("model")


def named(out):
    return {word for line in out.splitlines() for word in line.split() if word in {*MODELS, "jepa", "constant_encoder"}}


@pytest.mark.slow
def test_a_file_without_a_card_gives_a_board_of_units_by_dose(here, capsys, monkeypatch):
    monkeypatch.chdir(here)
    out, err, table = run(capsys, ",".join(sorted(MODELS)))
    assert named(out) == MODELS and "features:\n- fingerprints" in err
    task = load_task("chemical.h5ad", "custom", split_file=here / "lists.json")
    assert set(table["n_conditions"].dropna()) == {len(task.units)} == {12 * 3 * 2}
    assert table.loc["ridge", "pearson_delta"] > table.loc["train_mean", "pearson_delta"] + 0.1
    assert table.loc["ridge", "skill"] > table.loc["same_dose_mean", "skill"]
    train, test = (set(map(bare, getattr(task.split, part))) for part in ("train", "test"))
    assert len(train) == 19 and len(test) == 12 and not train & test


@pytest.mark.slow
def test_a_learned_model_with_fingerprints_and_dose_beats_the_train_mean(here, capsys, monkeypatch):
    monkeypatch.chdir(here)
    out, _, table = run(capsys, "jepa,ridge", "--with-bars")
    assert named(out) >= {*MODELS, "jepa", "constant_encoder"}
    assert table.loc["jepa", "pearson_delta"] > table.loc["train_mean", "pearson_delta"] + 0.1
