"""The README's rows are those of the committed board, its commands exist, and the worked example works."""

import re
from pathlib import Path

import pytest
from harness import groups

from bench.reports.text import as_text
from bench.results import everything
from bench.results.board import board as make_board
from bench.tracks import registry

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = (ROOT / "docs" / "own-predictions.md").read_text(encoding="utf-8")


def test_the_readmes_rows_are_those_of_the_committed_boards():
    boards = groups(ROOT / "leaderboards")
    shown = re.findall(r"Data `(\w+)`,\s+split\s+`(\w+)`.*?```\n(.*?)```", README, re.S)
    assert [(data, split) for data, split, _ in shown] == [
        ("simulated_contexts", "unseen_context"),
        ("simulated", "simulation"),
    ]
    for data, split, table in shown:
        items = boards[data, split]
        defaults = [item for item in items if not item.record.spec.variant]
        lines = as_text(items[0].track, make_board(defaults)).splitlines()
        assert len(table.splitlines()) > 5
        assert [line for line in table.splitlines() if line not in lines] == []


@pytest.mark.slow
def test_the_committed_csvs_are_what_the_records_give():
    assert min(everything.check(registry.tracks(), ROOT / "leaderboards")) >= 2


def test_every_make_target_named_is_there():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"make ([a-z-]+)", README))
    assert named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.M), target


@pytest.mark.parametrize("split", ["simulated__simulation", "norman_slice__simulation"])
def test_all_baselines_stand_on_the_committed_boards(split):
    import pandas as pd

    table = pd.read_csv(ROOT / "leaderboards" / f"{split}.csv").set_index("model")
    for name in ("no_change", "train_mean", "additive", "linear", "replicate"):
        assert table.loc[name, "n_seeds"] == 3, name
        assert set(table["n_conditions"]) == {table.loc["linear", "n_conditions"]}


@pytest.mark.slow
def test_the_worked_example_makes_a_row(tmp_path, monkeypatch, capsys):
    """The documents' own lines, with scikit-learn alone, on the built-in data."""
    from bench.cli.main import main
    from bench.results.board import gather

    (code,) = re.findall(r"```python\n(.*?)```", EXAMPLE, re.S)
    commands = re.search(r"```bash\n(bench data export.*?)```", EXAMPLE, re.S)[1].splitlines()
    monkeypatch.chdir(tmp_path)
    assert main(commands[0].split("#")[0].split()[1:]) == 0
    exec(compile(code, "my_model.py", "exec"), {})
    assert main(commands[2].split()[1:]) == 0
    capsys.readouterr()
    items = groups(tmp_path / "runs" / "leaderboards")["simulated", "simulation"]
    row = gather(items)[1]["my_model"]
    assert row.honest
    level = row.entries[0].levels["pearson_delta"]
    assert level.mean > level.floor
