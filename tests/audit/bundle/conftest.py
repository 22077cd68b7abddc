"""A small leaderboards folder, and a bundle of it, made once."""

import shutil

import pytest
from harness import N_MADE, made

from bench.audit import boards as audited
from bench.audit.bundle.build import build
from bench.results import claims, everything, store
from bench.results.claim import Claim
from bench.sweep.suite import Block, kind
from bench.tracks import registry
from bench.tracks.response.track import TRACK

ROWS = {"ridge": 0.5, "knn": 0.4, "train_mean": 0.25}
TOLD = Claim(name="ridge beats knn", better="ridge", worse="knn", data="d", min_conditions=N_MADE)
FALSE = Claim(name="knn beats ridge", better="knn", worse="ridge", data="d", min_conditions=N_MADE)


RUNS = Block(models=tuple(ROWS), data="d", seeds=(1, 2, 3))
SUITE = kind()(name="small", runs=(RUNS,), claims=(TOLD, FALSE))


class Suites:
    """The shipped suites, were the small one the only one."""

    names = staticmethod(lambda: ["small"])
    find = staticmethod(lambda name: SUITE)


def learned(spec):
    """Units of the train part: none that is tested."""
    return frozenset({"Q | "})


def fill(folder):
    """Put three rows under three seeds, their CSVs and two claims into a folder."""
    for seed in (1, 2, 3):
        rows = []
        for name, mean in ROWS.items():
            means = dict.fromkeys(("pearson_delta", "discrimination", "signed_rank_z"), mean)
            means["shift_ratio"] = mean - 1.0  # never above 0
            record, table = made(name, means, split_seed=seed, split_id=f"s{seed}", own_jitter=0.06)
            said = (
                "pretraining step 40 of 80 by the decodable part of val shifts (0.63); head rate" if seed < 3 else None
            )
            update = {"git_sha": "0" * 40, "git_dirty": False, "selection": said}
            budget = record.budget.model_copy(update={"fit_s": float(seed)})  # no run is a copy of another
            rows.append((record.model_copy(update={**update, "budget": budget}), table))
        store.add(folder, TRACK, rows)
    found = everything.read(registry.tracks(), folder)
    verdicts = claims.evaluate([TOLD, FALSE], {("d", "simulation"): [1, 2, 3]}, found)
    assert [one.verdict for one in verdicts] == ["true", "false"]
    claims.write(folder, "small", verdicts)
    everything.regenerate(registry.tracks(), folder)


@pytest.fixture(scope="session")
def small_boards(tmp_path_factory):
    """The folder; tests copy it before they change it."""
    folder = tmp_path_factory.mktemp("boards") / "leaderboards"
    fill(folder)
    return folder


@pytest.fixture
def small_suite(monkeypatch):
    """Let the audit know the suite of the small board's claims."""
    monkeypatch.setattr(audited, "suites", Suites)


@pytest.fixture(scope="session")
def small_bundle(small_boards, tmp_path_factory):
    """Its bundle, accepted; tests copy it before they change it."""
    out = tmp_path_factory.mktemp("out") / "bundle"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audited, "suites", Suites)
        found = build(small_boards, out, learned)
    assert found.all_ok, found.to_markdown()
    return out


@pytest.fixture
def boards(small_boards, tmp_path):
    """A copy of the folder."""
    return shutil.copytree(small_boards, tmp_path / "leaderboards")


@pytest.fixture
def bundle(small_bundle, tmp_path):
    """A copy of the bundle."""
    return shutil.copytree(small_bundle, tmp_path / "bundle")
