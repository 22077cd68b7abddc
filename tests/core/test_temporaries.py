"""Temporary files of killed processes go; those of living ones stay, whatever the clock says."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.core import temporaries
from bench.core.files import atomic, write_text

fcntl = pytest.importorskip("fcntl")
ROOT = Path(__file__).resolve().parents[2]
WRITE = """
import sys
from pathlib import Path
from bench.core.files import atomic
with atomic(Path(sys.argv[1])) as temporary:
    temporary.write_text("whole")
    print("begun", flush=True)
    sys.stdin.readline()
"""


def writer(path):
    """A process in the middle of writing a file."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    one = subprocess.Popen([sys.executable, "-c", WRITE, path], env={**os.environ, "PYTHONPATH": str(ROOT)}, **pipes)
    assert one.stdout.readline() == "begun\n"
    return one


@pytest.mark.parametrize("clock", [0, 4_000_000_000])
def test_what_killed_processes_left_is_removed_and_what_is_being_written_is_not(tmp_path, clock):
    dead, alive = writer(tmp_path / "checkpoint"), writer(tmp_path / "record.json")
    dead.send_signal(signal.SIGKILL)
    dead.wait()
    by_hand, elsewhere = tmp_path / ".notes.tmp", tmp_path / ".record.json.123456.abcdefgh.tmp"
    for path in (by_hand, elsewhere):
        path.write_text("of somebody else")
    (half,) = tmp_path.glob(".checkpoint.*")
    (fresh,) = (path for path in tmp_path.glob(".record.*") if path != elsewhere)
    for path in (half, fresh):  # as if the clock had been put forward or back since
        os.utime(path, (clock, clock))
    write_text(tmp_path / "next.json", "{}")  # the first time that this process writes here
    assert {path.name for path in tmp_path.iterdir()} == {"next.json", by_hand.name, elsewhere.name, fresh.name}
    alive.communicate("\n")
    assert alive.returncode == 0 and (tmp_path / "record.json").read_text() == "whole"
    assert not fresh.exists()


def test_without_locks_nothing_is_removed(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(37, "No locks available")

    (tmp_path / f".x.{temporaries._HERE}.abcdefgh.tmp").write_text("half")
    monkeypatch.setattr(fcntl, "fcntl", refused)
    write_text(tmp_path / "x", "whole")
    assert len(list(tmp_path.iterdir())) == 2 and (tmp_path / "x").read_text() == "whole"


def test_a_file_that_is_swept_before_it_is_held_is_made_again(tmp_path, monkeypatch):
    lock, swept = fcntl.fcntl, []

    def between(descriptor, *how):
        if not swept:
            swept.append(next(tmp_path.glob(".x.*")))
            swept[0].unlink()
        return lock(descriptor, *how)

    monkeypatch.setattr(fcntl, "fcntl", between)
    with atomic(tmp_path / "x") as temporary:
        assert temporary != swept[0]
        temporary.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("n", [2, 8])
def test_writers_of_one_file_that_sweep_all_the_time(tmp_path, n):
    path, pids = tmp_path / "x", []
    for i in range(n):
        if pid := os.fork():
            pids.append(pid)
            continue
        try:
            for _ in range(40):
                temporaries._seen.clear()
                write_text(path, str(i) * 10_000)
                assert len(set(path.read_text())) == 1 and path.stat().st_size == 10_000
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * n
    assert [one.name for one in tmp_path.iterdir()] == ["x"]
