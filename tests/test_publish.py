"""Publishing of encoders' records, and of what another version made. Of runs: see test_pipeline.py."""

import pytest
from harness import made_record, made_spec

from bench.cli.main import main
from bench.core.errors import BenchError
from bench.results import leaderboard, records
from bench.runner.publish import publish
from bench.tracks.representation import board
from bench.tracks.representation import record as frozen_record
from bench.tracks.representation.metrics import METRICS, NAMES, PRIMARY, VERSION


def encoder(folder, model, kind="model", primary=0.25, **fields):
    """Write a frozen-encoder record by hand."""
    spec = made_spec(model, **fields)
    record = frozen_record.FrozenRecord(
        run_id=spec.run_id,
        label=spec.label,
        kind=kind,
        spec=spec,
        protocol_version=VERSION,
        seed=1,
        evidence="full",
        created="2026-01-01T00:00:00Z",
        width=8,
        numbers={**dict.fromkeys(NAMES, 0.5), PRIMARY: primary},
        units=(("A+ctrl", "line0"),),
        values={**dict.fromkeys(METRICS, (0.5,)), PRIMARY: (primary,)},
        wall_s=1.0,
        git_sha=None,
        git_dirty=None,
        packages={},
        hardware={},
        warnings=(),
    )
    frozen_record.write(frozen_record.place(folder, spec), record)
    return record


def there(folder):
    return sorted(item.record.label for item in board.collect([folder]))


def test_an_encoder_takes_the_references_of_its_task_along(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    one = encoder(source, "jepa")
    encoder(source, "pca", "reference")
    encoder(source, "random", "reference", split_seed=2, split_id="s2")  # of another task
    encoder(source, "mae")
    lines = publish([one.run_id], source, target)
    assert lines[0] == f"{one.run_id} jepa (frozen): published" and len(lines) == 2
    assert there(target) == ["jepa", "pca"]
    assert (target / "d__frozen.csv").is_file() and board.check(target) == 1
    assert all(line.endswith("reproduces") for line in publish([one.run_id], source, target))


def test_an_encoder_that_differs_is_kept_unless_forced(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    one = encoder(source, "jepa")
    encoder(target, "jepa", primary=0.5)
    assert publish([one.run_id], source, target) == [
        f"{one.run_id} jepa (frozen): differs, most in {PRIMARY} by 0.25 (kept)"
    ]
    assert board.collect([target])[0].record.numbers[PRIMARY] == 0.5
    assert "(replaced)" in publish([one.run_id], source, target, force=True)[0]
    assert board.collect([target])[0].record.numbers[PRIMARY] == 0.25


def test_one_id_stands_for_predictions_and_encoder(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    run, frozen = made_record(source, "jepa", {"pearson_delta": 0.5}), encoder(source, "jepa")
    assert run.run_id == frozen.run_id
    assert len(publish([run.run_id], source, target)) == 2
    assert records.place(target, run.spec).is_file() and there(target) == ["jepa"]


def test_an_outdated_twin_is_named_and_removed_when_forced(tmp_path):
    """Another version's record of the same row, task and seeds: a board would average the two."""
    source, target = tmp_path / "a", tmp_path / "b"
    old = made_record(target, "a", {"pearson_delta": 0.5})
    other = made_record(target, "a", {"pearson_delta": 0.5}, pretrain_seed=2)  # another seed is no other version
    variant = made_record(target, "a", {"pearson_delta": 0.5}, variant={"k": 1})
    new = made_record(source, "a", {"pearson_delta": 0.6}, model_version=2)
    assert publish([new.run_id], source, target)[1:] == [f"{old.run_id} a: outdated by {new.run_id}"]
    assert records.place(target, old.spec).is_file()
    assert publish([new.run_id], source, target, force=True)[1:] == [
        f"{old.run_id} a: outdated by {new.run_id} (removed)"
    ]
    left = {item.record.run_id for item in leaderboard.collect([target])}
    assert left == {new.run_id, other.run_id, variant.run_id}
    assert not records.place(target, old.spec).with_suffix(".parquet").exists()


def test_an_unknown_id_publishes_nothing(tmp_path, capsys):
    source, target = tmp_path / "a", tmp_path / "b"
    one = encoder(source, "jepa")
    with pytest.raises(BenchError, match="unknown run id"):
        publish([one.run_id, "nope"], source, target)
    assert not target.exists()
    assert main(["publish", "nope", "--from", str(source), "--leaderboards", str(target)]) == 2
    assert "unknown run id 'nope'" in capsys.readouterr().err
