"""Rows of a bundle run again, beside it and never over it."""

import json
from dataclasses import replace

import pytest

from bench.audit.bundle.rerun import rerun
from bench.cli.main import main
from bench.core.errors import BenchError
from bench.core.track import CLOSED_FORM
from bench.results import store
from bench.tracks.response.track import TRACK


def tree(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_unknown_run_id(small_boards, tmp_path):
    with pytest.raises(BenchError, match="unknown run id '000000000000'"):
        rerun(["0" * 12], small_boards, tmp_path)


def test_a_row_of_data_that_nobody_ships_cannot_be_run_again(small_boards, tmp_path):
    (first, *_) = store.collect(TRACK, [small_boards])
    with pytest.raises(BenchError, match="d"):
        rerun([first.record.run_id], small_boards, tmp_path)
    assert not (tmp_path / "rerun_diff.json").exists()


@pytest.mark.slow
def test_a_row_run_again_reproduces_and_a_changed_one_does_not(tmp_path):
    boards, beside = tmp_path / "boards", tmp_path / "out"
    argv = ["run", "--model", "ridge", "--ridge", "3.0", "--data", "simulated", "--split", "doubles"]
    argv += ["--tracking", "off", "--out", str(tmp_path / "runs"), "--leaderboards", str(boards)]
    assert main(argv) == 0
    (old,) = store.collect(TRACK, [boards])
    before = tree(boards)
    path, same = rerun([old.record.run_id], boards, beside)
    assert tree(boards) == before and same
    lines = {one["metric"]: one for one in json.loads(path.read_text())["rows"][old.record.run_id]}
    mean = old.levels["pearson_delta"].mean
    assert (lines["pearson_delta"]["old"], lines["pearson_delta"]["tolerance"]) == (mean, CLOSED_FORM)
    assert lines["pearson_delta"]["new"] == pytest.approx(mean, abs=CLOSED_FORM)
    values = old.values.numbers["value"].copy()
    values[:, 0] += 1e-6
    table = replace(old.values, numbers={**old.values.numbers, "value": values})
    store.add(boards, TRACK, [(old.record.model_copy(update={"values_hash": table.hash}), table)])
    path, same = rerun([old.record.run_id], boards, beside)
    lines = json.loads(path.read_text())["rows"][old.record.run_id]
    assert not same
    assert [one["metric"] for one in lines if not one["within"]] == [next(iter(TRACK.metrics))]
