"""Runs as a user makes them: what is written, what is not repeated, what publishing says."""

import json

import anndata
import pandas as pd
import pytest
import screens

from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.reports.text import print_boards
from bench.results import leaderboard, records
from bench.results.board import board as make_board
from bench.runner import pipeline
from bench.runner.config import RunConfig
from bench.runner.publish import publish


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


def test_a_run_leaves_everything_needed_to_check_it(files, tmp_path):
    (path,) = pipeline.run(config_for(files, tmp_path))
    record = records.read(path)
    folder = tmp_path / "runs" / record.run_id
    assert {p.name for p in folder.iterdir()} == {
        "predictions.h5ad",
        "record.json",
        "record.parquet",
        "spec.json",
        "split.json",
    }
    assert record.hashes["predictions"] == sha256_file(folder / "predictions.h5ad")
    table = pd.read_parquet(path.with_suffix(".parquet"))
    for name, level in record.metrics.items():
        rows = table[(table["metric"] == name) & (table["scope"] == "all")]
        assert (level.mean is None) == rows["value"].isna().all()
        assert level.mean is None or level.mean == pytest.approx(rows["value"].mean())
        assert len(rows) == record.n_conditions
    assert record.packages["cell-gears"] == "0.1.2"
    assert record.spec.split.startswith("custom-")
    predicted = anndata.read_h5ad(folder / "predictions.h5ad")
    assert predicted.uns["controls_used"] == "input"
    assert predicted.n_obs == record.n_conditions  # means only: a shift's spread means nothing


def test_a_finished_run_is_not_repeated_unless_forced(files, tmp_path, monkeypatch):
    (path,) = pipeline.run(config_for(files, tmp_path))
    first = records.read(path)
    from bench.runner import fit as run_stage

    monkeypatch.setattr(run_stage, "fit", lambda *_: pytest.fail("fitted again"))
    assert pipeline.run(config_for(files, tmp_path)) == [path]
    monkeypatch.undo()
    monkeypatch.setattr(records, "now", lambda: "2030-01-01T00:00:00Z")
    pipeline.run(config_for(files, tmp_path, force=True))
    again = records.read(path)
    assert again.created != first.created
    assert again.metrics == first.metrics


def test_a_damaged_record_is_run_again(files, tmp_path):
    (path,) = pipeline.run(config_for(files, tmp_path))
    own = tmp_path / "runs" / path.stem / "record.json"
    own.write_text(own.read_text()[:100])
    (again,) = pipeline.run(config_for(files, tmp_path))
    assert records.read(again).run_id == path.stem


def test_seeds_folds_and_arguments_make_runs_of_their_own(files, tmp_path):
    both = pipeline.run(config_for(files, tmp_path, folds=[0, 1]))
    seeds = pipeline.run(config_for(files, tmp_path, seeds=[(1, 1, 1), (2, 2, 2)]))
    other = pipeline.run(
        config_for(files, tmp_path, model="linear", arguments={"rank": 3, "ridge": 0.1}, variant={"rank": 3})
    )
    assert len({*both, *seeds, *other}) == 4
    table = make_board(next(iter(leaderboard.group(leaderboard.collect([tmp_path / "boards"])).values())))
    assert set(table["model"]) == {"additive", "linear[rank=3]", "replicate", "train_mean"}


def test_interrupting_leaves_no_record(files, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "score_predictions", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(config_for(files, tmp_path))
    assert not list(tmp_path.rglob("record.json"))
    assert not list(tmp_path.rglob("*.tmp"))
    monkeypatch.undo()
    assert records.read(pipeline.run(config_for(files, tmp_path))[0])


def test_publishing_says_what_happened(files, tmp_path):
    (path,) = pipeline.run(config_for(files, tmp_path))
    source, target = tmp_path / "boards", tmp_path / "committed"
    assert publish([path.stem], source, target) == [f"{path.stem} additive: published"]
    assert list(target.glob("tiny__custom-*.csv"))
    assert leaderboard.check(target) >= 1
    assert publish([path.stem], source, target) == [f"{path.stem} additive: reproduces"]
    there = next((target / "records").rglob("*.json"))
    record = records.read(there)
    level = record.metrics["r2"].model_copy(update={"mean": record.metrics["r2"].mean - 0.25})
    records.write(there, record.model_copy(update={"metrics": {**record.metrics, "r2": level}}))
    (line,) = publish([path.stem], source, target)
    assert "differs, most in r2 by 0.25 (kept)" in line
    assert records.read(there).metrics["r2"] == level
    (line,) = publish([path.stem], source, target, force=True)
    assert line.endswith("(replaced)")
    assert records.read(there).metrics["r2"] == record.metrics["r2"]
    with pytest.raises(BenchError, match="unknown run id"):
        publish(["nope"], source, target)
    with pytest.raises(BenchError, match="unknown run id"):
        publish(["../../x"], source, target)


def test_records_of_older_data_are_left_out_of_the_printed_table(files, tmp_path, capsys):
    (path,) = pipeline.run(config_for(files, tmp_path))
    record = records.read(path)
    old = record.spec.model_copy(update={"data_hash": "older"})
    place = records.place(tmp_path / "boards", old)
    records.copy(path, place)
    records.write(place, record.model_copy(update={"spec": old, "run_id": old.run_id}))
    print_boards([tmp_path / "boards"], [path])
    assert "1 records of other data or an older scoring are left out" in capsys.readouterr().err


def test_wandb_offline_keeps_config_summary_and_table(files, tmp_path):
    (path,) = pipeline.run(config_for(files, tmp_path, tracking="offline"))
    runs = list((tmp_path / "runs" / path.stem).rglob("*.wandb"))
    assert len(runs) == 1
    blob = runs[0].read_bytes()
    for text in (b"pearson_delta/mean", b"split_id", b"fit_s"):
        assert text in blob
    assert list((tmp_path / "runs" / path.stem).rglob("*conditions*.table.json"))
