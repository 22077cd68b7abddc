"""Records, their CSV and the table; the verb, with an encoder that needs no training."""

import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import screens

from bench.cli.frozen import frozen
from bench.core.errors import BenchError
from bench.data.task import Task
from bench.results.spec import RunSpec
from bench.runner import encoder
from bench.tracks.representation import board, protocol, record, references, run, table


def spec_of(task, model="jepa", **changes):
    data, split = task.dataset, task.split
    return RunSpec(
        **{
            "dataset": data.name,
            "data_hash": data.hash,
            "split": split.kind,
            "split_seed": split.seed,
            "control_fold": 0,
            "split_id": split.split_id,
            "model": model,
            "model_version": 1,
            "arguments": {},
            "variant": {},
            "pretrain_seed": split.seed,
            "head_seed": split.seed,
            **changes,
        }
    )


def fake(data, split, model, mrr, kind="model", **changes):
    """A record whose numbers are made up."""
    spec = spec_of(Task(data, split), model, **changes)
    numbers = {**dict.fromkeys(protocol.NAMES, 0.25), protocol.PRIMARY: mrr, "width": 8.0, "batch_probe_scaled": None}
    return record.make(data, spec, spec.label, kind, numbers, 1.0)


@pytest.fixture(scope="module")
def data():
    return screens.tiny_screen(cells=40)


@pytest.fixture
def folder(data, tmp_path):
    for seed, split in ((1, screens.hand_split(data)), (2, screens.hand_split(data, 2))):
        for model, mrr, kind in (
            ("jepa", 0.4 + 0.1 * seed, "model"),
            ("mae", 0.6, "model"),
            ("pca", 0.9, "reference"),
            ("random", 0.1, "reference"),
            ("shuffled", 0.01, "reference"),
        ):
            item = fake(data, split, model, mrr, kind)
            record.write(record.place(tmp_path, item.spec), item)
    board.regenerate(tmp_path)
    return tmp_path


def test_rows_are_sorted_and_references_stand_last(folder):
    found = pd.read_csv(folder / "tiny__frozen.csv")
    assert found["model"].tolist() == ["mae", "jepa", "pca", "random", "shuffled"]
    assert found["rank"].tolist()[:2] == [1, 2]
    assert found["rank"][2:].isna().all()
    assert found["n_seeds"].tolist() == [2] * 5
    jepa = found.set_index("model").loc["jepa"]
    assert jepa[protocol.PRIMARY] == pytest.approx(0.55)
    assert jepa[f"{protocol.PRIMARY}_sd"] == pytest.approx(0.1 / 2**0.5)
    assert found["batch_probe_scaled"].isna().all()
    assert set(protocol.NAMES) < set(found.columns)


def test_the_csv_is_checked_against_its_records(folder):
    assert board.check(folder) == 1
    assert board.regenerate(folder) == []
    path = folder / "tiny__frozen.csv"
    path.write_text(path.read_text().replace("0.6,", "0.7,", 1))
    with pytest.raises(BenchError, match="1 CSVs differ"):
        board.check(folder)
    assert board.regenerate(folder) == [path]
    stray = folder / "other__frozen.csv"
    stray.write_text("x\n")
    with pytest.raises(BenchError, match="other__frozen"):
        board.check(folder)
    assert board.regenerate(folder) == [stray]
    assert not stray.exists()


def test_a_row_without_all_seeds_is_not_ranked(data, folder):
    item = fake(data, screens.hand_split(data), "vicreg", 0.99)
    record.write(record.place(folder, item.spec), item)
    rows = board.board(board.collect([folder])).set_index("model")
    assert rows.loc["vicreg", "n_seeds"] == 1
    assert pd.isna(rows.loc["vicreg", "rank"])
    assert rows.loc["mae", "rank"] == 1
    assert "vicreg (1 of 2 seeds)" in table.warnings_of(rows.reset_index(), 2)[0]


def test_variants_are_rows_of_their_own_and_repeats_of_a_seed_are_averaged(data, folder):
    split = screens.hand_split(data)
    for changes in ({"variant": {"width": 9}, "arguments": {"width": 9}}, {"pretrain_seed": 77}):
        item = fake(data, split, "mae", 0.2, **changes)
        record.write(record.place(folder, item.spec), item)
    rows = board.board(board.collect([folder])).set_index("model")
    assert "mae[width=9]" in rows.index
    assert rows.loc["mae", protocol.PRIMARY] == pytest.approx(((0.6 + 0.2) / 2 + 0.6) / 2)


@pytest.mark.parametrize(("field", "value"), [("data_hash", "0" * 64), ("split_id", "0" * 16)])
def test_records_of_another_task_cannot_join(data, folder, field, value):
    item = fake(data, screens.hand_split(data), "vicreg", 0.5, **{field: value})
    record.write(record.place(folder, item.spec), item)
    with pytest.raises(BenchError, match=f"differ in {field}"):
        board.expected_files(folder)


