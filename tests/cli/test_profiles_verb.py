"""``bench profiles`` as a user runs it: boards, tables, figures, rows that say what is lacking, and bad input."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from plates import small, write_embeddings, write_experiment

from bench.cli.main import main
from bench.results import records

FAST = ["--null-size", "200"]


def _run(capsys, tmp_path, *words):
    code = main(["profiles", *words, *FAST, "--out", str(tmp_path / "out"), "--leaderboards", str(tmp_path / "boards")])
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    folder = tmp_path_factory.mktemp("screen")
    wells = small(cells=1)
    write_embeddings(folder / "latents", wells)
    return write_experiment(folder / "screen", wells, left_out=["P1CR1", "P1CR2"]), folder / "latents"


@pytest.mark.ci
def test_rows_tables_and_what_is_lacking(card, capsys, tmp_path):
    path, latents = card
    code, out, err = _run(capsys, tmp_path, "--data", str(path), "--correction", "plate_z", "--no-figures")
    assert code == 0
    assert "cross line1 compound long crispr short | nothing to be asked for" in out
    assert "replicability line1 compound long | 24 labels" in out
    record = records.read(Path(out.splitlines()[-1]))
    assert (record.status, record.values_hash) == ("missing", None)
    assert record.spec.arguments["correction"] == "plate_z"
    assert record.warnings[0].startswith("missing: no file of plate P1CR1, P1CR2")
    board = pd.read_csv(tmp_path / "boards" / "screen__profiles.csv")
    assert board.set_index("split")["status"].fillna("").to_dict() == {
        "cross.line1.compound.long.crispr.short": "missing",
        "replicability.line1.compound.long": "",
        "replicability.line1.crispr.short": "missing",
        "target.line1.compound.long": "",
        "target.line1.crispr.short": "missing",
    }
    folder = next((tmp_path / "out" / "profiles" / "screen").iterdir())
    groups = pd.read_csv(folder / "groups.csv")
    assert groups["correction"].eq("plate_z").all()
    assert groups.loc[groups["status"] == "ok", ["n_controls", "n_fitted_on"]].eq(16).all(axis=None)
    ap, table = (pd.read_csv(folder / name) for name in ("ap.csv", "map.csv"))
    part = ap[ap["task"] == "replicability"]
    mean = part.groupby("label")["average_precision"].mean()
    wanted = table[table["task"] == "replicability"].set_index("label")["map"]
    assert np.abs(mean - wanted).max() < 1e-5
    assert (folder / "ap.csv").read_text().splitlines()[0].split(",")[:9] == [
        *("task", "cell", "modality", "time", "label", "perturbation", "profile_modality", "plate", "well")
    ]
    wells = small(cells=1)
    of = {(plate, well): name for plate, well, name in zip(wells.plate, wells.well, wells.perturbation)}
    assert len(part) and all(of[row.plate, row.well] == row.label for row in part.itertuples())
    assert ap.loc[ap["task"] == "target", "well"].isna().all()
    pivot = pd.read_csv(folder / "pivot_map.csv")
    starred = pd.read_csv(folder / "pivot_map_normalised.csv").set_index("modality")["replicability"]
    ok = groups[groups["task"] == "replicability"].set_index("modality")
    assert float(starred["compound"]) == pytest.approx(ok.loc["compound", "map_normalised"], abs=6e-4)
    assert "missing" in pivot["target"].tolist()
    assert json.loads((folder / "manifest.json").read_text())["status"]["target.line1.crispr.short"] == "missing"

    # Another row on the same boards, and the same numbers again.
    code, out, err = _run(
        capsys, tmp_path, "--data", str(path), "--features", "embedding", "--embeddings", str(latents), "--csv"
    )
    found = pd.read_csv(io.StringIO(out))
    assert set(found["model"]) == {"embedding[null_size=200]", "profile[correction=plate_z,null_size=200]"}
    assert main(["leaderboard", "--check", "--leaderboards", str(tmp_path / "boards")]) == 0


@pytest.mark.ci
def test_an_encoder_of_this_project_and_figures(capsys, tmp_path):
    data = "simulated_profiles:cells=1,plates=2,compounds=18"
    words = ["--data", data, "--encoder", "jepa", "--epochs", "2", "--width", "8", "--seed", "1-2"]
    code, out, _ = _run(capsys, tmp_path, *words, "--task", "replicability")
    assert code == 0
    board = pd.read_csv(next((tmp_path / "boards").glob("*__profiles.csv")))
    assert board["model"].eq("jepa[epochs=2,null_size=200,width=8]").all()
    assert board["n_training_seeds"].eq(2).all()
    assert board["parameters"].gt(0).all()
    folder = next((tmp_path / "out" / "profiles").iterdir())
    for name in ("bars", "boxes"):
        for form in ("pdf", "svg", "png"):
            assert (folder / f"{name}.{form}").stat().st_size > 1_000


@pytest.mark.slow
def test_objectives_beside_those_of_the_suite_and_controls_that_learned_nothing(capsys, tmp_path):
    data = "simulated_profiles:cells=1,plates=2,compounds=18"
    words = ["--data", data, "--encoder", "lejepa,simclr", "--with-bars", "--epochs", "2", "--width", "8"]
    code, out, err = _run(capsys, tmp_path, *words, "--task", "replicability", "--no-figures")
    assert code == 0, err
    board = pd.read_csv(next((tmp_path / "boards").glob("*__profiles.csv")))
    rows = {f"{name}[epochs=2,null_size=200,width=8]" for name in ("lejepa", "simclr")}
    bars = {"profile", "constant_encoder", "noise_encoder", "random_encoder", "identity", "pca_encoder"}
    assert set(board["model"]) == rows | {f"{name}[null_size=200]" for name in bars}
    assert board["map_normalised"].notna().all() and board["status"].isna().all()
    level = board.groupby("model")["map_normalised"].mean()
    assert abs(level["constant_encoder[null_size=200]"]) < 1e-9
    assert level[sorted(rows)].between(-0.2, 1).all()
    learned = board[board["model"].isin(rows)]
    assert learned["parameters"].gt(0).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--correction", "zca"], "unknown correction 'zca'"),
        (["--preset", "celclip"], "unknown preset 'celclip'. Did you mean 'cellclip'?"),
        (["--task", "targets"], "unknown task 'targets'. Did you mean 'target'?"),
        (["--features", "images"], "unknown kind of features"),
        (["--data", "cpjump2"], "unknown profile data 'cpjump2'. Did you mean 'cpjump1'?"),
        (["--universe", "nowhere.csv"], "--universe: no such file"),
        (["--corection", "kpca"], "Did you mean '--correction'?"),
        (["--encoder", "linear"], "has no encoder to freeze"),
        (["--encoder", "jepa", "--epoch", "3"], "Did you mean '--epochs'?"),
        (["--cell-type", "HeLa"], "nothing is asked for of the groups line1 compound long"),
        (["--encoder", "supervised", "--task", "replicability"], "learns from labels"),
    ],
)
def test_bad_input_is_one_error(words, message, capsys, tmp_path):
    code, out, err = _run(capsys, tmp_path, *words)
    assert code == 2
    assert message in err
    assert not (tmp_path / "boards").exists()
