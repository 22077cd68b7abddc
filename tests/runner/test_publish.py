"""Publishing: what goes along, what reproduces, what is refused; and pruning. Of whole runs: see test_pipeline.py."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from harness import bare_record, collect, made, made_record, made_spec, made_table

from bench.cli.main import main
from bench.core.errors import BenchError
from bench.core.track import CLOSED_FORM
from bench.results import everything, records, store, tables
from bench.results.records import Budget
from bench.runner.kept_predictions import first_of_rows
from bench.runner.publish import prune, publish
from bench.tracks import registry

FROZEN = registry.by_verb("frozen")
RUN = registry.by_verb("run")


def encoder(folder, model, kind="model", primary=0.25, **fields):
    """Write a frozen encoder's record by hand, with numbers of the whole run."""
    spec = made_spec(model, **fields)
    names = [*FROZEN.metrics, *FROZEN.numbers]
    record = bare_record(
        spec,
        track=FROZEN.name,
        track_version=FROZEN.version,
        kind=kind,
        budget=Budget(),
        numbers={**dict.fromkeys(names, 0.5), FROZEN.primary: primary},
        values_hash=None,
    )
    store.add(folder, FROZEN, [(record, None)])
    return record


def encoders(folder):
    return {entry.record.spec.label: entry.record for entry in store.collect(FROZEN, [folder])}


def check(folder):
    return everything.check(registry.tracks(), folder)[0]


