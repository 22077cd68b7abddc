"""``bench frozen`` from the command line: a real encoder to a record, a table and a CSV that can be checked."""

import json

import pandas as pd
import pytest
import screens
from command import bench, furnish, last, refuse

from bench.results import records, store
from bench.tracks.representation.metrics import CHANCE, PRIMARY
from bench.tracks.representation.track import TRACK

TASK = ["--data", "t.yaml", "--split", "custom", "--split-file", "split.json"]
MAE = ["frozen", "--model", "mae", "--epochs", "2", "--width", "16", "--hidden", "32", "--depth", "1"]
COLUMNS = {
    "model",
    "kind",
    "rank",
    "rank_high",
    "n_seeds",
    "retrieval_mrr_20_ci_low",
    "retrieval_mrr_20",
    "silhouette_condition",
    "effective_rank",
    "run_ids",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a file, its card and a custom split; every condition has 40 cells."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_DEBUG", raising=False)
    monkeypatch.delenv("BENCH_DATA", raising=False)
    furnish(tmp_path)
    counts, obs = screens.tiny_counts(cells=40)
    screens.write_h5ad(tmp_path / "t.h5ad", counts, obs)
    return tmp_path


def check_outcome(folder, model, out, err, dataset, width):
    """The record, the CSV and the table of one encoder and the references; returns the record."""
    path = folder / last(out)
    record = records.read(path)
    assert path == folder / "runs" / record.run_id / "frozen.json" and record.kind == "model"
    assert record.spec.model == model and record.numbers["width"] == width
    (entry,) = (e for e in store.collect(TRACK, [folder / "runs/leaderboards"]) if e.record.run_id == record.run_id)
    assert entry.record == record
    table = pd.read_csv(folder / "runs" / "leaderboards" / f"{dataset}__frozen.csv")
    assert set(table.columns) >= COLUMNS
    assert table["model"].tolist()[-3:] == ["pca", "random", "shuffled"]
    row = table[table["model"] == record.spec.label].iloc[0]
    assert row["run_ids"] == record.run_id and row["n_seeds"] == 1
    numbers = {**record.numbers, **{name: level.mean for name, level in entry.levels.items()}}
    assert set(numbers) == {*TRACK.metrics, *TRACK.numbers}
    for name, number in numbers.items():  # six digits
        assert pd.isna(row[name]) if number is None else row[name] == pytest.approx(number, rel=1e-5, abs=1e-9), name
    for word in (record.spec.label[:12], "pca", "random", "shuffled", "chance", "MRR", dataset):
        assert word in out, word
    assert "CellJEPA audit" in err
    assert not list(folder.rglob("*.tmp"))
    return record, numbers


@pytest.mark.ci
def test_an_encoder_from_the_command_line(capsys, here):
    code, out, err = bench(capsys, "frozen", "--model", "pca_encoder", "--components", "8", *TASK)
    assert code == 0, err
    record, numbers = check_outcome(here, "pca_encoder", out, err, "t", 8)
    assert record.spec.label.startswith("pca_encoder") and "components" in record.spec.label
    assert numbers["retrieval_mrr_20"] > 0.6  # five strong conditions
    table = pd.read_csv(here / "runs/leaderboards/t__frozen.csv").set_index("model")
    assert table.loc["shuffled", "retrieval_mrr_20"] < 0.6  # chance of 5: .46
    # What is finished is not repeated, unless it is forced.
    files = {p: p.stat().st_mtime_ns for p in here.glob("runs/*/frozen.json")}
    assert len(files) == 4
    assert bench(capsys, "frozen", "--model", "pca_encoder", "--components", "8", *TASK)[:2] == (0, out)
    assert {p: p.stat().st_mtime_ns for p in here.glob("runs/*/frozen.json")} == files


