"""A pretraining, its response, a sweep and a publication are killed (SIGKILL): the same command ends as undisturbed."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command import furnish, process
from harness import collect, made_record
from trees import LEARNED, PUBLISH, copy_of, csvs_of, numbers_of, spent

from bench.results import everything, records
from bench.tracks import registry


def moments(seed, n, duration):
    """Random moments, one in each nth part of a duration."""
    draw = random.Random(seed)
    return [(i + draw.random()) / n * duration for i in range(n)]


def survive(warm_torch, learned, folder, **death):
    """Kill the run, then let it end; return whether it was killed, and the seconds that the second process found."""
    whole, _ = learned
    copy_of(whole, folder)
    (answer,) = warm_torch(folder, LEARNED, **death)
    assert answer["code"] in (0, -signal.SIGKILL), answer["err"]
    earlier = spent(folder)
    (again,) = warm_torch(folder, LEARNED)
    assert again["code"] == 0, again["err"]
    assert numbers_of(folder) == numbers_of(whole)
    (path,) = folder.glob("runs/*/record.json")
    record = records.read(path)
    assert record.budget.fit_s >= earlier
    if answer["code"] and earlier:
        # Earlier processes count, and this one's own time: never less than the checkpoint says, never its time twice.
        assert record.budget.fit_s <= answer["seconds"] + again["seconds"]
    assert not list(folder.rglob("*.tmp"))
    return answer["code"] != 0, earlier


@pytest.mark.slow
def test_a_training_killed_at_20_moments(warm_torch, learned, tmp_path):
    """The moments lie in the pretraining, in the response, and in what comes before and after."""
    killed, found = 0, 0
    for i, moment in enumerate(moments(1, 20, learned[1]["seconds"])):
        dead, earlier = survive(warm_torch, learned, tmp_path / str(i), kill_after=moment)
        killed, found = killed + dead, found + (earlier > 0)
        shutil.rmtree(tmp_path / str(i))
    assert killed >= 10 and found >= 3  # or the test says nothing


@pytest.mark.slow
def test_a_training_killed_at_some_of_its_writes(warm_torch, learned, tmp_path):
    n = learned[1]["moments"]
    for die_at in range(1, n, 5):
        assert survive(warm_torch, learned, tmp_path / str(die_at), die_at=die_at)[0]
        shutil.rmtree(tmp_path / str(die_at))


@pytest.fixture(scope="module")
def published(six, tmp_path_factory):
    """Records of six runs, of which a folder of boards holds one as it is and one that differs; and thereafter."""
    before, after = (tmp_path_factory.mktemp(name) / "tree" for name in ("before", "after"))
    shutil.copytree(six, before)
    made_record(before / "boards", "a", {"pearson_delta": 0.6, "r2": 0.5}, split_seed=1, split_id="s1", moved=True)
    made_record(before / "boards", "b", {"pearson_delta": 0.1, "r2": 0.5}, split_seed=1, split_id="s1", moved=True)
    command = [*PUBLISH, "--force", *(entry.record.run_id for entry in collect(six / "runs" / "leaderboards"))]
    return before, shutil.copytree(before, after), command


def killed_publications(warm, published, tmp_path, deaths):
    before, after, command = published
    if not csvs_of(after / "boards"):
        assert warm(after, command)[0]["code"] == 0
    wanted = {str(path.relative_to(after)): path.read_bytes() for path in (after / "boards").rglob("*.*")}
    n_csvs = len(csvs_of(after / "boards"))
    assert len(collect(after / "boards")) == 6 and n_csvs > 1
    killed = 0
    for i, death in enumerate(deaths):
        folder = shutil.copytree(before, tmp_path / str(i))
        (answer,) = warm(folder, command, **death)
        assert answer["code"] in (0, -signal.SIGKILL), answer["err"]
        killed += answer["code"] != 0
        entries = collect(folder / "boards")  # whole, whatever is there
        assert all(entry.table.hash == entry.record.values_hash for entry in entries)
        assert "a" in {entry.record.spec.label for entry in entries}  # what was published and is the same stays
        (again,) = warm(folder, command)
        assert again["code"] == 0, again["err"]
        assert {str(path.relative_to(folder)): path.read_bytes() for path in (folder / "boards").rglob("*.*")} == wanted
        assert everything.check(registry.tracks(), folder / "boards")[0] == n_csvs
        shutil.rmtree(folder)
    return killed


@pytest.mark.slow
def test_a_publication_killed_at_some_writes(warm, published, tmp_path):
    assert killed_publications(warm, published, tmp_path, [{"die_at": 3}]) == 1


@pytest.mark.slow
def test_a_publication_killed_at_20_moments_and_every_write(warm, published, tmp_path):
    killed_publications(warm, published, tmp_path / "first", [])
    before, _, command = published
    (answer,) = warm(shutil.copytree(before, tmp_path / "timed"), command)
    deaths = [{"kill_after": moment} for moment in moments(2, 20, answer["seconds"])]
    deaths += [{"die_at": i + 1} for i in range(answer["moments"])]
    assert killed_publications(warm, published, tmp_path, deaths) >= answer["moments"] + 10


SUITE = """runs:
- {models: [train_mean, additive, linear], data: t.yaml, splits: doubles, seeds: 1-2}
claims:
- {name: additive_learns, better: additive, worse: train_mean, data: t, split: doubles, min_conditions: 8}
"""


def working_in(folder):
    """Processes whose working folder this is, each with its command."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(place / "cwd") == str(folder):
                found[int(place.name)] = (place / "cmdline").read_text()
        except OSError:
            continue
    return found


