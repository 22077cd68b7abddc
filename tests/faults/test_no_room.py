"""Disks and quotas that are full, folders that cannot be written, standard streams that go nowhere, no home."""

import contextlib
import os
import re
import subprocess
import sys

import pytest
from command import ROOT, RUN, furnish
from trees import numbers_of

from bench.cli import main as cli
from bench.core import archives
from bench.core.errors import BenchError
from bench.core.files import atomic, cache_dir, write_text
from bench.core.h5ad import write_h5ad

LEARNED = ["run", "--model", "mae", "--epochs", "1", "--head-steps", "2", "--width", "64", "--hidden", "64", *RUN[3:]]
LIMITED = "ulimit -f {blocks}; exec {python} -m bench.cli.main {rest}"


@contextlib.contextmanager
def limited(size):
    """Set the largest file that this process may write, as a full disk or a quota would; pytest writes one too."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def shell(folder, command, **env):
    """Run a line of shell in a folder; the answer has ``returncode``, ``stdout`` and ``stderr``."""
    given = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **env}
    return subprocess.run(command, shell=True, cwd=folder, env=given, capture_output=True, text=True, timeout=300)


def bench(*argv):
    return f"{sys.executable} -m bench.cli.main {' '.join(argv)}"


def test_a_file_without_room_is_named_and_leaves_the_old_one(tmp_path):
    path = tmp_path / "board.csv"
    write_text(path, "old\n")
    with limited(1000), pytest.raises(BenchError, match=r"cannot write .*board\.csv: .*Make room"):
        write_text(path, "x" * 5000)
    assert path.read_text() == "old\n" and list(tmp_path.iterdir()) == [path]


def test_an_h5ad_file_without_room_is_named(tiny, tmp_path):
    import anndata

    table = anndata.AnnData(tiny.x[:50])
    with limited(2000), pytest.raises(BenchError, match=r"cannot write .*p\.h5ad"):
        write_h5ad(tmp_path / "p.h5ad", table, sealed=True)
    assert not list(tmp_path.iterdir())


def test_an_h5ad_file_is_what_anndata_reads(tiny, tmp_path):
    import anndata
    import numpy as np
    import pandas as pd

    obs = pd.DataFrame({"condition": ["a", "b"] * 10}, index=[f"c{i}" for i in range(20)])
    table = anndata.AnnData(tiny.x[:20], obs=obs, uns={"named": {"a": "b"}}, obsm={"X_own": np.ones((20, 2))})
    for compressed in (False, True):
        write_h5ad(tmp_path / "t.h5ad", table, compressed)
        back = anndata.read_h5ad(tmp_path / "t.h5ad")
        np.testing.assert_array_equal(back.X.toarray(), tiny.x[:20].toarray())
        assert back.obs["condition"].tolist() == obs["condition"].tolist() and back.uns["named"] == {"a": "b"}
        np.testing.assert_array_equal(back.obsm["X_own"], table.obsm["X_own"])


def test_a_full_cache_costs_time_and_not_the_run(tmp_path):
    with limited(1000):
        archives.keep(tmp_path / "truth.npz", {"a": [0.0] * 5000})
    assert archives.kept(tmp_path / "truth.npz", ["a"]) is None
    assert not list(tmp_path.iterdir())


def test_a_cache_on_a_disk_that_fails_costs_time_and_not_the_run(tmp_path, monkeypatch):
    def failing(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "replace", failing)
    archives.keep(tmp_path / "truth.npz", {"a": [0.0] * 5000})
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def disks():
    """Run a line of shell where it may mount disks of its own, which no other process sees; skip where none may be."""
    start = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    try:
        subprocess.run([*start, "mount -t tmpfs -o size=16k tmpfs /tmp"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("no disks can be mounted here")

    def line(folder, text, **env):
        given = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **env}
        return subprocess.run([*start, text], cwd=folder, env=given, capture_output=True, text=True, timeout=300)

    return line


@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 4, 60])
def test_a_run_whose_cache_is_on_a_full_disk_ends_with_the_same_record(disks, whole, tmp_path, room):
    """Nothing of a cache fits, or its folders do, or a part of it."""
    furnish(tmp_path)
    (tmp_path / "disk").mkdir()
    fill = f"mount -t tmpfs -o size=100k tmpfs disk && head -c {(100 - room) * 1024} /dev/zero >disk/full"
    done = disks(tmp_path, f"{fill} && {bench(*RUN)} && find disk -type f", BENCH_CACHE="disk")
    assert done.returncode == 0, done.stderr
    assert numbers_of(tmp_path).items() <= numbers_of(whole).items() and len(numbers_of(tmp_path)) == 2
    assert ".tmp" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("argv", [RUN, LEARNED], ids=["closed form", "learned"])
@pytest.mark.parametrize("size", ["4k", "60k"])
def test_a_run_on_a_full_disk_names_the_file_and_goes_on_once_there_is_room(disks, tmp_path, argv, size):
    furnish(tmp_path)
    (tmp_path / "runs").mkdir()
    steps = [f"mount -t tmpfs -o size={size} tmpfs runs", f"{bench(*argv)} >&2; echo $?", "find runs -name '*.tmp'"]
    steps += ["mount -o remount,size=100m runs", f"{bench(*argv)} >/dev/null; echo $?", "find runs -name record.json"]
    done = disks(tmp_path, " && ".join(f"{{ {step}; }}" for step in steps), BENCH_CACHE=str(tmp_path / "cache"))
    first, second, record = done.stdout.split()  # no temporary file between them
    assert (first, second) == ("2", "0") and record.startswith("runs/"), done.stderr
    (error,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert re.match(r"error: cannot write (runs|\S+/runs)/\S+: No space left on device\. Make room", error)
    assert "Traceback" not in done.stderr


def test_other_errors_of_a_write_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "x") as temporary:
        (temporary.parent / "nothing" / "there").read_bytes()
    assert not list(tmp_path.iterdir())


def test_who_has_no_home_has_a_cache_of_his_own(tmp_path, monkeypatch):
    from bench.core import files

    def nobody(*_):
        raise RuntimeError("Could not determine home directory.")

    files._cache_of_nobody.cache_clear()
    for name in ("BENCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(files.Path, "home", nobody)
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(tmp_path))
    found = cache_dir()
    assert found.parent == tmp_path and found.stat().st_mode & 0o777 == 0o700
    files._cache_of_nobody.cache_clear()
    found.rmdir()
    found.symlink_to(tmp_path)  # laid there by somebody else
    assert cache_dir() not in (found, tmp_path)
    files._cache_of_nobody.cache_clear()


@pytest.mark.ci
@pytest.mark.parametrize("stream", [">&-", "2>&-", "<&-", "2>/dev/full"])
def test_closed_and_full_streams_do_not_end_a_run(tmp_path, stream):
    if "full" in stream and not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    furnish(tmp_path)
    done = shell(tmp_path, f"{bench(*RUN)} {stream}")
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert len(list(tmp_path.glob("runs/*/record.json"))) == 1


@pytest.mark.ci
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("argv", [["list", "models"], ["--help"], ["--version"]])
def test_an_answer_that_cannot_be_written_is_an_error(tmp_path, argv):
    done = shell(tmp_path, f"{bench(*argv)} >/dev/full")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: standard output: ") and done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("argv", [RUN, LEARNED], ids=["closed form", "learned"])
@pytest.mark.parametrize("blocks", [1, 8, 40])
def test_a_run_under_a_file_size_limit_names_the_file(tmp_path, argv, blocks):
    furnish(tmp_path)
    line = LIMITED.format(blocks=blocks, python=sys.executable, rest=" ".join(argv))
    done = shell(tmp_path, f"bash -c '{line}'", BENCH_CACHE=str(tmp_path / "cache"))
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in (0, 2)
    if done.returncode:
        last = done.stderr.rstrip("\n").rpartition("\n")[2]
        assert last.startswith("error: cannot write ") and "/runs/" in f"/{last.split()[3]}", done.stderr
    assert not list(tmp_path.rglob("*.tmp"))
    again = shell(tmp_path, bench(*argv), BENCH_CACHE=str(tmp_path / "cache"))  # with room it goes on
    assert again.returncode == 0, again.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("argv", [RUN, ["leaderboard", "--leaderboards", "runs"]], ids=["run", "leaderboard"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, argv):
    furnish(tmp_path)
    (tmp_path / "runs").mkdir(mode=0o555)
    done = shell(tmp_path, bench(*argv))
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr
    assert "run" not in argv[0] or "cannot write runs/" in done.stderr


def test_a_verb_that_meets_a_full_disk_says_where(monkeypatch, capsys):
    def full(_):
        raise OSError(28, "No space left on device", "somewhere/a.csv")

    monkeypatch.setitem(cli._VERBS, "list", (full, ""))
    assert cli.main(["list"]) == 2
    assert capsys.readouterr().err == "error: cannot write somewhere/a.csv: No space left on device.\n"