@pytest.mark.slow
def test_a_pretrained_encoder_keeps_its_checkpoint_for_the_run(capsys, here):
    from bench.models.ssl.mae import MAE as Model

    code, out, err = bench(capsys, *MAE, *TASK)
    assert code == 0, err
    record, _ = check_outcome(here, "mae", out, err, "t", 16)
    assert len(list(here.glob("runs/encoders/mae-*/last.ckpt"))) == 1
    # The run of the same model goes on from it: no step of pretraining is taken.
    steps, step = [], Model.training_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Model, "training_step", lambda *a, **k: steps.append(1) or step(*a, **k))
        head = ["--head_steps", "10", "--head_seeds", "1", "--tracking", "off"]
        code, out, err = bench(capsys, "run", *MAE[1:], *head, *TASK)
    assert code == 0, err
    assert not steps and len(list(here.glob("runs/encoders/*"))) == 1
    run = json.loads((here / last(out)).read_text())
    assert run["spec"]["split_id"] == record.spec.split_id
    # Another pretraining has another checkpoint.
    assert bench(capsys, *MAE, "--mask", "0.3", *TASK)[0] == 0
    assert len(list(here.glob("runs/encoders/mae-*/last.ckpt"))) == 2


@pytest.mark.ci
def test_several_seeds_are_one_row(capsys, here):
    code, out, err = bench(capsys, "frozen", "--model", "random_encoder", "--width", "16", "--seed", "1-2", *TASK)
    assert code == 0, err
    table = pd.read_csv(here / "runs/leaderboards/t__frozen.csv")
    assert table["n_seeds"].tolist() == [2] * 4
    found = store.collect(TRACK, [here / "runs/leaderboards"])
    assert [entry.record.spec.model for entry in found].count("random_encoder") == 2
    assert (here / last(out)).is_file()


@pytest.mark.ci
def test_a_tampered_csv_fails_the_check(capsys, here):
    assert bench(capsys, "frozen", "--model", "pca_encoder", "--components", "8", *TASK)[0] == 0
    check = ["leaderboard", "--leaderboards", "runs/leaderboards", "--check"]
    code, out, err = bench(capsys, *check)
    assert (code, out) == (0, "") and "1 CSVs equal" in err
    csv = here / "runs/leaderboards/t__frozen.csv"
    table = pd.read_csv(csv)
    table.loc[0, "retrieval_mrr_20"] += 0.01
    table.to_csv(csv, index=False)
    refuse(capsys, check, "t__frozen.csv", "bench leaderboard")
    code, out, err = bench(capsys, *check[:-1])  # regenerated from the records
    assert code == 0 and out.endswith("runs/leaderboards/t__frozen.csv\n")
    assert bench(capsys, *check)[0] == 0
    csv.unlink()
    refuse(capsys, check, "t__frozen.csv")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--model", "train_mean"], ["model 'train_mean'", "no encoder", "bench list models"]),
        (["--model", "linear"], ["model 'linear'", "no encoder"]),
        (["--model", "pca_encodr"], ["unknown model 'pca_encodr'", "'pca_encoder'"]),
        ([], ["bench frozen", "--model"]),
        (["--model", "pca_encoder", "--control-fold", "1"], ["control fold 0"]),
        pytest.param(
            ["--model", "mae", "--mask", "2"],
            ["model 'mae'", "mask is 2; expected a number above 0 and below 1"],
        ),
    ],
    ids=["baseline", "another", "misspelt", "none", "fold", "argument"],
)
def test_what_cannot_be_frozen(capsys, here, argv, words):
    refuse(capsys, ["frozen", *argv, *TASK], *words)
    assert not (here / "runs" / "leaderboards").exists()


def test_help_lists_the_flags_of_the_model(capsys, here):
    with pytest.raises(SystemExit) as left:
        bench(capsys, "frozen", "--model", "mae", "--help")
    out = capsys.readouterr().out
    assert left.value.code == 0 and "usage: bench frozen" in out and "--mask" in out and "--momentum" in out
    for flag in ("--tracking", "--head-seed", "--control-fold"):  # it has no head, and its boards know one fold
        assert flag not in out


@pytest.mark.slow
def test_the_built_in_data(capsys, here):
    code, out, err = bench(capsys, "frozen", "--model", "pca_encoder")
    assert code == 0, err
    _, numbers = check_outcome(here, "pca_encoder", out, err, "simulated", 50)
    assert numbers[PRIMARY] > 3 * numbers[CHANCE[PRIMARY]]
    code, out, err = bench(capsys, *MAE)
    assert code == 0, err
    check_outcome(here, "mae", out, err, "simulated", 16)
    assert bench(capsys, "leaderboard", "--leaderboards", "runs/leaderboards", "--check")[0] == 0
