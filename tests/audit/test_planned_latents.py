"""Boards of known latents against the suite that stands for them: what is missing there, or says something else."""

import shutil
from pathlib import Path

import pytest

from bench.audit import planned
from bench.audit import records as audited
from bench.audit.report import HASH, MISSING
from bench.results import claims, everything, moments, store
from bench.runner.effort import Effort
from bench.runner.identify import identify
from bench.sweep import suite as suites
from bench.sweep.suite import LatentsBlock, kind
from bench.tracks import registry

TRACK = registry.by_verb("identify")
DATA = "g1:perturbations=4,cells=20,controls=40,d_v=3,max_hits=2,d_i=1,genes=8"
ROWS = ("look_up", "noise", "ica", "random_encoder:hidden=16")


SUITE = kind()(name="small", identify=(LatentsBlock(data=DATA, rows=ROWS, seeds="1-2", training_seeds=1),))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A board of two screens."""
    out = tmp_path_factory.mktemp("out")
    identify(TRACK, ROWS, DATA, (1, 2), (1,), Effort(), out, out / "boards")
    claims.write(out / "boards", "small", [])
    everything.regenerate(registry.tracks(), out / "boards")
    return out / "boards"


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A copy to damage; its suite is the only one."""
    monkeypatch.setattr(suites, "names", lambda: ["small"])
    monkeypatch.setattr(suites, "find", lambda name: SUITE)
    return Path(shutil.copytree(made, tmp_path / "boards"))


def found(folder):
    return [check for check in planned.look(folder, audited.look(folder)) if check.name != "first runs are kept"]


def entries(folder, label):
    return [one for one in store.collect(TRACK, [folder]) if one.record.spec.label == label]


def rewritten(folder, label, spec=None, **fields):
    """Publish a row's records once more, saying something else."""
    (old, *_) = entries(folder, label)
    changed = old.record.spec.model_copy(update=spec or {})
    record = old.record.model_copy(update={"spec": changed, "run_id": changed.run_id, **fields})
    store.remove(folder, TRACK, [old.record.run_id])
    store.add(folder, TRACK, [(record, None)])


def test_a_whole_board_is_as_planned(folder):
    checks = found(folder)
    assert [(check.name, check.status, check.detail) for check in checks] == [
        ("runs as suites plan them", "ok", "8 runs"),
        ("records say what was run", "ok", "8 records"),
    ]


def test_first_runs_of_which_moments_are_missing(folder):
    """Published without the runs' folders: of rows that do not follow from their screen, nothing is kept."""
    lacking = [
        check
        for check in planned.look(folder, audited.look(folder))
        if check.name == "first runs are kept" and check.code == MISSING
    ]
    assert len(lacking) == 2 and all(moments.HASH not in one.record.hashes for one in entries(folder, "ica"))


@pytest.mark.parametrize("label", ["look_up", "noise", "random_encoder[hidden=16]"])
@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_a_row_or_one_of_its_screens_is_gone(folder, label, seeds):
    gone = [one.record.run_id for one in entries(folder, label) if one.record.spec.split_seed in seeds]
    store.remove(folder, TRACK, gone)
    (check,) = (check for check in found(folder) if check.status == "failed")
    assert check.code == MISSING and f"{label}: {len(seeds)} runs, the first of seed 1" in check.detail


def test_a_training_seed_more(folder):
    (old, *_) = entries(folder, "noise")
    spec = old.record.spec.model_copy(update={"pretrain_seed": 2, "head_seed": 2})
    store.add(folder, TRACK, [(old.record.model_copy(update={"spec": spec, "run_id": spec.run_id}), None)])
    (check,) = (check for check in found(folder) if check.status == "failed")
    assert check.code == HASH and "training seed 2" in check.detail


@pytest.mark.parametrize(
    ("label", "change", "said"),
    [
        ("noise", {"kind": "model"}, "kind: 'model', and it is 'control'"),
        ("random_encoder[hidden=16]", {"kind": "model"}, "kind"),
        ("random_encoder[hidden=16]", {"spec": {"model_version": 9}}, "model_version: 9"),
        ("random_encoder[hidden=16]", {"spec": {"arguments": {"hidden": 17}}}, "arguments"),
        ("noise", {"controls_used": "all"}, "controls_used"),
    ],
)
def test_a_record_says_something_else_of_itself(folder, label, change, said):
    rewritten(folder, label, **change)
    failed = [check for check in found(folder) if check.status == "failed"]
    assert len(failed) == 1 and failed[0].name == "records say what was run" and said in failed[0].detail


def test_a_row_that_was_trained_in_other_steps_than_its_arguments_say(tmp_path, monkeypatch):
    """Whoever says that less was spent looks better for the same numbers."""
    effort = Effort(steps=2, hidden=8)
    suite = kind()(name="small", identify=(LatentsBlock(data=DATA, rows="vae", effort=effort),))
    monkeypatch.setattr(suites, "names", lambda: ["small"])
    monkeypatch.setattr(suites, "find", lambda name: suite)
    identify(TRACK, ("vae",), DATA, (1,), (1,), effort, tmp_path, tmp_path / "boards")
    claims.write(tmp_path / "boards", "small", [])
    assert all(check.status == "ok" for check in found(tmp_path / "boards"))
    (old,) = store.collect(TRACK, [tmp_path / "boards"])
    budget = old.record.budget.model_copy(update={"steps": 1})
    rewritten(tmp_path / "boards", old.record.spec.label, budget=budget)
    (check,) = (check for check in found(tmp_path / "boards") if check.status == "failed")
    assert "steps: 1, and it is 2" in check.detail