def nobody_works_in(folder):
    """Wait until whom a killed process had begun has ended with it."""
    end = time.monotonic() + 60
    while left := working_in(folder):
        assert time.monotonic() < end, left
        time.sleep(0.05)


def sweep(folder, kill=lambda folder, running: running.wait(timeout=300)):
    """Run the sweep, or kill it once a function returns; return its exit code, its notes, and the seconds it took."""
    begin = time.monotonic()
    with (folder / "said.txt").open("w") as said:  # no pipe: whoever is left would hold it
        running = process("sweep", "s.yaml", "--workers", "2", cwd=folder, stdout=subprocess.DEVNULL, stderr=said)
        kill(folder, running)
        running.kill()
        running.wait()
    err = (folder / "said.txt").read_text()
    assert "Traceback" not in err, err
    return running.returncode, err, time.monotonic() - begin


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The tree of a sweep that was not disturbed, and how long it took."""
    folder = tmp_path_factory.mktemp("swept")
    furnish(folder)
    (folder / "s.yaml").write_text(SUITE)
    code, err, seconds = sweep(folder)
    assert code == 0, err
    assert len(numbers_of(folder)) == 12 and claims_of(folder)
    return folder, seconds


def claims_of(folder):
    return [path.read_bytes() for path in folder.rglob("claims__*.json")]


def killed_sweep(swept, folder, kill):
    """Kill a sweep, do it again, compare; return whether it was killed."""
    copy_of(swept, folder)
    code, err, _ = sweep(folder, kill)
    nobody_works_in(folder)
    again, err, _ = sweep(folder)
    assert again == 0, err
    assert numbers_of(folder) == numbers_of(swept) and claims_of(folder) == claims_of(swept)
    assert not list(folder.rglob("*.tmp"))
    return code == -signal.SIGKILL


proc = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="no /proc here")


@proc
@pytest.mark.slow
def test_a_sweep_killed_at_random_moments(swept, tmp_path):
    folder, seconds = swept

    def after(moment):
        def wait(_, running):
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(timeout=moment)

        return wait

    killed = [killed_sweep(folder, tmp_path / str(i), after(m)) for i, m in enumerate(moments(3, 8, seconds))]
    assert sum(killed) >= 4


@proc
@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2])
def test_a_sweep_killed_when_its_nth_worker_is_born(swept, tmp_path, n):
    """A worker that has not been sent anything yet waits for ever, unless it ends with its sender."""

    def born(folder, running):
        while running.poll() is None:
            servers = [pid for pid, command in working_in(folder).items() if "forkserver" in command]
            if len(servers) > n:  # the server, and what it has begun
                return

    assert killed_sweep(swept[0], tmp_path / "tree", born)
