"""Sweeps as a user makes them: real processes, of which some fail and some are killed."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from command import bench, furnish, last, process, refuse
from harness import collect

from bench.results import records
from bench.runner import publish
from bench.sweep import schedule
from bench.sweep import suite as suites
from bench.sweep.executors.local import LocalExecutor, cores, environment
from bench.sweep.job import Work, command, work_of
from bench.sweep.plan import folders, plan
from bench.sweep.schedule import Locks, run_all

SMALL = "width: 16, hidden: 32, depth: 1, heads: 2, head_width: 32, head_depth: 1, action_width: 16, head_seeds: 1"
GOOD = "{models: [train_mean, additive], data: t.yaml, splits: doubles, seeds: 1-2}"
#: Fails in its fit: there is no such table of features.
BAD = "{models: identity, data: t.yaml, splits: doubles, variants: [{features: nothing.csv, head_seeds: 1}]}"
#: Goes on until it is killed.
SLOW = f"{{models: jepa, data: t.yaml, splits: doubles, variants: [{{epochs: 100000, {SMALL}}}]}}"
CLAIM = "{name: additive_learns, better: additive, worse: train_mean, data: t, split: doubles, min_conditions: 8}"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(*blocks, claims=(), name="s"):
    Path(f"{name}.yaml").write_text(f"runs: [{', '.join(blocks)}]\nclaims: [{', '.join(claims)}]\n")


def jobs_of(name="s"):
    return plan(suites.find(f"{name}.yaml"), folders(Path("runs"), Path("runs/leaderboards")))


def wait_for(condition, seconds=300):  # a busy machine takes long to start a process
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)
    return found


def running(row):
    """Process id of the run of a row, from its log, once it fits."""
    for log in Path("runs").glob("*/run.log"):
        text = log.read_text()
        if f"--model {row}" in text and "truth" in text:
            return int(re.search(r"process (\d+)", text)[1])
    return None


@pytest.mark.slow
def test_a_failed_and_a_killed_run_do_not_stop_the_others(tree, capsys, monkeypatch):
    """One sweep of five runs; then the same command does what is left, and a third has nothing to do."""
    write(GOOD, BAD, SLOW, claims=[CLAIM])
    killer = threading.Thread(target=lambda: os.kill(wait_for(lambda: running("jepa")), signal.SIGKILL))
    killer.start()
    code, out, err = bench(capsys, "sweep", "s.yaml", "--workers", "2")
    killer.join()
    assert code == 1
    assert "suite s: 6 runs, 0 finished, 6 to do, 2 at once" in err
    assert "2 runs failed; the same command tries them again" in err
    assert "no file nothing.csv" in err
    assert "its process was killed (SIGKILL; out of memory, or killed by hand)" in err
    assert "t | doubles | seeds 1-2" in out  # the board
    assert "additive_learns" in out
    assert re.search(r"^\[2/6\] .* s\), (about|a few) .* left$", err, re.M)
    finished = {path.parent.name for path in Path("runs").glob("*/record.json")}
    assert finished == {entry.record.run_id for entry in collect(Path("runs/leaderboards"))} and len(finished) == 4
    logs = set(re.findall(r"log: (\S+)", err))
    assert len(logs) == 2 and all(Path(log).read_text().startswith("$ bench run --model ") for log in logs)
    # Whoever is killed while writing leaves its temporary file; see tests/faults/test_killed.py for what becomes of it.
    assert not [path for path in Path("runs").rglob("*.tmp") if path.parent.name in finished]
    (verdict,) = json.loads(Path(last(out)).read_text())["verdicts"]
    assert verdict["verdict"] == "true"  # additive data, and it was asked at 10 doubles

    # A row is the same whoever makes it.
    (one,) = (job for job in jobs_of() if job.row == "additive" and job.spec.split_seed == 2)
    words = command(one).replace("--out runs --leaderboards runs/leaderboards", "--out o --leaderboards b").split()
    assert bench(capsys, *words[1:])[0] == 0
    swept, alone = (records.read(Path(folder) / one.spec.run_id / "record.json") for folder in ("runs", "o"))
    assert (swept.values_hash, swept.hashes) == (alone.values_hash, alone.hashes)
    assert swept.budget.peak_memory_mib > 0

    # What is finished is skipped: nothing is begun, no file is touched.
    before = {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/*")}
    code, out, err = bench(capsys, "sweep", "s.yaml", "--dry-run")
    assert code == 0 and "suite s: 6 runs, 4 finished, 2 to do" in err
    assert re.search(r"identity\[features=nothing.csv,head_seeds=1\s*.* 1 +0 +1", out.replace("\n", " ")), out
    code, _, err = bench(capsys, "sweep", "s.yaml", "--only", "additive")
    assert code == 0 and "2 runs, 2 finished, 0 to do" in err and "not evaluated with --only" in err
    assert {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/*")} == before

    # Published whole, or not at all; a tree with uncommitted changes is what tests are run from.
    monkeypatch.setattr(publish, "_refuse_dirty", lambda _: None)
    assert bench(capsys, "publish", "--suite", "s.yaml", "--leaderboards", "p")[0] == 2
    assert not Path("p").exists()
    write(GOOD, claims=[CLAIM])
    code, out, _ = bench(capsys, "publish", "--suite", "s.yaml", "--leaderboards", "p")
    assert code == 0 and out.count("published") == 4 and "p/claims__s.json" in out
    assert bench(capsys, "leaderboard", "--check", "--leaderboards", "p")[0] == 0
    # Claims are the suite's as it is now, not as it was when the sweep last evaluated them.
    write(
        GOOD,
        claims=[
            CLAIM.replace("additive_learns", "renamed").replace(
                "better: additive, worse: train_mean", "better: train_mean, worse: additive"
            )
        ],
    )
    code, out, _ = bench(capsys, "publish", "--suite", "s.yaml", "--leaderboards", "p")
    assert out.count("reproduces") == 4
    (verdict,) = json.loads(Path("p/claims__s.json").read_text())["verdicts"]
    assert verdict["claim"]["name"] == "renamed" and verdict["verdict"] == "false"
    assert bench(capsys, "leaderboard", "--check", "--leaderboards", "p")[0] == 0


def test_a_row_of_a_file_of_latents_is_named_and_commanded_by_it(tree):
    (tree / "theirs.h5ad").write_bytes(b"read when it is run")
    given = "{encoder_embeddings: theirs.h5ad, key: X_scGPT, head_seeds: 1}"
    write(f"{{models: embeddings, data: t.yaml, splits: doubles, variants: [{given}]}}")
    (job,) = jobs_of()
    assert job.spec.label == "theirs[head_seeds=1]"
    assert job.spec.arguments["encoder_embeddings"].startswith("theirs.h5ad@")
    words = command(job).split()
    assert words[:6] == ["bench", "run", "--model", "embeddings", "--name", "theirs"]
    assert {"--encoder_embeddings=theirs.h5ad", "--key=X_scGPT", "--head_seeds=1"} <= set(words)


class Silent:
    """A watcher that remembers."""

    def __init__(self):
        self.waited, self.begun = 0, []

    def started(self, job):
        self.begun.append(job.row)

    def ended(self, outcome):
        pass

    def tick(self, waiting):
        self.waited += waiting


@pytest.mark.slow
def test_when_the_server_dies_others_take_over(tree):
    """The process that begins the jobs is killed: what it had begun is lost, and another one begins the rest."""
    write(SLOW, GOOD)
    servers = []

    def kill():
        pid = wait_for(lambda: running("jepa"))
        servers.append(int(re.search(r"PPid:\t(\d+)", Path(f"/proc/{pid}/status").read_text())[1]))
        os.kill(servers[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    jobs = [job for job in jobs_of() if job.spec.split_seed == 1]
    watch = Silent()
    outcomes = list(run_all(jobs, 1, Path("runs"), watch, LocalExecutor))
    killer.join()
    assert servers[0] != os.getpid()
    assert watch.waited == 0  # one worker that is done with one of three jobs waits for nobody
    assert [outcome.state for outcome in outcomes] == ["failed", "finished", "finished"]
    assert "killed" in outcomes[0].reason
    wait_for(lambda: not Path(f"/proc/{running('jepa')}").exists(), 10)  # no orphan goes on


@pytest.mark.slow
def test_a_killed_job_changes_no_other_that_is_running(tree):
    """Two jobs at once; one is killed, and the other goes on in the process that it had."""
    write(SLOW, SLOW.replace("models: jepa", "models: mae"))
    jobs = jobs_of()
    with LocalExecutor(2, ["jepa", "mae"]) as executor:
        futures = [executor.submit(work_of(job).model_dump_json()) for job in jobs]
        first, other = (wait_for(lambda row=job.row: running(row.split("[")[0])) for job in jobs)
        os.kill(first, signal.SIGSEGV)
        assert futures[0].result(timeout=20) == -signal.SIGSEGV
        time.sleep(1)
        assert not futures[1].done() and Path(f"/proc/{other}").exists()
    assert futures[1].result(timeout=20) != 0
    wait_for(lambda: not Path(f"/proc/{other}").exists(), 10)


def test_what_a_worker_is_sent_is_a_resolved_configuration(tree):
    """As JSON and back it is the same, and holds every argument, whatever the suite left out."""
    write(GOOD.replace("additive", "linear"))
    for job in jobs_of():
        work = work_of(job)
        assert Work.model_validate_json(work.model_dump_json()) == work
        assert work.config.arguments == job.spec.arguments
    assert {"rank", "ridge"} <= set(job.spec.arguments)


@pytest.mark.slow
def test_workers_that_cannot_start_say_why(tree):
    write(GOOD)
    code = "import multiprocessing as m, sys; m.set_executable('/bin/false'); from bench.cli.main import main; "
    code += "sys.exit(main(['sweep', 's.yaml']))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(1), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2 and "error: the workers cannot start" in done.stderr, done.stderr


@pytest.mark.ci
def test_what_another_sweep_holds_is_waited_for(tree):
    """Two processes; the run that the other does meanwhile is taken as it is."""
    write(GOOD)
    job = next(job for job in jobs_of() if job.row == "train_mean")
    code = (
        "import sys, time; from pathlib import Path; from bench.sweep.schedule import Locks; l = Locks(Path('runs'));"
        "print(l.take(sys.argv[1]), flush=True); sys.stdin.readline(); time.sleep(.3)"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment(1)}
    other = subprocess.Popen([sys.executable, "-c", code, job.key], **pipes)
    assert other.stdout.readline() == "True\n"
    mine = Locks(Path("runs"))
    assert not mine.take(job.key)
    assert mine.take("something else") and not mine.take("something else")
    mine.close()
    Work.model_validate_json(work_of(job).model_dump_json()).do()  # what the other would have done
    saved = job.finished().read_bytes()
    (Path("runs") / job.spec.run_id / "record.json").rename("aside.json")
    watch = Silent()
    sweep = run_all([job], 1, Path("runs"), watch, LocalExecutor)

    def finish():
        try:
            wait_for(lambda: watch.waited)
        finally:  # else the sweep waits for ever
            Path("aside.json").rename(Path("runs") / job.spec.run_id / "record.json")
            other.communicate("\n")

    helper = threading.Thread(target=finish)
    helper.start()
    (outcome,) = sweep
    helper.join()
    assert (outcome.state, watch.begun) == ("skipped", [])
    assert outcome.record.read_bytes() == saved


def test_runs_that_share_an_encoder_are_not_done_at_once(tree):
    write("{models: [jepa, identity], data: t.yaml, splits: doubles, seeds: 1-2, variants: [{}, {residual: none}]}")
    jobs = jobs_of()
    keys = {}
    for job in jobs:
        keys.setdefault(job.key, []).append((job.spec.model, job.spec.split_seed, job.spec.variant.get("residual")))
    jepa = [same for same in keys.values() if same[0][0] == "jepa"]
    assert sorted(jepa) == [[("jepa", 1, None), ("jepa", 1, "none")], [("jepa", 2, None), ("jepa", 2, "none")]]
    assert all(len(same) == 1 for same in keys.values() if same[0][0] == "identity")
    assert [job.spec.variant.get("residual") for job in jobs] == [None] * 4 + ["none"] * 4


def test_a_block_that_comes_twice_is_done_once(tree):
    write(GOOD, GOOD.replace("additive", "no_change"))
    assert [(job.row, job.spec.split_seed) for job in jobs_of()] == [
        ("train_mean", 1),
        ("additive", 1),
        ("train_mean", 2),
        ("additive", 2),
        ("no_change", 1),
        ("no_change", 2),
    ]


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ("{models: train_meen, data: t.yaml, splits: doubles}", ["unknown model", "Did you mean 'train_mean'"]),
        ("{models: train_mean, data: tt.yaml, splits: doubles}", ["tt.yaml"]),
        ("{models: train_mean, data: t.yaml, splits: double}", ["unknown split 'double'", "Did you mean 'doubles'"]),
        ("{models: train_mean, data: t.yaml, splits: []}", ["runs.1.splits is empty"]),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is(blocks, words, tree, capsys):
    write(GOOD, blocks)
    refuse(capsys, ["sweep", "s.yaml"], *words)
    assert not Path("runs").exists()


def test_only_takes_a_split_as_it_is_written_and_as_a_board_names_it(tree):
    write("{models: additive, data: t.yaml, splits: [doubles, 'doubles:label_fraction=0.5']}")
    suite, places = suites.find("s.yaml"), folders(Path("runs"), Path("runs/leaderboards"))
    for word in ("doubles:label_fraction=0.5", "doubles-label_fraction0.5"):
        assert [job.config.split for job in plan(suite, places, [word])] == ["doubles:label_fraction=0.5"]


def test_bad_flags(tree, capsys):
    write(GOOD)
    refuse(capsys, ["sweep", "s.yaml", "--workers", "0"], "--workers 0: expected 1 or more")
    refuse(capsys, ["sweep", "s.yaml", "--worker", "2"], "Did you mean '--workers'")
    refuse(capsys, ["sweep", "s.yaml", "--tracking", "on"], "tracking mode")
    refuse(capsys, ["sweep", "s.yaml", "--only", "jepa"], "no run holds 'jepa'")
    refuse(capsys, ["sweep", "mian"], "unknown suite 'mian'", "Did you mean 'main'")
    refuse(capsys, ["publish"], "run ids, or --suite")


def test_workers_share_the_cores(monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    assert environment(1)["OMP_NUM_THREADS"] == str(cores())
    assert environment(2 * cores())["OPENBLAS_NUM_THREADS"] == "1"
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    assert environment(1)["MKL_NUM_THREADS"] == "3"  # what the user has set stays


@pytest.mark.parametrize(
    ("log", "code", "words"),
    [
        ("error: no file x.\n", 2, "no file x."),
        ("[1/6]\nTraceback\nKeyError: 'x'\n\n", 1, "KeyError: 'x'"),
        ("", 1, "exit code 1"),
        (None, 1, "exit code 1"),
        ("x\n", -11, "SIGSEGV"),
        ("x\n", 0, "without a record"),
    ],
)
def test_reasons(log, code, words, tmp_path):
    path = tmp_path / "run.log"
    if log is not None:
        path.write_text(log)
    assert words in schedule.reason(path, code)


@pytest.mark.slow
def test_two_sweeps_at_once_in_one_tree(tree):
    """Together they do every run once."""
    write(GOOD.replace("1-2", "1-4"))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    both = [process("sweep", "s.yaml", "--workers", "1", **pipes) for _ in range(2)]
    answers = [one.communicate() for one in both]
    said = [err for _, err in answers]
    assert [one.returncode for one in both] == [0, 0], said
    done = [line for err in said for line in err.splitlines() if re.match(r"\[\d/8\]", line)]
    names = [re.sub(r"\[\d/8\] | \(.*", "", line) for line in done]
    assert sorted(names) == sorted({f"{job.row} | {job.task}" for job in jobs_of()})
    assert all("8 conditions" not in out and "t | doubles | seeds 1-4" in out for out, _ in answers)


@pytest.mark.slow
def test_an_interrupted_sweep_leaves_nothing_and_goes_on(tree, capsys):
    write(GOOD, SLOW)
    one = process("sweep", "s.yaml", "--workers", "1", stderr=subprocess.PIPE)
    pid = wait_for(lambda: running("jepa"))
    time.sleep(1)
    one.send_signal(signal.SIGINT)
    err = one.communicate(timeout=30)[1]
    assert one.returncode == 130
    assert "stopped: 4 of 5 runs are finished; the same command does the others" in err
    assert "Traceback" not in err
    assert not Path(f"/proc/{pid}").exists()
    assert not list(Path("runs").rglob("*.tmp"))
    write(GOOD)
    assert bench(capsys, "sweep", "s.yaml")[0] == 0
