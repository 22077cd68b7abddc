"""The committed leaderboards: nothing in them fails, and what cannot be checked is said."""

import pytest

from bench.audit.verify import verify
from bench.core.files import published_boards


@pytest.mark.slow
def test_nothing_that_is_committed_fails(real_data, monkeypatch):
    monkeypatch.setenv("BENCH_DATA", str(real_data))
    report = verify(published_boards())
    assert [check for check in report.checks if check.status == "failed"] == []
    counted = report.counts
    assert counted["ok"] > counted["skipped"]
