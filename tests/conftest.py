"""Fixtures shared by all tests: a private cache, a tiny screen, the real slice where it is there."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

import pytest

# Before any test imports bench: nothing of the user's is read or written, nothing goes over the network.
os.environ["BENCH_CACHE"] = os.environ.get("BENCH_TEST_CACHE") or tempfile.mkdtemp(prefix="bench-cache-")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("COLUMNS", "100")

import gears_lists
import screens

gears_lists.fill_cache()
gc.disable()  # until tests begin: what test files import is no garbage, and searches for some take two seconds

_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _no_wait_for_the_disk():
    """No test cuts the power: what a kernel has taken is written, and a disk need not be waited for 6,000 times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


#: Files with the longest tests. They begin first: at the end, one worker would wait for the other.
_LONG = {
    "test_killed",
    "test_at_once",
    "test_hostile_names",
    "test_sweep",
    "test_curves",
    "test_cheats",
    "test_every_model",
}


@pytest.hookimpl(tryfirst=True)  # before cases are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, all else stays in order; leave most cases of thinned tests to CI."""
    thinned: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("thinned"):
            thinned.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for cases in thinned.values():
        mark = cases[0].get_closest_marker("thinned")
        assert mark
        (n,) = mark.args
        fast = {round(i * (len(cases) - 1) / max(1, n - 1)) for i in range(n)}
        for i, case in enumerate(cases):
            if i not in fast:
                case.add_marker(pytest.mark.ci)
    items.sort(key=lambda item: item.path.stem not in _LONG)


def pytest_collection_finish() -> None:
    """Look no more for garbage among what was imported: a full search takes a second, and is made again and again."""
    gc.collect()
    gc.freeze()
    gc.enable()


def real_data_dir() -> Path | None:
    """Where real data are: ``$BENCH_DATA``, then ``../shared/data``."""
    for place in (os.environ.get("BENCH_DATA"), _ROOT.parent / "shared" / "data"):
        if place and (Path(place) / "norman19_k562_500.h5ad").is_file():
            return Path(place)
    return None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; the test is skipped where it is absent."""
    folder = real_data_dir()
    if folder is None:
        pytest.skip("real data not found in $BENCH_DATA or ../shared/data")
    return folder


@pytest.fixture(scope="session")
def norman(real_data: Path):
    """The real Norman slice."""
    from bench.data import load

    before = os.environ.get("BENCH_DATA")
    os.environ["BENCH_DATA"] = str(real_data)
    try:
        return load.load(load.resolve("norman_slice")[0])
    finally:
        if before is None:
            del os.environ["BENCH_DATA"]
        else:
            os.environ["BENCH_DATA"] = before


@pytest.fixture(scope="session")
def published_groups():
    """Every track with its published boards, read once: what they hold is not to be changed."""
    from bench.results import everything
    from bench.tracks import registry

    return everything.read(registry.tracks(), _ROOT / "leaderboards")


@pytest.fixture(scope="session")
def tiny():
    """A screen of 12 singles and 10 doubles, 60 genes, 2 batches; made in milliseconds."""
    return screens.tiny_screen()


@pytest.fixture(scope="session")
def tiny_split(tiny):
    """A custom-like split of the tiny screen that needs no cell-gears."""
    return screens.hand_split(tiny)


@pytest.fixture
def module(tiny, tiny_split):
    """The tiny screen as models see it: 10 train conditions, 2 val."""
    from bench.data.datamodule import PerturbationDataModule
    from bench.data.task import Task

    return PerturbationDataModule(Task(tiny, tiny_split), seed=1)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """The small simulated screen as models see it: 72 singles and 88 doubles, tables view_a and view_b."""
    from small_simulated import simulated_module

    return simulated_module(tmp_path_factory.mktemp("card"))
