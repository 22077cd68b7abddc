"""A status is written only where there is one: no record of another track changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from members import lines_of

from bench.results import records, store

BOARDS = Path(__file__).resolve().parents[2] / "leaderboards"


@pytest.fixture(scope="module")
def line():
    return lines_of(store.places(BOARDS, "matching")[0]).decode().splitlines()[0]


def test_a_published_record_is_written_as_it_was(line):
    assert records.to_line(records.parse(line.encode())) == line


def test_a_status_is_kept(line):
    record = records.parse(line.encode()).model_copy(update={"status": "unpaired"})
    assert records.parse(records.to_line(record).encode()).status == "unpaired"
    assert records.parse(records.to_text(record).encode()) == record
