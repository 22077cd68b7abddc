"""Lines of a board: compressed, bounded, and plain as earlier versions wrote them."""

import gzip

import pandas as pd
import pytest
from harness import collect, made, made_record

from bench.core.errors import BenchError
from bench.results import lines, records, store
from bench.tracks import registry

TRACK = registry.get("response")


@pytest.fixture
def place(tmp_path):
    """The folder of a board of two records."""
    for name, value in (("a", 0.1), ("b", 0.2)):
        made_record(tmp_path, name, {"pearson_delta": value})
    return next(tmp_path.rglob(lines.RUNS)).parent


def as_before(place):
    """Put the lines there as earlier versions did."""
    (place / lines.PLAIN).write_bytes(lines.read(place).text)
    (place / lines.RUNS).unlink()


def labels(folder):
    return [entry.record.spec.label for entry in collect(folder)]


def test_any_tool_reads_them(place, tmp_path):
    text = gzip.decompress((place / lines.RUNS).read_bytes())
    assert text == lines.read(place).text and [records.parse(line) for line in text.splitlines()]
    frame = pd.read_json(place / lines.RUNS, lines=True)
    assert frame["run_id"].tolist() == sorted(entry.record.run_id for entry in collect(tmp_path))


def test_the_same_lines_are_the_same_file_without_date_and_name(place, monkeypatch):
    first = (place / lines.RUNS).read_bytes()
    monkeypatch.setattr("time.time", lambda: 2e9)
    lines.write(place, lines.read(place).text)
    assert (place / lines.RUNS).read_bytes() == first
    assert first[3:8] == bytes(5), "RFC 1952: no flag, so no name; no time"


def test_they_take_a_fifth_of_the_room(tmp_path):
    made_up = [made("a", {"pearson_delta": 0.1}, split_seed=seed)[0] for seed in range(20)]
    lines.write(tmp_path, "".join(records.to_line(record) + "\n" for record in made_up).encode())
    held = lines.read(tmp_path)
    assert len(held.text.splitlines()) == 20 and len(held.blob) * 5 < len(held.text)


def test_plain_lines_are_read_and_compressed_at_the_next_write(place, tmp_path):
    before = {entry.record.run_id: (entry.record, entry.table.hash) for entry in collect(tmp_path)}
    as_before(place)
    found = collect(tmp_path)
    assert {entry.record.run_id: (entry.record, entry.table.hash) for entry in found} == before
    assert {entry.path for entry in found} == {place / lines.PLAIN}
    made_record(tmp_path, "c", {"pearson_delta": 0.3})
    assert sorted(labels(tmp_path)) == ["a", "b", "c"]
    assert (place / lines.RUNS).is_file() and not (place / lines.PLAIN).exists()


def test_where_both_are_there_the_compressed_ones_count(place, tmp_path):
    (place / lines.PLAIN).write_bytes(lines.read(place).text.splitlines(keepends=True)[0])
    assert sorted(labels(tmp_path)) == ["a", "b"]
    gone = store.remove(tmp_path, TRACK, [made("a", {"pearson_delta": 0.1})[0].run_id])
    assert len(gone) == 1 and labels(tmp_path) == ["b"] and not (place / lines.PLAIN).exists()


@pytest.mark.parametrize("plain", [False, True])
def test_a_board_whose_records_all_go_leaves_nothing(place, tmp_path, plain):
    if plain:
        as_before(place)
    store.remove(tmp_path, TRACK, [entry.record.run_id for entry in collect(tmp_path)])
    assert collect(tmp_path) == [] and not place.exists()


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
def test_a_damaged_file_is_named_in_one_sentence(place, tmp_path, change, words):
    path = place / lines.RUNS
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(BenchError) as caught:
        collect(tmp_path)
    said = str(caught.value)
    assert said.startswith(f"{path}: damaged (") and words in said and "\n" not in said


def test_what_unpacks_to_more_than_is_read_is_refused(place, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_MAX_GB", "0.001")
    assert len(collect(tmp_path)) == 2
    (place / lines.RUNS).write_bytes(gzip.compress(bytes(1_000_001)))
    with pytest.raises(BenchError, match="it would take .* of memory from .* BENCH_MAX_GB") as caught:
        collect(tmp_path)
    assert str(place / lines.RUNS) in str(caught.value)
