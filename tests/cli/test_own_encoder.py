"""An encoder of one's own, as a user brings it: export the cells, write their latents, get a row on either track."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
import screens
from command import bench, last, refuse

import bench as api
from bench.core.errors import BenchError
from bench.data.datamodule import PerturbationDataModule
from bench.models import registry
from bench.results import records
from bench.results.tables import to_long
from bench.tracks import registry as tracks

TASK = ["--data", "card.yaml", "--split-file", "split.json", "--seed", "1"]
HEAD = ["--head_steps", "20", "--head_seeds", "1", "--head_width", "32", "--head_depth", "1", "--action_width", "16"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A screen with its card and split, and the cells that 'bench data export --all' writes."""
    made = tmp_path_factory.mktemp("own")
    counts, obs = screens.tiny_counts(cells=40)
    screens.write_h5ad(made / "tiny.h5ad", counts.astype("float32"), obs)
    (made / "card.yaml").write_text(
        "name: tiny\nsource: tiny.h5ad\nexpression: counts\n"
        "columns: {condition: condition, context: context, batch: batch}\n"
    )
    split = screens.hand_split(screens.screen(counts, obs))
    (made / "split.json").write_text(json.dumps({p: getattr(split, p) for p in ("train", "val", "test")}))
    return made


@pytest.fixture
def here(folder, tmp_path, monkeypatch):
    for name in ("tiny.h5ad", "card.yaml", "split.json"):
        (tmp_path / name).symlink_to(folder / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_LEADERBOARDS", str(tmp_path / "none"))
    return tmp_path


@pytest.fixture
def task(here):
    return api.load_task("card.yaml", seed=1, split_file="split.json")


def pca_latents(task, cells):
    """What pca_encoder makes of the exported cells, by another way: their expression times its axes."""
    model = registry.load("pca_encoder")(components=8)
    model.freeze_encoder(PerturbationDataModule(task, seed=1))
    x = cells.X.toarray().astype(np.float64)
    return (x - model.encoder.mean.double().numpy()) @ model.encoder.axes.double().numpy().T


def test_exported_cells_are_all_there_without_labels(capsys, here, task):
    code, out, err = bench(capsys, "data", "export", "card.yaml", "task", "--all", *TASK[2:])
    assert code == 0 and out.split() == ["task/train.h5ad", "task/split.json", "task/cells.h5ad"], err
    cells, data = anndata.read_h5ad(here / "task/cells.h5ad"), task.dataset
    assert set(cells.obs.columns) == {"context", "batch"} and not {"split_id", "controls_used"} & set(cells.uns)
    rows = [data.barcode_index[b] for b in cells.obs_names]
    assert sorted(rows) == list(range(len(data.barcodes))) and rows != sorted(rows)
    np.testing.assert_array_equal(cells.X.toarray(), data.x[rows].toarray())
    assert list(cells.obs["batch"]) == [data.batches[i] for i in data.batch[rows]]
    order = np.array(rows)
    # The order says nothing of the condition: neighbours in it share theirs as often as any two cells do.
    same = (data.condition[order[1:]] == data.condition[order[:-1]]).mean()
    share = np.bincount(data.condition) / len(order)
    assert abs(same - (share**2).sum()) < 0.05


@pytest.mark.slow
def test_the_latents_of_an_encoder_of_ours_give_its_rows(capsys, here, task):
    assert bench(capsys, "data", "export", "card.yaml", "task", "--all", *TASK[2:])[0] == 0
    cells = anndata.read_h5ad(here / "task/cells.h5ad")
    cells.obsm["X_pca8"] = pca_latents(task, cells)
    cells.write_h5ad("mine.h5ad")
    own = ["--embeddings", "mine.h5ad", "--key", "X_pca8"]
    said = ["--pretrained-on", "33M human cells, as its author says"]
    code, out, err = bench(capsys, "frozen", *own, *said, *TASK)
    assert code == 0, err
    assert "note (mine): latents of a file; pretrained on: 33M human cells" in err and "mine" in out
    mine = records.read(here / last(out))
    assert mine.spec.model == mine.spec.label == "mine" and mine.kind == "model"
    assert str(here) not in mine.model_dump_json() and mine.spec.arguments["encoder_embeddings"].startswith(
        "mine.h5ad@"
    )
    code, out, err = bench(capsys, "frozen", "--model", "pca_encoder", "--components", "8", *TASK)
    assert code == 0, err
    same_values(here / "runs", "frozen", mine, records.read(here / last(out)))

    run = ["--tracking", "off", *HEAD, *TASK]
    code, out, err = bench(capsys, "run", "--encoder-embeddings=mine.h5ad", *own[2:], *said, "--name", "scgpt", *run)
    assert code == 0, err
    assert "scgpt" in out and "33M human cells" in err.replace("\n", " ")
    mine = records.read(here / last(out))
    assert mine.spec.label.startswith("scgpt[") and "embeddings" not in mine.spec.variant
    assert mine.hashes["embeddings"] and any("33M human cells" in line for line in mine.warnings)
    code, out, err = bench(capsys, "run", "--model", "pca_encoder", "--components", "8", *run)
    assert code == 0, err
    same_values(here / "runs", "record", mine, records.read(here / last(out)))

    # Finished, until the file is another; its place is no part of it.
    (here / "elsewhere").mkdir()
    (here / "mine.h5ad").rename(here / "elsewhere/mine.h5ad")
    own[1] = "elsewhere/mine.h5ad"
    before = sorted(here.glob("runs/*/frozen.json"))
    assert bench(capsys, "frozen", *own, *said, *TASK)[0] == 0
    assert sorted(here.glob("runs/*/frozen.json")) == before
    cells.obsm["X_pca8"] = cells.obsm["X_pca8"][:, :2]
    cells.write_h5ad(own[1])
    code, out, err = bench(capsys, "frozen", *own, *said, *TASK)
    assert code == 0 and records.read(here / last(out)).numbers["width"] == 2
    # The same in Python, of an object.
    result = api.score_embeddings(cells, task, "mine2", key="X_pca8")
    assert result.record.spec.label == "mine2"
    assert result.record.numbers == pytest.approx(records.read(here / last(out)).numbers)


def same_values(runs, file, mine, ours):
    """Two records with one value for every metric and unit, as far as rounding in float32 goes."""
    track = tracks.get(mine.track)
    frames = [to_long(records.read_table(track, runs / r.run_id / f"{file}.json", r)) for r in (mine, ours)]
    assert len(frames[0]) > 50
    # A response is trained on latents that went through float32 in a file: its last digits are another thread's.
    pd.testing.assert_frame_equal(*frames, rtol=1e-5, atol=1e-5)
    known = [{name: value for name, value in r.numbers.items() if value is not None} for r in (mine, ours)]
    assert known[0] == pytest.approx(known[1], rel=1e-5, abs=1e-5)


@pytest.mark.ci
def test_bad_input(capsys, here, task):
    data = task.dataset
    z = np.ones((len(data.barcodes), 2), np.float32)
    table = anndata.AnnData(obs=pd.DataFrame(index=data.barcodes), obsm={"X_a": z})
    table.write_h5ad("f (1).h5ad")
    run = ["run", "--encoder-embeddings"]
    refuse(capsys, [*run, "no.h5ad", "--key", "X_a", *TASK], "no such file: no.h5ad")
    refuse(capsys, [*run, "f (1).h5ad", "--key", "X_a", *TASK], "row name 'f (1)'", "--name")
    refuse(capsys, [*run, "f (1).h5ad", "--key", "X_b", "--name", "f", *TASK], "obsm['X_b']", "X_a")
    refuse(capsys, [*run, "f (1).h5ad", "--name", "jepa", *TASK], "row name 'jepa'")
    refuse(capsys, ["frozen", "--embeddings", "f (1).h5ad", "--key", "X_a", "--name", "pca", *TASK], "reference row")
    refuse(capsys, [*run, "f (1).h5ad", "--model", "linear", *TASK], "--encoder_embeddings")
    refuse(capsys, ["frozen", *TASK], "--model", "--encoder-embeddings")
    with pytest.raises(BenchError, match="a list holds no latents"):
        api.score_embeddings([1], task)
    for verb in ("run", "frozen"):
        code, out, _ = bench(capsys, verb, "--help")
        assert code == 0 and all(flag in out for flag in ("--encoder-embeddings", "--key", "--pretrained-on", "--name"))
