"""Runs as a user makes them: what is written, what is not repeated, what publishing says."""

import json
import shutil
from dataclasses import replace

import anndata
import numpy as np
import pytest
import screens
from harness import collect, groups, one_entry

from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.reports.text import print_boards
from bench.results import everything, records, store
from bench.results.board import board as make_board
from bench.runner import pipeline
from bench.runner.config import RunConfig
from bench.runner.publish import publish
from bench.runner.rescore import earlier
from bench.tracks import registry
from bench.tracks.response.track import TRACK


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A tiny screen on disk with its card and a custom split."""
    folder = tmp_path_factory.mktemp("data")
    counts, obs = screens.tiny_counts()
    screens.write_h5ad(folder / "tiny.h5ad", counts.astype("float32"), obs)
    (folder / "card.yaml").write_text(
        "name: tiny\nsource: tiny.h5ad\nexpression: counts\n"
        "columns: {condition: condition, context: context, batch: batch}\n"
    )
    split = screens.hand_split(screens.tiny_screen())
    lists = {part: getattr(split, part) for part in ("train", "val", "test")}
    (folder / "split.json").write_text(json.dumps(lists))
    return folder


def config_for(files, out, **changes):
    fields = {
        "model": "additive",
        "arguments": {},
        "variant": {},
        "data": str(files / "card.yaml"),
        "split": "custom",
        "split_file": files / "split.json",
        "seeds": [(1, 1, 1)],
        "folds": [0],
        "out": out / "runs",
        "leaderboards": out / "boards",
        "force": False,
        "tracking": "off",
        **changes,
    }
    return RunConfig(**fields)


#: What a run says of the code's tree.
CLEAN = ("0" * 40, False)


@pytest.fixture(scope="module")
def original(files, tmp_path_factory):
    """A finished run, its board beside it, made once as from a tree without uncommitted changes: not to be changed."""
    folder = tmp_path_factory.mktemp("original")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "git_state", lambda: CLEAN)
        return pipeline.run(TRACK, config_for(files, folder))[0]


@pytest.fixture
def finished(original, tmp_path):
    """A copy of it, where :func:`config_for` has a run's folders."""
    shutil.copytree(original.parents[2], tmp_path, dirs_exist_ok=True)
    return tmp_path / original.relative_to(original.parents[2])


def test_a_run_leaves_everything_needed_to_check_it(original):
    record, folder = records.read(original), original.parent
    assert folder.name == record.run_id and (record.git_sha, record.git_dirty) == CLEAN
    assert {p.name for p in folder.iterdir()} == {
        "predictions.h5ad",
        "record.json",
        "record.parquet",
        "record.draws.parquet",
        "spec.json",
        "split.json",
    }
    assert record.hashes["predictions"] == sha256_file(folder / "predictions.h5ad")
    entry = one_entry(original)
    values = entry.table.field("all", "value")
    for m, (name, level) in enumerate(entry.levels.items()):
        known = values[:, m][np.isfinite(values[:, m])]
        assert (level.mean is None) == (len(known) == 0), name
        assert level.mean is None or level.mean == pytest.approx(known.mean())
    assert record.packages["cell-gears"] == "0.1.2"
    assert record.spec.split.startswith("custom-")
    predicted = anndata.read_h5ad(folder / "predictions.h5ad")
    assert predicted.uns["controls_used"] == "input"
    assert predicted.n_obs == len(values)  # means only: a shift's spread means nothing


@pytest.mark.ci
def test_a_damaged_record_is_run_again(files, finished, tmp_path):
    path, first = finished, records.read(finished)
    for damaged in (path, records.table_path(path)):
        damaged.write_bytes(damaged.read_bytes()[:100])
        assert pipeline.run(TRACK, config_for(files, tmp_path)) == [path]
        assert one_entry(path).table.hash == records.read(path).values_hash == first.values_hash


