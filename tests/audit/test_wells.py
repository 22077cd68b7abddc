"""Rows of profiles of wells are matched a second time, from features or a kept embedding; planted defects are found."""

import io
import shutil
from dataclasses import replace

import numpy as np
import pytest
from plates import SMALL, small

from bench.audit.data_sets import DataSets
from bench.audit.report import HASH, METRIC, MISSING, OK
from bench.audit.second import matching
from bench.audit.verify import verify
from bench.core.files import sha256_arrays
from bench.data.profiles.simulate import simulate
from bench.results import embeddings, everything, records, store, zips
from bench.results.profiles import Profiles
from bench.runner.publish import prune, publish
from bench.tracks import registry
from bench.tracks.matching.correction import correct
from bench.tracks.matching.options import Options
from bench.tracks.matching.protocol import questions
from bench.tracks.matching.run import run_profiles
from bench.tracks.matching.track import TRACK

#: Screens are published and audited whole: a tenth of what the fast suite may take.
pytestmark = pytest.mark.ci

NAMES = list(TRACK.metrics)
FAST = {"null_size": 1000}


@pytest.fixture(scope="module")
def wells():
    return small()


@pytest.fixture(scope="module")
def published(wells, tmp_path_factory):
    """The features under a correction, and an embedding under two."""
    folder = tmp_path_factory.mktemp("wells")
    states = simulate(SMALL).states
    z = states + 0.7 * np.random.default_rng(1).normal(size=states.shape)
    encoded = wells.with_values(z, sha256_arrays(z))
    made = Profiles(name="net", inputs={"profiles": encoded.source})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "git_state", lambda: ("0" * 40, False))
        rows = [
            (wells, Profiles(name="profile"), Options(correction="plate_z", controls="split", **FAST)),
            (encoded, made, Options(**FAST)),
            (encoded, made, Options(correction="plate_z", gate="compound", aggregation="geomean_p", **FAST)),
        ]
        for one, who, options in rows:
            run_profiles(one, who, options, questions(one), folder / "runs", folder / "boards")
        everything.regenerate(registry.tracks(), folder / "boards")
    return folder


@pytest.fixture
def boards(published, clean_tree, tmp_path):
    return shutil.copytree(published / "boards", tmp_path / "boards")


@pytest.fixture
def audit(wells):
    return lambda folder: verify(folder, DataSets({wells.name: wells}))


def failures(report):
    return [check for check in report.checks if check.status == "failed"]


def again(folder, task, change):
    """Change a record of the embedding and its table as somebody would who knows how files are made."""
    entry = next(
        e
        for e in store.collect(TRACK, [folder])
        if str(e.record.spec.split).startswith(task) and e.record.spec.label == "net[null_size=1000]"
    )
    store.add(folder, TRACK, [change(entry.record, entry.table)])
    everything.regenerate(registry.tracks(), folder)


def moved(metric, by):
    def change(record, table):
        values = table.numbers["value"].copy()
        values[0, NAMES.index(metric)] += by
        table = replace(table, numbers={**table.numbers, "value": values})
        return record.model_copy(update={"values_hash": table.hash}), table

    return change


def flipped(record, table):
    values = table.numbers["value"].copy()
    at, mean = NAMES.index("retrieved"), values[:, NAMES.index("map_normalised")]
    values[np.argmax(mean), at] = 0.0
    table = replace(table, numbers={**table.numbers, "value": values})
    return record.model_copy(update={"values_hash": table.hash}), table


def kept_in(folder, wells):
    """The embeddings that a folder keeps, by digest."""
    return embeddings.members(embeddings.place(folder, wells.name))


def test_all_that_was_published_is_recomputed_and_an_embedding_lies_there_once(boards, audit, wells):
    report = audit(boards)
    done = [check for check in report.checks if check.name == "metrics recomputed"]
    assert failures(report) == [] and report.exit_code == OK
    assert [check.status for check in done] == ["ok"] * 15
    assert sum(check.name == "kept embeddings" for check in report.checks) == 10
    assert len(kept_in(boards, wells)) == 1


@pytest.mark.ci
@pytest.mark.parametrize(
    ("what", "said"),
    [("floor", "floor of map_normalised: "), ("cells", "no cells and no subgroups"), ("subgroup", "no cells and no")],
)
def test_what_is_edited_of_a_task_that_all_rows_share(what, said, boards, audit):
    board = next(board for board in store.boards(boards, TRACK) if board.path.name.split("__")[1].startswith("target"))
    entries, task = board.entries(), board.entries()[0].values.task
    if what == "floor":
        floor = task.numbers["floor"].copy()
        floor[0, NAMES.index("map_normalised")] = -0.1
        task = replace(task, numbers={**task.numbers, "floor": floor})
    elif what == "cells":
        task = replace(task, cells=task.cells + 1)
    else:
        task = replace(task, words={**task.words, "subgroup": np.full(len(task.cells), "good", dtype=object)})
    board.write([(entry.record, replace(entry.values, task=task)) for entry in entries])
    everything.regenerate(registry.tracks(), boards)
    report = audit(boards)
    found = failures(report)
    assert report.exit_code == METRIC and len(found) == len(entries)
    assert all(check.name == "metrics recomputed" and said in check.detail for check in found)


