"""Records, their CSV and the table; the verb, with an encoder that needs no training."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import screens
from scipy.stats import t

from bench.cli.frozen import frozen
from bench.core.errors import BenchError
from bench.data.task import Task
from bench.results import everything, leaderboard, records, store
from bench.results.board import board
from bench.results.spec import RunSpec
from bench.results.trained import Trained
from bench.runner import encoder
from bench.tracks import registry
from bench.tracks.representation import protocol, record, references, run, table
from bench.tracks.representation.metrics import CHANCE, METRICS, NAMES, NUMBERS, PRIMARY
from bench.tracks.representation.scores import RepresentationScores
from bench.tracks.representation.track import TRACK


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


def fake(data, split, model, mrr, kind="model", values=None, **changes):
    """A record whose numbers are made up; ``values`` are those of the primary metric, ``mrr`` where absent."""
    spec = spec_of(Task(data, split), model, **changes)
    units = tuple((name, "line0") for name in split.test)
    per_unit = {name: np.full(len(units), 0.25) for name in METRICS}
    per_unit[PRIMARY] = np.full(len(units), mrr) if values is None else np.asarray(values, dtype=float)
    numbers = {**dict.fromkeys(NUMBERS, 0.25), "width": 8.0, "batch_probe_scaled": None}
    return record.make(data, spec, kind, RepresentationScores(units, per_unit, numbers), 1.0)


def put(folder, *items):
    store.add(folder, TRACK, items)


def rows_of(folder):
    """The board of the only split, by model."""
    ((_, items),) = leaderboard.group(leaderboard.collect(TRACK, [folder])).items()
    return board(items).assign(split="custom")


def regenerate(folder):
    return everything.regenerate(registry.tracks(), folder)[0]


def expected(folder):
    return leaderboard.expected_files(registry.tracks(), folder)


@pytest.fixture(scope="module")
def data():
    return screens.tiny_screen(cells=40)


@pytest.fixture(scope="module")
def folder_made(data, tmp_path_factory):
    """The records of :func:`folder`, made once."""
    made = tmp_path_factory.mktemp("folder")
    for seed, split in ((1, screens.hand_split(data)), (2, screens.hand_split(data, 2))):
        rows = (
            ("jepa", 0.4 + 0.1 * seed, "model"),
            ("mae", 0.6, "model"),
            ("pca", 0.9, "reference"),
            ("random", 0.1, "reference"),
            ("shuffled", 0.01, "reference"),
        )
        put(made, *(fake(data, split, model, mrr, kind) for model, mrr, kind in rows))
    regenerate(made)
    return made


@pytest.fixture
def folder(folder_made, tmp_path):
    """Three encoders and references on two split seeds, with their CSVs."""
    return Path(shutil.copytree(folder_made, tmp_path, dirs_exist_ok=True))


def test_rows_are_sorted_and_references_stand_last(folder):
    found = pd.read_csv(folder / "tiny__frozen.csv")
    assert found["model"].tolist() == ["mae", "jepa", "pca", "random", "shuffled"]
    assert found["rank"].tolist()[:2] == [1, 2]
    assert found["rank"].tolist()[:2] == found["rank_high"].tolist()[:2] == [1, 2]  # constant differences
    assert found[["rank", "rank_high"]][2:].isna().all(axis=None)
    assert found["n_seeds"].tolist() == [2] * 5
    jepa = found.set_index("model").loc["jepa"]
    assert jepa[PRIMARY] == pytest.approx(0.55)
    assert jepa[f"{PRIMARY}_sd"] == pytest.approx(0.1 / 2**0.5)
    assert found["batch_probe_scaled"].isna().all()
    assert set(NAMES) < set(found.columns)


def noisy(seed, mean, spread=0.2, n=10):
    """Values of ten units with exactly this mean."""
    values = np.random.default_rng(seed).normal(0, spread, n)
    return values - values.mean() + mean


def test_an_interval_is_students_over_units(data, tmp_path):
    """Under one seed, the bootstrap over units is the classical interval of a mean."""
    values = noisy(0, 0.5)
    put(tmp_path, fake(data, screens.hand_split(data), "mae", None, values=values))
    row = rows_of(tmp_path).iloc[0]
    low, high = t.interval(0.95, 9, values.mean(), values.std(ddof=1) / 10**0.5)
    assert row[PRIMARY] == pytest.approx(0.5)
    assert row[f"{PRIMARY}_ci_low"] == pytest.approx(low, abs=0.1 * (high - low))
    assert row[f"{PRIMARY}_ci_high"] == pytest.approx(high, abs=0.1 * (high - low))
    assert row["knn_purity_ci_low"] == row["knn_purity_ci_high"] == pytest.approx(0.25)  # every unit has the same


def test_rows_that_differ_by_chance_share_ranks(data, tmp_path):
    split, common = screens.hand_split(data), noisy(0, 0.0, 0.3)
    put(
        tmp_path,
        fake(data, split, "jepa", None, values=0.6 + common),  # better than mae on every unit alike
        fake(data, split, "mae", None, values=0.5 + common),
        fake(data, split, "vicreg", None, values=noisy(1, 0.55, 0.3)),  # somewhere between, on other units
        fake(data, split, "pca", 0.9, "reference"),
    )
    rows = rows_of(tmp_path).set_index("model")
    # jepa is above mae, as the difference is paired; vicreg cannot be told from either.
    assert rows.loc[["jepa", "vicreg", "mae"], "rank"].tolist() == [1, 1, 2]
    assert rows.loc[["jepa", "vicreg", "mae"], "rank_high"].tolist() == [2, 3, 3]
    assert "1-2" in table.as_text(rows.reset_index()) and "±" in table.as_text(rows.reset_index())


def test_a_unit_under_two_seeds_counts_once(data, tmp_path):
    """The same values twice are no more evidence than once; those of other units would be."""
    split, values = screens.hand_split(data), noisy(0, 0.5)
    again = split.model_copy(update={"seed": 2})
    put(tmp_path, fake(data, split, "mae", None, values=values))
    once = rows_of(tmp_path).iloc[0]
    put(tmp_path, fake(data, again, "mae", None, values=values))
    twice = rows_of(tmp_path).iloc[0]
    widths = [row[f"{PRIMARY}_ci_high"] - row[PRIMARY] for row in (once, twice)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


def test_with_few_units_there_is_no_interval_and_all_share_all_ranks(data, tmp_path):
    split = screens.hand_split(data)
    split = split.model_copy(update={"test": split.test[:7]})
    put(tmp_path, fake(data, split, "jepa", 0.9), fake(data, split, "mae", 0.1))
    rows = rows_of(tmp_path)
    assert rows[f"{PRIMARY}_ci_low"].isna().all()
    assert rows[["rank", "rank_high"]].to_numpy(dtype=int).tolist() == [[1, 2], [1, 2]]


def test_records_of_other_units_cannot_join(data, folder):
    split = screens.hand_split(data)
    other = split.model_copy(update={"test": ("G00+ctrl", *split.test[1:])})
    with pytest.raises(BenchError, match="different test conditions"):
        put(folder, fake(data, other, "vicreg", 0.5, split_id=split.split_id))


def test_the_csv_is_checked_against_its_records(folder):
    assert everything.check(registry.tracks(), folder) == (1, 0)
    assert regenerate(folder) == []
    path = folder / "tiny__frozen.csv"
    path.write_text(path.read_text().replace("0.25,", "0.26,", 1))
    with pytest.raises(BenchError, match="1 CSVs differ"):
        everything.check(registry.tracks(), folder)
    assert regenerate(folder) == [path]
    stray = folder / "other__frozen.csv"
    stray.write_text("x\n")
    with pytest.raises(BenchError, match="other__frozen"):
        everything.check(registry.tracks(), folder)
    assert regenerate(folder) == [stray]
    assert not stray.exists()


def test_a_row_without_all_seeds_is_not_ranked(data, folder):
    put(folder, fake(data, screens.hand_split(data), "vicreg", 0.99))
    rows = rows_of(folder).set_index("model")
    assert rows.loc["vicreg", "n_seeds"] == 1
    assert pd.isna(rows.loc["vicreg", "rank"])
    assert rows.loc["mae", "rank"] == 1
    assert "vicreg (1 of 2 seeds)" in table.warnings_of(rows.reset_index(), 2)[0]


def test_variants_are_rows_of_their_own_and_repeats_of_a_seed_are_averaged(data, folder):
    split = screens.hand_split(data)
    for changes in ({"variant": {"width": 9}, "arguments": {"width": 9}}, {"pretrain_seed": 77}):
        put(folder, fake(data, split, "mae", 0.2, **changes))
    rows = rows_of(folder).set_index("model")
    assert "mae[width=9]" in rows.index
    assert rows.loc["mae", PRIMARY] == pytest.approx(((0.6 + 0.2) / 2 + 0.6) / 2)


def test_records_of_another_split_cannot_join(data, folder):
    put(folder, fake(data, screens.hand_split(data), "vicreg", 0.5, split_id="0" * 16))
    with pytest.raises(BenchError, match="differ in split_id"):
        expected(folder)


def test_control_fold_1_is_not_shown(data, folder):
    before = rows_of(folder).drop(columns="run_ids")
    put(folder, fake(data, screens.hand_split(data, 1, 1), "mae", 0.2, control_fold=1))
    after = rows_of(folder).drop(columns=["run_ids", "control_sd"])
    pd.testing.assert_frame_equal(after, before.drop(columns="control_sd"))


def test_a_record_is_read_as_it_was_written(data, tmp_path):
    made, table_ = fake(data, screens.hand_split(data), "mae", 0.5)
    records.write(tmp_path / record.FILE, made, table_)
    assert records.read(tmp_path / record.FILE) == made
    again = records.read_table(TRACK, tmp_path / record.FILE, made)
    assert again.hash == table_.hash == made.values_hash
    assert again.column("all", "value", list(TRACK.metrics).index(PRIMARY)).tolist() == [0.5] * 10
    assert made.numbers["batch_probe_scaled"] is None


def test_values_of_a_trained_encoder_are_rounded_further(data):
    values = np.arange(1, 11) / 11
    plain, exact = fake(data, screens.hand_split(data), "mae", 0.5, values=values)
    scores = RepresentationScores(exact.task.units["all"], {PRIMARY: values}, {})
    trained = Trained(records.Budget(steps=100))
    made, table_ = record.make(data, plain.spec, "model", scores, 1.0, trained=trained)
    at = list(TRACK.metrics).index(PRIMARY)
    assert made.learned and made.values_hash == table_.hash
    assert np.abs(exact.column("all", "value", at) - values).max() < 1e-9
    assert 1e-8 < np.abs(table_.column("all", "value", at) - values).max() < 1.6e-5


def test_an_edited_record_is_refused(data, tmp_path):
    path = tmp_path / record.FILE
    records.write(path, *fake(data, screens.hand_split(data), "mae", 0.5))
    path.write_text(path.read_text().replace('"silhouette_batch": 0.25', '"silhouette_batch": 0.26'))
    with pytest.raises(BenchError, match="checksum"):
        records.read(path)


def test_a_record_without_values_has_neither_interval_nor_a_rank(data, tmp_path):
    """As protocol version 1 wrote them: shown until they are run again."""
    for model, mrr in (("jepa", 0.6), ("mae", 0.5)):
        new, _ = fake(data, screens.hand_split(data), model, mrr)
        put(tmp_path, (new.model_copy(update={"values_hash": None, "numbers": {**new.numbers, PRIMARY: mrr}}), None))
    rows = rows_of(tmp_path)
    assert rows["model"].tolist() == ["jepa", "mae"] and rows[PRIMARY].tolist() == pytest.approx([0.6, 0.5])
    assert rows["rank"].isna().all() and rows[f"{PRIMARY}_ci_low"].isna().all()


def test_the_table_fits_100_columns(folder):
    rows = rows_of(folder)
    rows["model"] = rows["model"].replace("jepa", "jepa[encoder=gene_transformer,width=256]")
    text = table.as_text(rows)
    assert max(map(len, text.splitlines())) <= 100
    assert "chance" in text
    for title in (*(column.title for column in TRACK.columns), "eff. rank"):
        assert title in text.splitlines()[0]


def test_the_track_describes_every_number():
    assert set(NAMES) == set(METRICS) | set(NUMBERS) and not set(METRICS) & set(NUMBERS)
    assert TRACK.primary in TRACK.metrics and TRACK.metrics[PRIMARY].direction == 1
    assert {column.metric for column in TRACK.columns} <= set(NAMES)
    assert set(CHANCE) | set(CHANCE.values()) <= set(NAMES)
    for name, info in {**METRICS, **NUMBERS}.items():
        assert info.name == name and info.formula and info.source and info.range[0] < info.range[1]
        assert name not in METRICS or (info.trap and info.chance_text), name


@pytest.mark.ci
def test_an_encoder_and_its_references_get_records(data, tmp_path, monkeypatch):
    split = screens.hand_split(data)
    embed, spec = references.random_projection(60, 5, 8), spec_of(Task(data, split))
    out, boards = tmp_path / "runs", tmp_path / "boards"
    path = run.run_encoder(Task(data, split), embed, spec, out, boards)
    assert path == out / spec.run_id / record.FILE
    found = {item.record.spec.label: item for item in leaderboard.collect(TRACK, [boards])}
    assert set(found) == {"jepa", *references.NAMES}
    assert found["jepa"].record == records.read(path) and found["jepa"].record.numbers["width"] == 8
    single = found["shuffled"].levels["retrieval_mrr_1"].mean
    assert single == pytest.approx(found["shuffled"].record.numbers["retrieval_mrr_chance"], abs=0.06)
    monkeypatch.setattr(protocol, "embed_split", lambda *_: pytest.fail("finished, and evaluated again"))
    assert run.run_encoder(Task(data, split), embed, spec, out, boards) == path


def test_a_reference_cannot_be_impersonated_nor_a_task_swapped(data, tmp_path):
    split = screens.hand_split(data)
    embed = references.random_projection(60, 5, 8)
    with pytest.raises(BenchError, match="name of a reference"):
        run.run_encoder(Task(data, split), embed, spec_of(Task(data, split), "pca"), tmp_path, tmp_path)
    with pytest.raises(BenchError, match="another data set or split"):
        run.run_encoder(Task(data, screens.hand_split(data, 2)), embed, spec_of(Task(data, split)), tmp_path, tmp_path)


class Frozen:
    """A projection in the place of a model's encoder."""

    inputs, trained = {}, Trained()

    def __init__(self, project):
        self.project = project

    def __call__(self, cells):
        return self.project(cells)


