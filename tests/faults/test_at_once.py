"""Several processes work in one tree."""

import os
import subprocess
import sys

import pytest
from command import ROOT, RUN
from trees import LEADERBOARD, copy_of, csvs_of, numbers_of, without_csvs

from bench.core.files import locked
from bench.results import leaderboard, records

slow = pytest.mark.slow


MODELS = ("train_mean", "additive", "no_change", "linear")


@pytest.mark.parametrize("n", [2, pytest.param(8, marks=slow)])
def test_processes_that_make_the_same_run(warm, whole, tmp_path, n):
    folder = copy_of(whole, tmp_path / "tree")
    assert [answer["code"] for answer in warm(folder, *[RUN] * n)] == [0] * n
    made = numbers_of(folder)
    assert len(made) == 2 and made.items() <= numbers_of(whole).items()
    assert not list(tmp_path.rglob("*.tmp"))


def commands_for(models, seeds):
    return [
        [*RUN[:2], model, *RUN[3:], "--seed", str(seed), "--published", "boards"] for model in models for seed in seeds
    ]


@slow
@pytest.mark.parametrize("n", [2, 8])
def test_processes_that_make_different_runs(warm, whole, tmp_path, n):
    commands = commands_for(MODELS, (1, 2))[:n]
    serial, at_once = (copy_of(whole, tmp_path / name) for name in ("serial", "at_once"))
    for command in commands:
        assert warm(serial, command)[0]["code"] == 0
    for answer in warm(at_once, *commands):
        assert answer["code"] == 0, answer["err"]
    assert numbers_of(at_once) == numbers_of(serial)
    publish = [["publish", path.stem] for path in sorted(serial.glob("runs/leaderboards/records/*/*/*.json"))]
    publish = [[*command, "--leaderboards", "boards"] for command in publish]
    for folder in (serial, at_once):
        for path in folder.rglob("*.json"):  # costs differ from run to run and stand in the boards
            if "leaderboards" in path.parts:
                record = records.read(path)
                budget = record.budget.model_copy(update={"fit_s": 1.0, "predict_s": 1.0})
                records.write(path, record.model_copy(update={"budget": budget}))
    for command in publish:
        assert warm(serial, command)[0]["code"] == 0
    for answer in warm(at_once, *publish):
        assert answer["code"] == 0, answer["err"]
    assert csvs_of(at_once / "boards") and csvs_of(at_once / "boards") == csvs_of(serial / "boards")
    assert leaderboard.check(at_once / "boards") == len(csvs_of(serial / "boards"))


@pytest.mark.parametrize("n", [2, pytest.param(8, marks=slow)])
def test_leaderboards_at_once(warm, six, tmp_path, n):
    folder = without_csvs(six, tmp_path / "tree")
    (folder / "runs" / "leaderboards" / "gone__simulation.csv").write_text("of no record\n")
    for answer in warm(folder, *[LEADERBOARD] * n):
        assert answer["code"] == 0, answer["err"]
    assert csvs_of(folder) == csvs_of(six)


def test_a_lock_is_held_by_one_and_freed_by_death(tmp_path):
    code = "import sys, time; from pathlib import Path; from bench.core.files import locked\n"
    code += "with locked(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    other = subprocess.Popen([sys.executable, "-c", code, tmp_path], env=env, stdout=subprocess.PIPE, text=True)
    assert other.stdout and other.stdout.readline() == "held\n"
    mine = subprocess.Popen([sys.executable, "-c", code, tmp_path], env=env, stdout=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        mine.wait(timeout=1)
    other.kill()
    other.wait()
    assert mine.stdout and mine.stdout.readline() == "held\n"
    mine.kill()
    mine.wait()
    with locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())
