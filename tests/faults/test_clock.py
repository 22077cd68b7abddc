"""The clock is set back, or was ahead, between a run and what follows it: no number and no file depends on it."""

import os
import shutil
import signal
from datetime import UTC, datetime

import pytest
import screens
from command import RUN, furnish
from harness import collect
from trees import LEADERBOARD, LEARNED, PUBLISH, copy_of, csvs_of, numbers_of, spent

from bench.results import everything, records
from bench.tracks import registry

#: Ten years, in seconds.
DECADE = 315_360_000
CHECK = ["leaderboard", "--leaderboards", "boards", "--check", "--quiet"]


def dated(folder, seconds):
    """Date all files as if they had been written so many seconds from now."""
    for path in folder.rglob("*"):
        if path.is_file():
            changed = path.stat().st_mtime + seconds
            os.utime(path, (changed, changed))


def year_of(folder):
    (path,) = folder.glob("runs/*/record.json")
    return int(records.read(path).created[:4])


@pytest.mark.slow
@pytest.mark.parametrize("clock", [-DECADE, DECADE])
def test_a_training_goes_on_under_another_clock(warm_torch, learned, tmp_path, clock):
    whole, undisturbed = learned
    share = 0.5
    while True:  # until it was killed with a checkpoint there
        folder = copy_of(whole, tmp_path / f"{share}")
        (killed,) = warm_torch(folder, LEARNED, kill_after=share * undisturbed["seconds"])
        if killed["code"] == -signal.SIGKILL and (earlier := spent(folder)):
            break
        share = share + 0.1 if killed["code"] else share - 0.15
        assert 0 < share < 1.5
    dated(folder, -clock)
    (again,) = warm_torch(folder, LEARNED, clock=clock)
    assert again["code"] == 0, again["err"]
    assert year_of(folder) == (datetime.now(UTC).year + clock // DECADE * 10)
    assert numbers_of(folder) == numbers_of(whole)
    (path,) = folder.glob("runs/*/record.json")
    assert earlier <= records.read(path).budget.fit_s <= killed["seconds"] + again["seconds"]
    assert not list(folder.rglob("*.tmp"))
    before = {p: p.read_bytes() for p in folder.rglob("*.*") if p.is_file()}
    (third,) = warm_torch(folder, LEARNED)  # the clock is right again: it is finished
    assert third["code"] == 0 and "is finished already" in third["err"]
    assert {p: p.read_bytes() for p in folder.rglob("*.*") if p.is_file()} == before


@pytest.mark.slow
@pytest.mark.parametrize("clock", [-DECADE, DECADE])
def test_a_publication_under_another_clock(warm, six, tmp_path, clock):
    ids = [entry.record.run_id for entry in collect(six / "runs" / "leaderboards")]
    straight, folder = (shutil.copytree(six, tmp_path / name) for name in ("straight", "other"))
    assert warm(straight, [*PUBLISH, *ids])[0]["code"] == 0
    assert warm(folder, [*PUBLISH, *ids[:3]])[0]["code"] == 0
    dated(folder, -clock)
    for command in ([*PUBLISH, *ids], [*PUBLISH, *ids], CHECK, LEADERBOARD):
        (answer,) = warm(folder, command, clock=clock)
        assert answer["code"] == 0, answer["err"]
    assert csvs_of(folder / "boards") and csvs_of(folder / "boards") == csvs_of(straight / "boards")
    assert csvs_of(folder / "runs") == csvs_of(six / "runs")
    assert {e.record.run_id for e in collect(folder / "boards")} == set(ids)
    assert everything.check(registry.tracks(), folder / "boards")[0] == len(csvs_of(straight / "boards"))


@pytest.mark.slow
def test_data_that_changed_after_the_clock_was_set_back(warm, tmp_path):
    """What is newer is told by dates: a record from the future is named, and nothing is removed on its word."""
    furnish(tmp_path)
    assert warm(tmp_path, RUN, clock=DECADE)[0]["code"] == 0
    (first,) = collect(tmp_path / "runs" / "leaderboards")
    screens.write_h5ad(tmp_path / "t.h5ad", *screens.tiny_counts(cells=13, controls=60))
    (answer,) = warm(tmp_path, RUN)
    assert answer["code"] == 0, answer["err"]  # a run is shown among those of its own data
    (answer,) = warm(tmp_path, LEADERBOARD)
    said = " ".join(answer["err"].split())
    assert f"the newest record, {first.record.run_id}, is dated {first.record.created}, which is in the future" in said
    (answer,) = warm(tmp_path, ["prune", "--outdated", "--leaderboards", "runs/leaderboards"])
    assert answer["code"] == 2 and first.record.run_id in answer["err"]
    assert len(collect(tmp_path / "runs" / "leaderboards")) == 2
    prune = ["prune", first.record.run_id, "--leaderboards", "runs/leaderboards"]
    assert warm(tmp_path, prune)[0]["code"] == 0
    (left,) = collect(tmp_path / "runs" / "leaderboards")
    assert left.record.spec.data_hash != first.record.spec.data_hash