def test_control_fold_1_is_not_shown(data, folder):
    before = board.expected_files(folder)
    item = fake(data, screens.hand_split(data, 1, 1), "mae", 0.2, control_fold=1)
    record.write(record.place(folder, item.spec), item)
    assert board.expected_files(folder) == before


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda r: r.update(extra=1), "Extra inputs"),
        (lambda r: r.update(run_id="0" * 12), "not that of its spec"),
        (lambda r: r["numbers"].pop("knn_purity"), "missing or unknown: knn_purity"),
        (lambda r: r["numbers"].update(knn_purity=float("nan")), "not a valid"),
        (lambda r: r.update(width="8"), "valid integer"),
    ],
)
def test_damaged_records_are_refused(data, tmp_path, change, match):
    path = tmp_path / "frozen.json"
    record.write(path, fake(data, screens.hand_split(data), "mae", 0.5))
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(BenchError, match=match):
        record.read(path)


def test_a_record_is_read_as_it_was_written(data, tmp_path):
    item = fake(data, screens.hand_split(data), "mae", 0.5)
    record.write(tmp_path / "a.json", item)
    assert record.read(tmp_path / "a.json") == item
    assert json.loads((tmp_path / "a.json").read_text())["numbers"]["batch_probe_scaled"] is None
    outside = item.spec.model_copy(update={"model": "../x"})
    with pytest.raises(BenchError, match="cannot be part of a path"):
        record.place(tmp_path, outside)


def test_the_table_fits_100_columns(folder):
    rows = board.board(board.collect([folder]))
    rows["model"] = rows["model"].replace("jepa", "jepa[encoder=gene_transformer,width=256]")
    text = table.as_text(rows)
    assert max(map(len, text.splitlines())) <= 100
    assert "chance" in text
    for title in (*table._COLUMNS, "eff. rank"):
        assert title in text.splitlines()[0]


def test_an_encoder_and_its_references_get_records(data, tmp_path, monkeypatch):
    split = screens.hand_split(data)
    embed, spec = references.random_projection(60, 5, 8), spec_of(Task(data, split))
    out, boards = tmp_path / "runs", tmp_path / "boards"
    path = run.run_encoder(Task(data, split), embed, spec, out, boards)
    assert path == record.place(boards, spec)
    assert record.read(out / spec.run_id / "frozen.json") == record.read(path)
    assert record.read(path).width == 8
    assert {item.record.label for item in board.collect([boards])} == {"jepa", *references.NAMES}
    shuffled = next(item.record for item in board.collect([boards]) if item.record.label == "shuffled")
    assert shuffled.numbers["retrieval_mrr_1"] == pytest.approx(shuffled.numbers["retrieval_mrr_chance"], abs=0.06)
    monkeypatch.setattr(protocol, "evaluate", lambda *_: pytest.fail("finished, and evaluated again"))
    assert run.run_encoder(Task(data, split), embed, spec, out, boards) == path


def test_a_reference_cannot_be_impersonated_nor_a_task_swapped(data, tmp_path):
    split = screens.hand_split(data)
    embed = references.random_projection(60, 5, 8)
    with pytest.raises(BenchError, match="name of a reference"):
        run.run_encoder(Task(data, split), embed, spec_of(Task(data, split), "pca"), tmp_path, tmp_path)
    with pytest.raises(BenchError, match="another data set or split"):
        run.run_encoder(Task(data, screens.hand_split(data, 2)), embed, spec_of(Task(data, split)), tmp_path, tmp_path)


def test_the_verb_prints_a_table_and_the_records_path(data, tmp_path, capsys, monkeypatch):
    def encoder_of(config, seeds):
        task = Task(data, screens.hand_split(data, seeds[0]))
        assert config.model == "train_mean"
        return task, references.random_projection(60, seeds[1], 8), spec_of(task, config.model)

    monkeypatch.setattr(encoder, "encoder_of", encoder_of)
    where = [f"--out={tmp_path / 'runs'}", f"--leaderboards={tmp_path / 'boards'}", f"--published={tmp_path / 'none'}"]
    assert frozen(["--model", "train_mean", "--seed", "1-2", *where]) == 0
    captured = capsys.readouterr()
    assert re.search(rf"\n{tmp_path}/boards/frozen/tiny/train_mean/[0-9a-f]{{12}}\.json\n$", captured.out)
    assert "seeds 1-2" in captured.out
    assert "CellJEPA" in captured.err
    assert "Look first at MRR" in captured.err
    found = pd.read_csv(tmp_path / "boards" / "tiny__frozen.csv")
    assert found["model"].tolist() == ["train_mean", *references.NAMES]
    assert (found["n_seeds"] == 2).all()
    assert np.isfinite(found[protocol.PRIMARY]).all()


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ([], "needs --model"),
        (["--model", "jeppa"], "unknown model"),
        (["--model", "train_mean", "--control-fold", "1"], "control fold 0 only"),
        (["--model", "train_mean", "--sed", "1"], "--seed"),
    ],
)
def test_the_verb_refuses_bad_input(words, match):
    with pytest.raises(BenchError, match=match):
        frozen(words)


def test_the_protocol_loads_no_torch():
    slow = "{'torch', 'sklearn', 'lightning'}"
    track = "bench.tracks.representation"
    code = f"import sys, {track}.run, {track}.table; sys.exit(bool({slow} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
