"""A small leaderboard, made once: four rows of one task with their predictions, a board, and a claim."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from audit_boards import CLAIM, LEARNED, SUITE, scored

from bench.audit.data_sets import DataSets
from bench.audit.verify import verify
from bench.data.splits.split import draw
from bench.data.task import Task
from bench.results import claims, everything, leaderboard, records, store
from bench.runner import by_track
from bench.sweep import suite as suites
from bench.tracks import registry
from bench.tracks.response.track import TRACK


@contextmanager
def as_published() -> Iterator[None]:
    """As if the code's tree had no uncommitted changes, and the small board's suite were the only one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "git_state", lambda: ("0" * 40, False))
        patch.setattr(suites, "names", lambda: ["small"])
        patch.setattr(suites, "find", lambda name: SUITE)
        patch.setattr(by_track, "data_name", lambda config: config.data)
        yield


@pytest.fixture(autouse=True, scope="session")
def a_commit() -> Iterator[None]:
    """The commit that records made here name is one of the code's.

    Not by the tests' own ``monkeypatch``, which would then be undone after :func:`clean_tree`.
    """
    known = records.is_known_commit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "is_known_commit", lambda sha: sha == "0" * 40 or known(sha))
        yield


@pytest.fixture
def clean_tree():
    """See :func:`as_published`."""
    with as_published():
        yield


@pytest.fixture(scope="session")
def task(tiny):
    """The task of the board."""
    return Task(tiny, draw(tiny, "doubles", 1, 0))


@pytest.fixture(scope="session")
def original(task, tmp_path_factory) -> Path:
    """The leaderboard as it was published."""
    with as_published():
        return published(task, tmp_path_factory)


def published(task, tmp_path_factory) -> Path:
    """Make it."""
    runs, folder = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("boards")
    made = [scored(name, task, runs) for name in ("train_mean", "additive", *LEARNED)]
    store.add(folder, TRACK, [one[:2] for one in made], {record.run_id: kept for record, _, kept in made})
    groups = leaderboard.group(leaderboard.collect(TRACK, [folder]))
    claims.write(folder, "small", claims.evaluate([CLAIM], {("tiny", "doubles"): [1]}, [(TRACK, groups)]))
    everything.regenerate(registry.tracks(), folder)
    return folder


@pytest.fixture
def boards(original, clean_tree, tmp_path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(original, tmp_path / "boards"))


@pytest.fixture
def audit(tiny):
    """Audit a folder with the tiny screen at hand."""
    return lambda folder: verify(folder, DataSets({"tiny": tiny}))