@pytest.mark.thinned(1)
@pytest.mark.parametrize("how", ["sphering", "kpca", "plate_z"])
def test_corrections_are_those_of_scikit_learn(how, wells):
    mine, _ = matching.corrected(
        matching.Wells(wells.x, wells.plate, wells.well, wells.batch, wells.perturbation, wells.control, wells.targets),
        how,
        "none",
        wells.control,
    )
    theirs = correct(wells, Options(correction=how)).x
    np.testing.assert_allclose(matching.cosines(mine), matching.cosines(theirs), atol=1e-6)


def test_average_precision_by_hand():
    right, wrong = np.array([0.9, 0.5]), np.array([0.7, 0.1])
    assert matching.average_precision(right, wrong) == pytest.approx((1 + 2 / 3) / 2)
    # Of three that are tied, one right: at each place once in three orders.
    assert matching.average_precision(np.zeros(1), np.zeros(2)) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert matching.chance(1, 3) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert matching.adjusted({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.04, "c": 0.04})


@pytest.mark.thinned(2)
@pytest.mark.parametrize(
    ("task", "change", "said"),
    [
        ("replicability", moved("map", -0.15), "map"),
        ("target", moved("map_normalised", 0.2), "map_normalised"),
        ("cross", moved("map", 0.2), "map"),
        ("replicability", flipped, "retrieved of"),
        (
            "replicability",
            lambda record, table: (
                record.model_copy(update={"numbers": {**record.numbers, "plate_leak": 0.0}}),
                table,
            ),
            "plate_leak",
        ),
    ],
)
def test_an_edited_record_with_all_hashes_made_anew(task, change, said, boards, audit):
    again(boards, task, change)
    report = audit(boards)
    found = failures(report)
    assert report.exit_code == METRIC and {check.name for check in found} == {"metrics recomputed"}
    assert any(task in check.subject and said in check.detail for check in found)


def test_an_edited_embedding_and_one_that_is_gone(boards, audit, wells):
    ((digest, blob),) = kept_in(boards, wells).items()
    with np.load(io.BytesIO(blob)) as file:
        z = file["z"].copy()
    z[:2] = z[1::-1]  # two wells change places
    other = embeddings.keep([boards], wells.name, z.astype(float), wells.plate, wells.well)
    path = embeddings.place(boards, wells.name)
    zips.write(path, {f"{digest}.npz": kept_in(boards, wells)[other]})
    report = audit(boards)
    assert report.exit_code == HASH and len(failures(report)) == 10
    assert all("not the one that the record names" in check.detail for check in failures(report))
    path.write_bytes(path.read_bytes()[:500])
    assert audit(boards).exit_code == HASH
    path.unlink()
    assert audit(boards).exit_code == MISSING


@pytest.mark.slow
def test_rows_without_an_embedding_are_skipped(boards, audit):
    rows = store.collect(TRACK, [boards])
    store.add(boards, TRACK, [(embeddings.carried(e.record, [], boards / "nowhere"), e.table) for e in rows])
    everything.regenerate(registry.tracks(), boards)
    report = audit(boards)
    assert failures(report) == []
    assert [check.detail for check in report.checks if check.status == "skipped"] == ["no embedding kept"] * 10


def test_publishing_takes_embeddings_along_and_pruning_removes_them(published, boards, clean_tree, wells, tmp_path):
    target = tmp_path / "target"
    rows = [e for e in store.collect(TRACK, [boards]) if e.record.spec.model == "net"]
    bare = [(embeddings.carried(e.record, [], tmp_path / "nowhere"), e.table) for e in rows]
    store.add(target, TRACK, bare)  # published before embeddings were kept
    ids = [entry.record.run_id for entry in rows]
    lines = publish(ids, boards, target, runs=published / "runs")
    assert all("reproduces, and its embedding is kept now" in line for line in lines)
    assert len(kept_in(target, wells)) == 1
    assert all(embeddings.HASH in entry.record.hashes for entry in store.collect(TRACK, [target]))
    prune(target, ids[1:], older=False)
    assert len(kept_in(target, wells)) == 1
    prune(target, ids[:1], older=False)
    assert not kept_in(target, wells) and not embeddings.place(target, wells.name).exists()
