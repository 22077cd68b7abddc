"""``bench identify``: the board, and the check of any data set."""

import io
import json

import pandas as pd
import pytest

from bench.cli.main import main

SMALL = ["--data", "g2:cells=40,controls=60", "--data-seed", "1-2", "--no-references", "--against", "pca"]


@pytest.fixture
def places(tmp_path):
    return ["--out", str(tmp_path / "runs"), "--leaderboards", str(tmp_path / "boards")]


@pytest.mark.ci
def test_a_board_is_printed_and_kept(places, tmp_path, capsys):
    assert main(["identify", "--model", "ica noise look_up", *SMALL, *places]) == 0
    out = capsys.readouterr().out
    assert "g2_cells40_controls60" in out and "above" in out
    assert [line for line in out.splitlines() if line.startswith("ica")]
    assert out.splitlines()[-1].endswith("identify.json")
    table = pd.read_csv(tmp_path / "boards" / "g2_cells40_controls60__identify.csv").set_index("model")
    assert set(table.index) == {"pca", "ica", "noise", "look_up"} and table.loc["ica", "n_seeds"] == 2

    assert main(["identify", "--model", "ica;noise;look_up", *SMALL, *places, "--json"]) == 0
    rows = {row["model"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["ica"]["mcc_within"] == pytest.approx(table.loc["ica", "mcc_within"], rel=1e-5)
    assert rows["ica"]["above"] == pytest.approx(rows["ica"]["mcc_within"] - rows["pca"]["mcc_within"], abs=1e-9)
    assert rows["noise"]["r2_i"] is None and rows["pca"]["claim"] == ""
    assert main(["identify", "--model", "ica noise look_up", *SMALL, *places, "--csv"]) == 0
    printed = pd.read_csv(io.StringIO(capsys.readouterr().out)).set_index("model")
    assert printed.loc["ica", "mcc_within"] == pytest.approx(rows["ica"]["mcc_within"], rel=1e-5)


def test_too_few_environments_are_said_on_the_board(places, capsys):
    data = ["--data", "g1:perturbations=3,cells=20,controls=40,genes=30", "--data-seed", "1-2"]
    assert main(["identify", "--model", "pca", *data, "--no-references", "--against", "noise", *places]) == 0
    printed = capsys.readouterr()
    assert "no claim: 4 environments" in printed.out and "11 are needed" in printed.out


def test_any_data_set_is_checked(capsys):
    assert main(["identify", "--check", "g1:perturbations=6,cells=40,controls=80,d_i=2,genes=20", "--json"]) == 0
    found = {row["assumption"]: row["value"] for row in json.loads(capsys.readouterr().out)}
    assert found["perturbations"] == 6 and found["environments"] == 7
    assert (
        main(["identify", "--check", "g1:perturbations=6,cells=40,controls=80,d_i=2,genes=20", "--latents", "9"]) == 0
    )
    assert "9 latents need 10: too few" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "simulated"], "true latents are not known"),
        (["--model", ""], "no row"),
        (["--data-seed", "x"], "seed 'x'"),
        (["--check", "nothing_here"], "nothing_here"),
        (["--check", "g2", "--latents", "-1"], "--latents -1"),
        (["--json", "--csv"], "choose one"),
    ],
)
def test_bad_input_is_one_sentence(words, message, places, capsys):
    assert main(["identify", *words, *places]) == 2
    assert message in capsys.readouterr().err