def test_an_encoder_takes_the_references_of_its_task_along(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    one = encoder(source, "jepa")
    encoder(source, "pca", "reference")
    encoder(source, "random", "reference", split_seed=2, split_id="s2")  # of another task
    encoder(source, "mae")
    lines = publish([one.run_id], source, target)
    assert lines[0] == f"{one.run_id} jepa (frozen): published" and len(lines) == 2
    assert set(encoders(target)) == {"jepa", "pca"}
    assert (target / "d__frozen.csv").is_file() and check(target) == 1
    assert all(line.endswith("reproduces") for line in publish([one.run_id], source, target))


def test_what_an_earlier_version_kept_in_more_digits_is_published_in_as_many_as_others(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    record, _ = made("jepa", {"pearson_delta": 1 / 3}, steps=9)
    exact = tables.from_long(RUN, made_table({"pearson_delta": 1 / 3}, 0.1, 0.75, 0.05))
    record = record.model_copy(update={"values_hash": exact.hash})
    store.add(source, RUN, [(record, exact)])
    for said in ("published", "reproduces"):
        assert said in publish([record.run_id], source, target)[0]
        ((there,), (here,)) = collect(target), collect(source)
        assert records.with_values(there.record, there.values)[0] == there.record != here.record
        off = there.values.numbers["value"] / here.values.numbers["value"] - 1
        assert 0 < np.nanmax(np.abs(off)) < 1.6e-5


def test_an_encoder_that_differs_is_kept_unless_forced(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    one = encoder(source, "jepa")
    encoder(target, "jepa", primary=0.5)
    (line,) = publish([one.run_id], source, target)
    assert line.startswith(f"{one.run_id} jepa (frozen): differs, most in {FROZEN.primary} by 0.25")
    assert line.endswith("(kept)") and encoders(target)["jepa"].numbers[FROZEN.primary] == 0.5
    assert "(replaced)" in publish([one.run_id], source, target, force=True)[0]
    assert encoders(target)["jepa"].numbers[FROZEN.primary] == 0.25


def test_one_id_stands_for_predictions_and_encoder(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    run, frozen = made_record(source, "jepa", {"pearson_delta": 0.5}), encoder(source, "jepa")
    assert run.run_id == frozen.run_id
    assert len(publish([run.run_id], source, target)) == 2
    assert [entry.record.run_id for entry in collect(target)] == [run.run_id] and set(encoders(target)) == {"jepa"}


@pytest.mark.thinned(2)
@pytest.mark.parametrize(
    ("steps", "off", "said"),
    [
        (0, 0.0, "reproduces"),
        (0, 1e-12, "reproduces within 1e-09"),
        (0, 1e-6, "differs, most in spearman_de by 1e-06, where 1e-09 is tolerated (kept)"),
        (100, 2e-5, "reproduces within 0.003"),  # what another processor did to a trained model
        (100, 5e-3, "differs, most in spearman_de by 0.005, where 0.003 is tolerated (kept)"),
    ],
)
def test_a_record_reproduces_within_a_tolerance_that_is_wider_for_trained_models(tmp_path, steps, off, said):
    source, target = tmp_path / "a", tmp_path / "b"
    made_record(target, "m", {"spearman_de": 0.2}, steps=steps)
    new = made_record(source, "m", {"spearman_de": 0.2 + off}, steps=steps)
    (line,) = publish([new.run_id], source, target)
    assert said in line
    assert CLOSED_FORM == 1e-9 < RUN.metrics["spearman_de"].tolerance


def test_a_record_that_lacks_a_newer_metric_is_replaced_where_the_rest_is_reproduced(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    made_record(target, "m", {"pearson_delta": 0.2})
    new = made_record(source, "m", {"pearson_delta": 0.2, "wmse": 0.3})
    (line,) = publish([new.run_id], source, target)
    assert "reproduces" in line and line.endswith("and has wmse now")
    assert collect(target)[0].levels["wmse"].mean == pytest.approx(0.3)
    assert "wmse now" not in publish([new.run_id], source, target)[0]


def test_a_tree_with_changes_is_refused_and_its_published_record_replaced(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    dirty = made_record(source, "m", {"pearson_delta": 0.5}, git_dirty=True)
    with pytest.raises(BenchError, match=f"uncommitted changes, the first {dirty.run_id} m"):
        publish([dirty.run_id], source, target, force=True)
    assert not target.exists()
    made_record(target, "m", {"pearson_delta": 0.5}, git_dirty=True)  # published before that was refused
    made_record(source, "m", {"pearson_delta": 0.5}, git_dirty=False)
    (line,) = publish([dirty.run_id], source, target)
    assert "replaces a record made from a tree with uncommitted changes" in line
    assert collect(target)[0].record.git_dirty is False


def test_an_outdated_twin_is_named_and_removed_when_forced(tmp_path):
    """Another version's record of the same row, task and seeds: a board would average the two."""
    source, target = tmp_path / "a", tmp_path / "b"
    old = made_record(target, "a", {"pearson_delta": 0.5})
    other = made_record(target, "a", {"pearson_delta": 0.5}, pretrain_seed=2)  # another seed is no other version
    variant = made_record(target, "a", {"pearson_delta": 0.5}, variant={"k": 1})
    new = made_record(source, "a", {"pearson_delta": 0.6}, model_version=2)
    assert publish([new.run_id], source, target)[1:] == [f"{old.run_id} a: outdated by {new.run_id}"]
    assert old.run_id in {entry.record.run_id for entry in collect(target)}
    assert publish([new.run_id], source, target, force=True)[1:] == [
        f"{old.run_id} a: outdated by {new.run_id} (removed)"
    ]
    assert {entry.record.run_id for entry in collect(target)} == {new.run_id, other.run_id, variant.run_id}


def test_an_unknown_id_publishes_nothing(tmp_path, capsys):
    source, target = tmp_path / "a", tmp_path / "b"
    one = encoder(source, "jepa")
    with pytest.raises(BenchError, match="unknown run id"):
        publish([one.run_id, "nope"], source, target)
    assert not target.exists()
    assert main(["publish", "nope", "--from", str(source), "--leaderboards", str(target)]) == 2
    assert "unknown run id 'nope'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def grown_made(tmp_path_factory):
    """The folder of :func:`grown`, made once."""
    folder, means = tmp_path_factory.mktemp("grown"), {"pearson_delta": 0.5}
    older = made("a", means, data_hash="old", created="2025-01-01T00:00:00Z")
    newer = [made(model, means, model_version=version) for model, version in (("a", 1), ("b", 1), ("b", 2))]
    store.add(folder, RUN, [older, *newer])
    encoder(folder, "jepa")
    everything.regenerate(registry.tracks(), folder)
    return folder


@pytest.fixture
def grown(grown_made, tmp_path):
    """Records of newer and older data, of a newer and an older model, and a second track."""
    return Path(shutil.copytree(grown_made, tmp_path, dirs_exist_ok=True))


def left(folder):
    return sorted((e.record.spec.label, e.record.spec.data_hash, e.record.spec.model_version) for e in collect(folder))


def test_pruning_removes_what_is_outdated_and_regenerates(grown, capsys):
    before = {path: path.read_bytes() for path in grown.rglob("*") if path.is_file()}
    words = ["prune", "--outdated", "--leaderboards", str(grown)]
    assert main([*words, "--dry-run"]) == 0
    assert {path: path.read_bytes() for path in grown.rglob("*") if path.is_file()} == before
    told = capsys.readouterr()
    assert (
        "older data" in told.out and "model version 1, not 2" in told.out and "2 records would be removed" in told.err
    )
    assert main(words) == 0
    assert left(grown) == [("a", "h", 1), ("b", "h", 2)] and set(encoders(grown)) == {"jepa"}
    assert check(grown) > 0
    assert prune(grown, [], older=True) == []


def test_nothing_is_called_older_than_what_is_dated_in_the_future(grown, capsys):
    """A clock that was set back: who prunes then would lose the newer of two data."""
    wrong = made_record(grown, "a", {"pearson_delta": 0.5}, data_hash="first", created="2999-01-01T00:00:00Z")
    before = left(grown)
    assert main(["prune", "--outdated", "--leaderboards", str(grown)]) == 2
    said = capsys.readouterr().err
    assert wrong.run_id in said and "2999-01-01T00:00:00Z, which is in the future" in said and left(grown) == before
    everything.regenerate(registry.tracks(), grown)
    assert "'bench prune RUN_ID'" in " ".join(capsys.readouterr().err.split())
    prune(grown, [wrong.run_id], older=False)
    assert len(prune(grown, [], older=True)) == 2


def test_pruning_by_row_and_by_id_leaves_the_others(grown):
    (lone,) = (e.record.run_id for e in collect(grown) if e.record.spec.model_version == 2)
    assert len(prune(grown, ["a", lone], older=False)) == 3
    assert left(grown) == [("b", "h", 1)]
    with pytest.raises(BenchError, match="unknown run id or row 'gone'"):
        prune(grown, ["gone"], older=False)
    prune(grown, ["b", "jepa"], older=False)
    assert not [path for path in grown.rglob("*") if path.is_file()]


def test_pruning_needs_to_be_told_what(tmp_path, capsys):
    assert main(["prune", "--leaderboards", str(tmp_path)]) == 2
    assert "needs run ids, rows, or --outdated" in capsys.readouterr().err


def test_what_a_store_is_given_it_gives_back(tmp_path):
    """Every digit, across merges in any order, replacement and removal."""
    given = [made(name, {"pearson_delta": 0.1 / 3, "r2": None}, split_seed=s) for name in "cab" for s in (1, 2)]
    for record, table in given[::-1]:
        store.add(tmp_path, RUN, [(record, table)])
    store.add(tmp_path, RUN, given[:2])
    found = {entry.record.run_id: entry for entry in collect(tmp_path)}
    for record, table in given:
        entry = found[record.run_id]
        assert entry.record == record and entry.table.hash == table.hash and entry.table.task.hash == table.task.hash
    again, other = made("a", {"pearson_delta": 0.7}, split_seed=1)
    store.add(tmp_path, RUN, [(again, other)])
    assert {e.record.run_id: e.table.hash for e in collect(tmp_path)}[again.run_id] == other.hash != table.hash
    assert store.remove(tmp_path, RUN, [again.run_id, "gone"]) == [again.run_id]
    assert {entry.record.run_id for entry in collect(tmp_path)} == set(found) - {again.run_id}


def test_predictions_are_kept_of_the_first_run_of_each_row(tmp_path):
    rows = [made("jepa", {"pearson_delta": 0.5}, steps=9, split_seed=1, control_fold=1)]
    for seed in (2, 1):
        rows.append(made("ridge", {"pearson_delta": 0.5}, split_seed=seed))
        for training in (5, 4):
            options = {"steps": 9, "split_seed": seed, "pretrain_seed": training}
            rows.append(made("jepa", {"pearson_delta": 0.5}, **options))
            rows.append(made("jepa", {}, **options, variant={"mask": 0.5}))
    store.add(tmp_path, RUN, rows)
    entries = collect(tmp_path)
    kept = first_of_rows(entries)
    specs = [entry.record.spec for entry in entries if entry.record.run_id in kept]
    assert sorted((s.label, s.control_fold, s.split_seed) for s in specs) == [
        ("jepa", 0, 1),
        ("jepa[mask=0.5]", 0, 1),
        ("ridge", 0, 1),
    ]
    assert {s.pretrain_seed for s in specs if s.label != "ridge"} == {4}