@pytest.mark.ci
def test_the_verb_prints_a_table_and_the_records_path(data, tmp_path, capsys, monkeypatch):
    def encoder_of(config, seeds, task):
        assert config.model == "train_mean" and task is None
        task, project = Task(data, screens.hand_split(data, seeds[0])), references.random_projection(60, seeds[1], 8)
        return task, Frozen(project), spec_of(task, config.model)

    monkeypatch.setattr(encoder, "encoder_of", encoder_of)
    where = [f"--out={tmp_path / 'runs'}", f"--leaderboards={tmp_path / 'boards'}", f"--published={tmp_path / 'none'}"]
    assert frozen(["--model", "train_mean", "--seed", "1-2", *where]) == 0
    captured = capsys.readouterr()
    assert re.search(rf"\n{tmp_path}/runs/[0-9a-f]{{12}}/frozen\.json\n$", captured.out)
    assert "seeds 1-2" in captured.out
    assert "CellJEPA" in captured.err
    assert "Look first at MRR" in captured.err
    found = pd.read_csv(tmp_path / "boards" / "tiny__frozen.csv")
    assert found["model"].tolist() == ["train_mean", *references.NAMES]
    assert (found["n_seeds"] == 2).all()
    assert np.isfinite(found[PRIMARY]).all()


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


@pytest.mark.ci
def test_the_protocol_loads_no_torch():
    slow = "{'torch', 'sklearn', 'lightning'}"
    track = "bench.tracks.representation"
    code = f"import sys, {track}.run, {track}.table; sys.exit(bool({slow} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
