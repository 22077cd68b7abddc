"""Lines of a board: gzipped, bounded, the same bytes whenever they are written."""

import gzip
import io

import pandas as pd
import pytest
from harness import collect, made, made_record
from members import lines_of, put

from bench.core.errors import BenchError
from bench.results import lines, records, store
from bench.tracks import registry

TRACK = registry.get("response")


@pytest.fixture
def path(tmp_path):
    """The file of a board of two records."""
    for name, value in (("a", 0.1), ("b", 0.2)):
        made_record(tmp_path, name, {"pearson_delta": value})
    (found,) = tmp_path.rglob("*.zip")
    return found


def test_any_tool_reads_them(path, tmp_path):
    blob = store.members(path)[store.RUNS]
    text = gzip.decompress(blob)
    assert text == lines_of(path) and [records.parse(line) for line in text.splitlines()]
    frame = pd.read_json(io.BytesIO(blob), lines=True, compression="gzip")
    assert frame["run_id"].tolist() == sorted(entry.record.run_id for entry in collect(tmp_path))


def test_the_same_lines_are_the_same_bytes_without_date_and_name(path, monkeypatch):
    first = store.members(path)[store.RUNS]
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert lines.pack(lines_of(path)) == first
    assert first[3:8] == bytes(5), "RFC 1952: no flag, so no name; no time"


def test_they_take_a_fifth_of_the_room():
    made_up = [made("a", {"pearson_delta": 0.1}, split_seed=seed)[0] for seed in range(20)]
    text = "".join(records.to_line(record) + "\n" for record in made_up).encode()
    assert len(lines.pack(text)) * 5 < len(text)


def test_a_board_whose_records_all_go_leaves_nothing(path, tmp_path):
    store.remove(tmp_path, TRACK, [entry.record.run_id for entry in collect(tmp_path)])
    assert collect(tmp_path) == [] and not path.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda blob: blob[:-30], "it is cut off"),
        (lambda blob: b"", "it is cut off"),
        (lambda blob: blob + b"x", "something follows its end"),
        (lambda blob: blob[:-8] + bytes(8), "incorrect data check"),
        (gzip.decompress, "incorrect header check"),
    ],
)
def test_damaged_lines_are_named_in_one_sentence(path, tmp_path, change, words):
    put(path, store.RUNS, change(store.members(path)[store.RUNS]))
    with pytest.raises(BenchError) as caught:
        collect(tmp_path)
    said = str(caught.value)
    assert said.startswith(f"{path}, runs.jsonl.gz: damaged (") and words in said and "\n" not in said


def test_what_unpacks_to_more_than_is_read_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_MAX_GB", "0.001")
    assert len(collect(tmp_path)) == 2
    put(path, store.RUNS, gzip.compress(bytes(1_000_001)))
    with pytest.raises(BenchError, match="it would take .* of memory from .* BENCH_MAX_GB") as caught:
        collect(tmp_path)
    assert str(path) in str(caught.value)
