"""Undisturbed trees, and a process that runs commands as processes of their own."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from command import ROOT, RUN, furnish
from harness import made_records
from trees import LEADERBOARD, LEARNED, SCORE

from bench.results import everything
from bench.tracks import registry


def serve(folder, *modules):
    """Run commands as processes of their own; the answer to several jobs is a list."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "warm.py"), *modules],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    assert server.stdin and server.stdout and server.stdout.readline() == "ready\n"

    def ask(folder, *commands, **options):
        env = {"BENCH_CACHE": str(folder / "cache")}
        jobs = [{"argv": list(command), "cwd": str(folder), "env": env, **options} for command in commands]
        server.stdin.write(json.dumps(jobs) + "\n")
        server.stdin.flush()
        answers = json.loads(server.stdout.readline())
        for answer in answers:
            assert "Traceback" not in answer["err"], answer["err"]
        return answers

    yield ask
    server.stdin.close()
    server.wait(timeout=60)


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    """Runs commands that learn nothing."""
    yield from serve(tmp_path_factory.mktemp("warm"))


@pytest.fixture(scope="session")
def warm_torch(tmp_path_factory):
    """Runs commands that train."""
    yield from serve(tmp_path_factory.mktemp("warm"), "torch", "lightning", "anndata", "bench.models.ssl.mae")


@pytest.fixture(scope="session")
def whole(warm, tmp_path_factory):
    """An undisturbed tree: a run and a scored file, and the boards of both."""
    folder = tmp_path_factory.mktemp("whole")
    furnish(folder)
    (answer,) = warm(folder, RUN)
    assert answer["code"] == 0, answer["err"]
    shutil.copy(next(folder.glob("runs/*/predictions.h5ad")), folder / "given.h5ad")
    for command in (SCORE, LEADERBOARD):
        (answer,) = warm(folder, command)
        assert answer["code"] == 0, answer["err"]
    return folder


@pytest.fixture(scope="session")
def learned(warm_torch, tmp_path_factory):
    """The tree of a run that trained undisturbed, and what the process said of itself."""
    folder = tmp_path_factory.mktemp("learned")
    furnish(folder)
    (answer,) = warm_torch(folder, LEARNED)
    assert answer["code"] == 0, answer["err"]
    return folder, answer


@pytest.fixture(scope="session")
def six(tmp_path_factory):
    """Records of three models under two seeds, and their boards."""
    folder = tmp_path_factory.mktemp("six")
    means = {"a": 0.6, "b": 0.4, "train_mean": 0.25}
    rows = {model: {"pearson_delta": mean, "r2": 0.5} for model, mean in means.items()}
    made_records(folder / "runs" / "leaderboards", rows, (1, 2), moved=True)
    everything.regenerate(registry.tracks(), folder / "runs" / "leaderboards")
    return folder
