"""Several processes work in one tree."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import ROOT, RUN
from harness import collect, made, made_record
from trees import LEADERBOARD, copy_of, csvs_of, numbers_of, without_csvs

from bench.core.files import locked
from bench.results import everything, store, zips
from bench.tracks import registry
from bench.tracks.response.track import TRACK

slow = pytest.mark.slow


MODELS = ("train_mean", "additive", "no_change", "linear")


@slow
@pytest.mark.parametrize("n", [2, 8])
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
    publish = [["publish", e.record.run_id, "--leaderboards", "boards"] for e in collect(serial / "runs/leaderboards")]
    for folder in (serial, at_once):  # costs differ from run to run and stand in the boards; so may the tree's state
        boards = folder / "runs" / "leaderboards"
        for entry in collect(boards):
            budget = entry.record.budget.model_copy(update={"fit_s": 1.0, "predict_s": 1.0})
            alike = entry.record.model_copy(update={"budget": budget, "git_dirty": False})
            store.add(boards, TRACK, [(alike, entry.table)])
    for command in publish:
        assert warm(serial, command)[0]["code"] == 0
    for answer in warm(at_once, *publish):
        assert answer["code"] == 0, answer["err"]
    assert csvs_of(at_once / "boards") and csvs_of(at_once / "boards") == csvs_of(serial / "boards")
    assert everything.check(registry.tracks(), at_once / "boards")[0] == len(csvs_of(serial / "boards"))


@slow
@pytest.mark.parametrize("n", [2, 8])
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


ADD = """
import sys
from pathlib import Path
from harness import made_record
for i in range(int(sys.argv[3])):
    made_record(Path(sys.argv[1]), f"{sys.argv[2]}{i}", {"pearson_delta": 0.1 * i})
"""


@pytest.mark.slow
@pytest.mark.parametrize(("n", "each"), [(2, 6), (8, 2)])
def test_processes_put_records_on_one_board(tmp_path, n, each):
    names = "abcdefgh"[:n]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    all_ = [subprocess.Popen([sys.executable, "-c", ADD, tmp_path, name, str(each)], env=env) for name in names]
    assert [process.wait(timeout=300) for process in all_] == [0] * n
    found = {entry.record.spec.label: entry for entry in collect(tmp_path)}
    assert set(found) == {f"{name}{i}" for name in names for i in range(each)}
    assert not list(tmp_path.rglob("*.tmp"))
    for name, entry in found.items():
        wanted = made(name, {"pearson_delta": 0.1 * int(name[1])})
        assert (entry.record, entry.table.hash) == (wanted[0], wanted[1].hash)
    assert len({id(entry.table.task) for entry in found.values()}) == 1  # floor and replicate are there once


def replaced_at(monkeypatch, folder, value):
    """Let another process replace the record of 'a' by one with another value, just before its file is first read."""
    read, left = Path.read_bytes, [1]

    def read_bytes(path):
        if path.suffix == ".zip" and left and left.pop():
            made_record(folder, "a", {"pearson_delta": value})
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)


def test_a_reader_takes_lines_and_values_of_one_moment(tmp_path, monkeypatch):
    made_record(tmp_path, "a", {"pearson_delta": 0.1})
    replaced_at(monkeypatch, tmp_path, 0.2)
    (entry,) = collect(tmp_path)
    assert entry.table.hash == made("a", {"pearson_delta": 0.2})[1].hash


def test_what_was_read_stays_whole_when_it_is_replaced_later(tmp_path):
    record, table = made("a", {"pearson_delta": 0.1})
    store.add(tmp_path, TRACK, [(record, table)])
    (entry,) = collect(tmp_path)
    made_record(tmp_path, "a", {"pearson_delta": 0.2})
    assert (entry.record, entry.table.hash) == (record, table.hash)


def test_a_run_that_is_made_again_is_never_missing(tmp_path, monkeypatch):
    made_record(tmp_path, "a", {"pearson_delta": 0.1}, created="2026-01-01T00:00:00Z")
    seen, write = [], zips.write

    def watched(path, members):
        seen.append([entry.record.created for entry in collect(tmp_path)])
        write(path, members)
        seen.append([entry.record.created for entry in collect(tmp_path)])

    monkeypatch.setattr(zips, "write", watched)
    made_record(tmp_path, "a", {"pearson_delta": 0.1}, created="2026-02-02T00:00:00Z")
    assert seen == [["2026-01-01T00:00:00Z"], ["2026-02-02T00:00:00Z"]]
