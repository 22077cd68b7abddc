"""The file of a board: one zip of members as they are, and every other zip refused in one sentence."""

import io
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from harness import collect, made, made_record
from members import put

from bench.core.errors import BenchError
from bench.results import embeddings, store, zips
from bench.results.shifts import Rows, Shifts
from bench.tracks import registry

TRACK = registry.get("response")
GENES = ("g1", "g2", "g3")
BOARDS = Path(__file__).resolve().parents[2] / "leaderboards"


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A folder with the board of two records, made once: not to be changed."""
    folder = tmp_path_factory.mktemp("two")
    store.add(folder, TRACK, [made(name, {"pearson_delta": value}) for name, value in (("a", 0.1), ("b", 0.2))])
    return folder


@pytest.fixture
def path(two, tmp_path):
    """The file of a board of two records."""
    shutil.copytree(two, tmp_path, dirs_exist_ok=True)
    (found,) = tmp_path.rglob("*.zip")
    return found


def test_the_same_members_are_the_same_bytes(path, monkeypatch):
    first = path.read_bytes()
    monkeypatch.setattr("time.time", lambda: 2e9)
    zips.write(path, store.members(path))
    assert path.read_bytes() == first
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            assert (member.date_time, member.compress_type) == ((1980, 1, 1, 0, 0, 0), zipfile.ZIP_STORED)


def test_python_takes_the_members_out_and_pandas_reads_them(path, tmp_path):
    out = tmp_path / "out"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(path), str(out)], check=True)
    assert sorted(one.name for one in out.iterdir()) == ["runs.jsonl.gz", "task.parquet", "values.parquet"]
    runs = pd.read_json(out / "runs.jsonl.gz", lines=True)
    values = pd.read_parquet(out / "values.parquet")
    assert set(values["run_id"]) == set(runs["run_id"])
    means = values[values["scope"] == "all"].groupby("run_id")["value.pearson_delta"].mean()
    for entry in collect(tmp_path):
        assert means[entry.record.run_id] == pytest.approx(entry.levels["pearson_delta"].mean, abs=1e-12)


def test_members_that_did_not_change_stay_the_same_bytes(path, tmp_path, monkeypatch):
    before = store.members(path)
    # As another version of pyarrow would write it, which is asked for what did change alone.
    monkeypatch.setattr("bench.results.parquet._LEVEL", 1)
    record, table = made("a", {"pearson_delta": 0.1}, created="2026-02-02T00:00:00Z")
    store.add(tmp_path, TRACK, [(record, table)])
    after = store.members(path)
    assert [name for name in after if after[name] != before[name]] == ["runs.jsonl.gz"]


def packed(members, **how):
    whole = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a name that is there twice
        with zipfile.ZipFile(whole, "w", **how) as archive:
            for name, blob in members:
                archive.writestr(name, blob)
    return whole.getvalue()


def overlapping(blob):
    """The central directory names one member twice: as much again unpacked for a few bytes."""
    end = blob.rindex(b"PK\x05\x06")
    start = int.from_bytes(blob[end + 16 : end + 20], "little")
    more = bytearray(blob[end:])
    entries = 2 * int.from_bytes(more[10:12], "little")
    more[8:12] = entries.to_bytes(2, "little") * 2
    more[12:16] = (2 * (end - start)).to_bytes(4, "little")
    return blob[:end] + blob[start:end] + bytes(more)


BAD = {
    "cut short": (lambda blob: blob[: len(blob) // 2], "not a zip file"),
    "empty": (lambda blob: b"", "not a zip file"),
    "something before it": (lambda blob: b"x" * 50 + blob, "longer, or shorter"),
    "something after it": (lambda blob: blob + b"x", "."),
    "a changed byte": (lambda blob: blob[:200] + bytes([blob[200] ^ 1]) + blob[201:], "CRC-32"),
    "a path": (lambda blob: packed([("../runs.jsonl.gz", b"x")]), "'../runs.jsonl.gz', which is none of ours"),
    "another name": (lambda blob: packed([("runs.jsonl", b"x")]), "which is none of ours"),
    "no lines": (lambda blob: packed([("task.parquet", b"x")]), "lacks runs.jsonl.gz"),
    "twice": (lambda blob: packed([("runs.jsonl.gz", b"x"), ("runs.jsonl.gz", b"y")]), "runs.jsonl.gz twice"),
    "twice in the directory": (overlapping, "twice"),
    "a bomb": (
        lambda blob: packed([("runs.jsonl.gz", bytes(1 << 24))], compression=zipfile.ZIP_DEFLATED),
        "its runs.jsonl.gz is packed",
    ),
}


@pytest.mark.parametrize("how", BAD)
def test_every_other_zip_is_refused_in_one_sentence(path, tmp_path, how):
    change, words = BAD[how]
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(BenchError, match=words) as caught:
        collect(tmp_path)
    said = str(caught.value)
    assert said.startswith(f"{path}: damaged (") and "\n" not in said and said.endswith("run or publish again.")
    with pytest.raises(BenchError, match="damaged"):  # nor is it written over
        made_record(tmp_path, "c", {"pearson_delta": 0.3})


def test_a_zip_larger_than_is_read_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_MAX_GB", "0.000001")
    with pytest.raises(BenchError, match="it would take .* of memory.* BENCH_MAX_GB") as caught:
        collect(tmp_path)
    assert str(path) in str(caught.value)


def test_more_than_a_zip_holds_is_not_written(path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr(zips, "_LARGEST", 100)
    with pytest.raises(BenchError, match=f"{path}: it would take .*, and one file holds at most"):
        zips.write(path, store.members(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["runs.jsonl", "runs.jsonl.gz"])
@pytest.mark.parametrize("beside", [False, True])
def test_a_folder_of_an_earlier_version_is_named_with_what_to_do(path, tmp_path, name, beside):
    folder = path.with_name("d__simulation")
    folder.mkdir()
    (folder / name).write_bytes(b"")
    if not beside:
        path.unlink()
    for use in (lambda: collect(tmp_path), lambda: made_record(tmp_path, "c", {"pearson_delta": 0.3})):
        with pytest.raises(BenchError) as caught:
            use()
        said = str(caught.value)
        assert said.startswith(f"{folder}: an earlier version") and "Delete the folder and run or publish again" in said
    shutil.rmtree(folder)
    assert len(collect(tmp_path)) == 2 * beside


def test_embeddings_in_a_folder_of_an_earlier_version_are_not_lost_in_silence(tmp_path):
    record, _ = made("a", {"pearson_delta": 0.1})
    x, names = np.eye(3), np.array(["A1", "A2", "A3"])
    digest = embeddings.keep([tmp_path], "d", x, names, names)
    named = record.model_copy(update={"hashes": {**record.hashes, embeddings.HASH: digest}})
    assert embeddings.carried(named, [tmp_path], tmp_path / "there") == named
    assert embeddings.place(tmp_path / "there", "d").read_bytes() == embeddings.place(tmp_path, "d").read_bytes()
    folder = tmp_path / "old" / "embeddings" / "d"
    folder.mkdir(parents=True)
    (folder / f"{digest}.npz").write_bytes(b"x")
    with pytest.raises(BenchError, match="an earlier version kept embeddings in a folder.* Delete the folder"):
        embeddings.carried(named, [tmp_path / "old"], tmp_path / "elsewhere")


def test_a_member_that_is_damaged_is_no_reason_to_keep_it(path, tmp_path):
    store.remove(tmp_path, TRACK, [made("b", {"pearson_delta": 0.2})[0].run_id])
    whole = store.members(path)
    blob = bytearray(whole[store.VALUES])
    blob[60] ^= 1  # in a page, whose hash stays at the end of the file
    put(path, store.VALUES, bytes(blob))
    with pytest.raises(BenchError, match="values.parquet: damaged"):
        _ = [entry.table for entry in collect(tmp_path)]
    made_record(tmp_path, "a", {"pearson_delta": 0.1}, created="2026-02-02T00:00:00Z")
    assert store.members(path)[store.VALUES] == whole[store.VALUES]
    assert len([entry.table for entry in collect(tmp_path)]) == 1


def test_committed_boards_are_a_few_dozen_files_that_git_can_hold():
    files = [path for path in BOARDS.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".csv", ".json", ".zip"} and len(files) < 140
    held = [members for path in BOARDS.glob("records/*/*.zip") if (members := store.members(path))]
    embedded = sum(path.stat().st_size for path in BOARDS.glob("embeddings/*.zip"))
    # Records, and what makes them recomputable: 27 MiB together, of which records take 16 at most.
    assert embedded + sum(len(blob) for one in held for blob in one.values()) < 27 << 20
    kept = {store.PREDICTIONS, store.MOMENTS}
    assert sum(len(blob) for one in held for name, blob in one.items() if name not in kept) < 16 << 20


def test_a_board_with_predictions_holds_them_as_a_member(path, tmp_path):
    record, table = made("a", {"pearson_delta": 0.1})
    shift = [[0.1 * i, 0.2, -0.3] for i in range(len(table.task.units["all"]))]
    store.add(tmp_path, TRACK, [(record, table)], {record.run_id: Rows(GENES, pd.DataFrame(shift).to_numpy())})
    assert list(store.members(path)) == ["runs.jsonl.gz", "values.parquet", "task.parquet", "predictions.npz"]
    (board,) = store.boards(tmp_path, TRACK)
    assert isinstance(board.kept, Shifts) and list(board.kept.runs) == [record.run_id]
