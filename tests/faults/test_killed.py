"""A command is killed: what is there is whole, and the same command ends as if nothing had happened."""

import itertools
import shutil
import subprocess

import numpy as np
import pytest
from command import RUN, process
from trees import LEADERBOARD, SCORE, copy_of, csvs_of, numbers_of, without_csvs

from bench.results import everything
from bench.tracks import registry

slow = pytest.mark.slow


def survive(warm, whole, folder, command, **death):
    """Kill a command, look around, repeat it; return whether it was killed."""
    (answer,) = warm(folder, command, **death)
    assert answer["code"] in (0, -9), answer["err"]
    if (folder / "runs" / "leaderboards").is_dir():  # what is there is whole
        (boards,) = warm(folder, LEADERBOARD)
        assert boards["code"] == 0, boards["err"]
    (again,) = warm(folder, command)
    assert again["code"] == 0, again["err"]
    made, wanted = numbers_of(folder), numbers_of(whole)
    assert made and made.items() <= wanted.items()
    return answer["code"] == -9


def moments(seed, n, duration):
    """Random moments, one in each nth part of a duration."""
    return ((np.arange(n) + np.random.default_rng(seed).random(n)) / n * duration).tolist()


def kill_at_moments(warm, whole, tmp_path, command, n):
    (answer,) = warm(copy_of(whole, tmp_path / "timed"), command)
    killed = 0
    for i, moment in enumerate(moments(1, n, answer["seconds"])):
        killed += survive(warm, whole, copy_of(whole, tmp_path / str(i)), command, kill_after=moment)
        shutil.rmtree(tmp_path / str(i))
    assert killed >= n // 2  # or the test says nothing


@pytest.mark.slow
def test_killed_at_some_moments(warm, whole, tmp_path):
    kill_at_moments(warm, whole, tmp_path, RUN, 2)


@slow
@pytest.mark.parametrize("command", [RUN, SCORE], ids=["run", "score"])
def test_killed_at_20_moments(warm, whole, tmp_path, command):
    kill_at_moments(warm, whole, tmp_path, command, 20)


@slow
@pytest.mark.parametrize("command", [RUN, [*RUN, "--force"], SCORE], ids=["run", "run again", "score"])
def test_killed_at_every_write(warm, whole, tmp_path, command):
    for i in itertools.count(1):
        folder = copy_of(whole, tmp_path / str(i))
        if "--force" in command:
            assert warm(folder, RUN)[0]["code"] == 0
        if not survive(warm, whole, folder, command, die_at=i):
            break
        shutil.rmtree(folder)
    assert i > 8


def kill_leaderboards(warm, six, tmp_path, deaths):
    assert len(csvs_of(six)) == 2
    for i, death in enumerate(deaths):
        folder = without_csvs(six, tmp_path / str(i))
        assert warm(folder, LEADERBOARD, **death)[0]["code"] in (0, -9)
        assert all(text in (b"old\n", csvs_of(six)[name]) for name, text in csvs_of(folder).items())
        assert warm(folder, LEADERBOARD)[0]["code"] == 0
        assert csvs_of(folder) == csvs_of(six)
        shutil.rmtree(folder)


@pytest.mark.ci
def test_a_leaderboard_killed_at_some_writes(warm, six, tmp_path):
    kill_leaderboards(warm, six, tmp_path, [{"die_at": i} for i in (4,)])


@slow
def test_a_leaderboard_killed_at_20_moments_and_every_write(warm, six, tmp_path):
    (answer,) = warm(without_csvs(six, tmp_path / "timed"), LEADERBOARD)
    deaths = [{"kill_after": moment} for moment in moments(2, 20, answer["seconds"])]
    deaths += [{"die_at": i + 1} for i in range(answer["moments"])]
    kill_leaderboards(warm, six, tmp_path, deaths)


@slow
def test_killed_as_users_run_it(whole, tmp_path):
    """The same with the start-up of a process of its own."""
    folder = copy_of(whole, tmp_path / "tree")
    quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    for wait in moments(3, 3, 4.0):
        running = process(*RUN, **quiet)
        try:
            running.communicate(timeout=wait)
        except subprocess.TimeoutExpired:
            running.kill()
        assert "Traceback" not in running.communicate()[1]
    running = process(*RUN, **quiet)
    err = running.communicate(timeout=120)[1]
    assert running.returncode == 0, err
    assert numbers_of(folder).items() <= numbers_of(whole).items()


@pytest.mark.slow
def test_stale_temporaries_change_nothing(warm, whole, six, tmp_path):
    folder, boards = copy_of(whole, tmp_path / "tree"), tmp_path / "six"
    shutil.copytree(six, boards)
    assert warm(folder, RUN)[0]["code"] == 0
    for root in (folder, boards):
        for path in [p for p in root.rglob("*.*") if p.is_file()]:
            for junk in (b"", path.read_bytes()[: path.stat().st_size // 2]):
                path.with_name(f".{path.name[:40]}.{len(junk)}.tmp").write_bytes(junk)
    assert warm(folder, [*RUN, "--force"])[0]["code"] == 0
    assert numbers_of(folder).items() <= numbers_of(whole).items()
    assert everything.regenerate(registry.tracks(), boards / "runs" / "leaderboards")[0] == []
    assert csvs_of(boards) == csvs_of(six)
    assert warm(folder, LEADERBOARD)[0]["code"] == 0