@pytest.mark.ci
def test_seeds_folds_and_arguments_make_runs_of_their_own(files, tmp_path):
    both = pipeline.run(TRACK, config_for(files, tmp_path, folds=[0, 1]))
    seeds = pipeline.run(TRACK, config_for(files, tmp_path, seeds=[(1, 1, 1), (2, 2, 2)]))
    other = pipeline.run(
        TRACK, config_for(files, tmp_path, model="linear", arguments={"rank": 3, "ridge": 0.1}, variant={"rank": 3})
    )
    assert len({*both, *seeds, *other}) == 4
    table = make_board(next(iter(groups(tmp_path / "boards").values())))
    assert set(table["model"]) == {"additive", "linear[rank=3]", "ceiling", "replicate", "floor"}


@pytest.mark.ci
def test_publishing_says_what_happened(finished, tmp_path):
    source, target = tmp_path / "boards", tmp_path / "committed"
    run_id = finished.parent.name
    assert publish([run_id], source, target) == [f"{run_id} additive: published"]
    assert list(target.glob("tiny__custom-*.csv"))
    assert everything.check(registry.tracks(), target)[0] >= 1
    assert publish([run_id], source, target) == [f"{run_id} additive: reproduces"]
    (there,) = collect(target)
    before = there.levels["r2"].mean
    moved = {**there.table.numbers, "value": there.table.numbers["value"].copy()}
    moved["value"][:, list(TRACK.metrics).index("r2")] -= 0.25
    table = replace(there.table, numbers=moved)
    store.add(target, TRACK, [(there.record.model_copy(update={"values_hash": table.hash}), table)])
    (line,) = publish([run_id], source, target)
    assert "differs, most in r2 by" in line and line.endswith("where 1e-09 is tolerated (kept)")
    assert collect(target)[0].levels["r2"].mean == pytest.approx(before - 0.25)
    (line,) = publish([run_id], source, target, force=True)
    assert line.endswith("(replaced)")
    assert collect(target)[0].levels["r2"].mean == before
    for name in ("nope", "../../x"):
        with pytest.raises(BenchError, match="unknown run id"):
            publish([name], source, target)


def test_records_of_older_data_are_left_out_of_the_printed_table(finished, tmp_path, capsys):
    entry = one_entry(finished)
    old = entry.record.spec.model_copy(update={"data_hash": "older"})
    store.add(
        tmp_path / "boards",
        TRACK,
        [(entry.record.model_copy(update={"spec": old, "run_id": old.run_id}), entry.table)],
    )
    print_boards([tmp_path / "boards"], [finished])
    assert "1 records of other data or an older scoring are left out" in capsys.readouterr().err


@pytest.mark.slow
def test_wandb_offline_keeps_config_summary_and_table(files, tmp_path):
    (path,) = pipeline.run(TRACK, config_for(files, tmp_path, tracking="offline"))
    runs = list(path.parent.rglob("*.wandb"))
    assert len(runs) == 1
    blob = runs[0].read_bytes()
    for text in (b"pearson_delta/mean", b"split_id", b"fit_s"):
        assert text in blob
    assert list(path.parent.rglob("*conditions*.table.json"))


def test_predictions_of_an_earlier_scoring_are_scored_again_without_a_fit(files, finished, tmp_path, monkeypatch):
    first, real = records.read(finished), pipeline.spec_of

    def later(*arguments, **changes):
        return real(*arguments).model_copy(update={"scoring_version": first.spec.scoring_version + 1, **changes})

    def fit(*_):
        raise AssertionError("fitted again")

    monkeypatch.setattr(pipeline, "spec_of", later)
    monkeypatch.setattr(pipeline, "fit_and_predict", fit)
    (again,) = pipeline.run(TRACK, config_for(files, tmp_path))
    second = records.read(again)
    assert second.run_id != first.run_id
    assert (second.values_hash, second.budget, second.fit_git_sha) == (first.values_hash, first.budget, first.git_sha)
    # Another version of the model, or predictions that are not those of the record, are no such thing.
    spec = second.spec.model_copy(update={"scoring_version": second.spec.scoring_version + 1})
    out = tmp_path / "runs"
    assert earlier(TRACK, out, spec).record.run_id == second.run_id
    assert earlier(TRACK, out, spec.model_copy(update={"model_version": 99})) is None
    for run in (first, second):
        with (out / run.run_id / "predictions.h5ad").open("ab") as handle:
            handle.write(b"x")
    assert earlier(TRACK, out, spec) is None
