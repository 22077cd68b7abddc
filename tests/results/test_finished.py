"""A run counts as done where its record is whole and of the code and data of today."""

import dataclasses

import pytest
from harness import made

from bench.results import records
from bench.results.finished import finished
from bench.tracks.response.track import TRACK

SOURCES = {"class mypkg.mine.Mine": "abc"}


@pytest.fixture
def kept(tmp_path):
    """A run's folder with its record, made from a class of somebody's own."""
    record, table = made("mine", {"pearson_delta": 0.5})
    record = record.model_copy(update={"hashes": {"data": record.spec.data_hash, **SOURCES}})
    records.write(tmp_path / "record.json", record, table)
    return tmp_path / "record.json", record


def test_a_record_of_today_counts(kept):
    path, record = kept
    assert finished(TRACK, path, record.spec, SOURCES) == record
    assert finished(TRACK, path, record.spec, {}) == record
    assert finished(TRACK, path.with_name("none.json"), record.spec, {}) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_version": 2}, "its model_version was 1 and is 2"),
        ({"scoring_version": 99}, "its scoring_version was"),
        ({"data_hash": "other"}, "its data_hash was h and is other"),
        ({"arguments": {"ridge": 0.1}}, "its arguments was"),
    ],
)
def test_a_record_of_another_spec_does_not(kept, capsys, changes, words):
    path, record = kept
    assert finished(TRACK, path, record.spec.model_copy(update=changes), SOURCES) is None
    assert words in " ".join(capsys.readouterr().err.split())


def test_nor_does_one_of_another_file_data_or_track(kept, capsys):
    path, record = kept
    assert finished(TRACK, path, record.spec, {"class mypkg.mine.Mine": "edited"}) is None
    assert "class mypkg.mine.Mine has changed" in " ".join(capsys.readouterr().err.split())
    assert finished(dataclasses.replace(TRACK, version=TRACK.version + 1), path, record.spec, {}) is None
    assert finished(dataclasses.replace(TRACK, name="other"), path, record.spec, {}) is None
    other = record.model_copy(update={"hashes": {"data": "older"}})
    records.write(path, other, None if record.values_hash is None else records.read_table(TRACK, path, record))
    assert finished(TRACK, path, record.spec, {}) is None


def test_nor_does_a_damaged_one(kept, capsys):
    path, record = kept
    path.with_suffix(".parquet").write_bytes(b"nothing")
    assert finished(TRACK, path, record.spec, {}) is None
    assert "Running it again" in " ".join(capsys.readouterr().err.split())
