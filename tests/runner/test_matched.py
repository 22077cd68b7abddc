"""``bench.profiles``: tables of wells in memory or in files, as rows and by label, as the command line has them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from command import ROOT
from command import bench as cli
from plates import frame_of, joined, small, write_experiment

import bench
from bench.core.errors import BenchError

FAST = {"null_size": 200, "published": False}
COLUMNS = {"modality": "Metadata_modality", "cell": "Metadata_cell", "time": "Metadata_time"}


def in_memory(wells):
    """All wells in one table, which says what each belongs to."""
    parts = []
    for plate in dict.fromkeys(wells.plate.tolist()):
        part = wells.take(np.flatnonzero(wells.plate == plate))
        of = {"Metadata_modality": part.modality, "Metadata_cell": part.cell, "Metadata_time": part.time}
        parts.append(frame_of(wells, plate).assign(**of))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def frame():
    return in_memory(small())


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def table(frame, out):
    return bench.profiles(frame, columns=COLUMNS, correction="plate_z", out=out, **FAST)


@pytest.mark.ci
def test_a_table_in_memory_gives_what_the_command_line_gives_of_files(frame, table, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    card = write_experiment(tmp_path / "screen", small())
    before = sorted(tmp_path.rglob("*"))
    again = bench.profiles(card, correction="plate_z", **FAST)
    assert sorted(tmp_path.rglob("*")) == before  # nothing is kept
    pd.testing.assert_frame_equal(table, again, atol=1e-6, rtol=0)
    words = ["--correction", "plate_z", "--null-size", "200", "--no-figures", "--csv", "--published", tmp_path / "none"]
    code, out, err = cli(capsys, "profiles", "--data", card, *words)
    assert code == 0, err
    theirs = pd.read_csv(tmp_path / "runs" / "leaderboards" / "screen__profiles.csv")
    assert len(theirs) == len(table) == 5
    both = table.assign(
        split=[
            ".".join([task, cell, *(part for pair in zip(kind.split("-"), time.split("-")) for part in pair)])
            for task, cell, kind, time in table[["task", "cell", "modality", "time"]].itertuples(index=False)
        ]
    ).merge(theirs, on="split", suffixes=("", "_csv"), validate="one_to_one")
    assert len(both) == 5
    for name in ("map_normalised", "map", "retrieved", "published_map", "plate_leak"):
        a, b = (both[column].astype(float) for column in (name, f"{name}_csv"))
        assert a.isna().equals(b.isna()) and np.abs(a - b).max() < 1e-5, name


def test_rows_in_the_order_of_the_questions(table):
    assert table["task"].tolist() == ["replicability", "target", "replicability", "target", "cross"]
    assert table["modality"].tolist() == ["compound", "compound", "crispr", "crispr", "compound-crispr"]
    assert (table["model"] == "profile[correction=plate_z,null_size=200]").all()
    assert (table["status"] == "").all() and table["plate_leak"].notna().sum() == 4


def test_labels_are_what_rows_are_means_of(frame, table, out, capsys):
    labels = bench.profiles(frame, columns=COLUMNS, by="label", correction="plate_z", out=out, **FAST)
    assert "is finished already" in capsys.readouterr().err  # what is kept is not made again
    assert labels["label"].str.startswith(("BRD", "guide", "GENE")).all()
    means = labels.groupby(["task", "modality"], sort=False)[["map_normalised", "map", "retrieved"]].mean()
    rows = table.set_index(["task", "modality"])
    for name in means:
        assert np.abs(means[name] - rows[name]).max() < 1e-6
    assert (labels.groupby(["task", "modality"], sort=False).size() == rows["n_labels"]).all()
    gone = labels[~labels["looked_for"]]
    assert len(gone) and (gone["map_normalised"] == 0).all() and not gone["retrieved"].any()
    assert np.abs(gone["map"] - gone["chance"]).max() < 1e-6


@pytest.mark.ci
def test_encoders_with_arguments_and_a_row_of_ones_own_name(frame):
    found = bench.profiles(
        frame,
        columns=COLUMNS,
        task="replicability",
        encoder="constant_encoder",
        name="flat",
        cell_type=["line1"],
        **FAST,
    )
    assert (found["model"] == "flat[null_size=200]").all() and (found["map_normalised"].abs() < 1e-9).all()
    with pytest.raises(BenchError, match="unknown argument of model 'jepa': 'epoch'"):
        bench.profiles(frame, columns=COLUMNS, encoder={"jepa": {"epoch": 2}}, **FAST)


@pytest.mark.ci
def test_orf_stays_orf(frame):
    """CellCLIP's script overwrites what a genetic perturbation is by 'crispr'."""
    orf = frame.assign(Metadata_modality=frame["Metadata_modality"].replace("crispr", "orf"))
    found = bench.profiles(orf, columns=COLUMNS, **FAST)
    assert found["modality"].tolist() == ["compound", "compound", "orf", "compound-orf"]
    assert found["task"].tolist() == ["replicability", "target", "replicability", "cross"]


def every_failure():
    """Cell lines each of which lacks something, beside one that lacks nothing, and which plates have no file."""
    parts, out = [], []
    for number, line in enumerate(("whole", "once", "bare", "apart", "idle", "gone")):
        wells = small(compounds=16, features=12, loud=0.0, plate_effect=0.0)
        kept = np.ones(len(wells), dtype=bool)
        compound, control = wells.modality == "compound", wells.control
        if line == "once":  # one well of each compound
            kept = ~compound | control | (wells.plate == "P1CO1")
        elif line == "bare":  # compounds without negative controls
            kept = ~(compound & control)
        elif line == "idle":  # compound plates of controls alone
            kept = ~compound | control
        elif line == "apart":  # guides of other genes than compounds act on
            other = [
                of if is_compound else tuple(f"X{t}" for t in of) for of, is_compound in zip(wells.targets, compound)
            ]
            wells = replace(wells, targets=tuple(other))
        wells = wells.take(np.flatnonzero(kept))
        names = np.array([f"{plate}L{number}" for plate in wells.plate.tolist()])
        parts.append(replace(wells, plate=names, cell=np.full(len(wells), line)))
        out += [name for name in np.unique(names).tolist() if line == "gone" and "CO" in name]
    return joined(parts), out


WANTED = {
    "whole": ["", "", "", "", ""],
    "once": ["unpaired", "unpaired", "", "", "unpaired"],
    "bare": ["control-limited", "control-limited", "", "", "control-limited"],
    "apart": ["", "", "", "", "no_overlap"],
    "idle": ["empty", "empty", "", "", "empty"],
    "gone": ["missing", "missing", "", "", "missing"],
}


@pytest.mark.ci
def test_every_failure_is_a_row_and_the_others_go_on(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wells, gone = every_failure()
    card = write_experiment(tmp_path / "screen", wells, left_out=gone)
    words = ["--correction", "plate_z", "--null-size", "200", "--no-figures", "--published", tmp_path / "none"]
    found = bench.profiles(card, **FAST)
    status = {line: part["status"].tolist() for line, part in found.groupby("cell")}
    assert status == WANTED
    lacking = found[found["status"] != ""]
    assert not (lacking["map_normalised"].abs() > 1e-9).any()  # without values, or at chance
    code, out, err = cli(capsys, "profiles", "--data", card, *words)
    assert code == 0, err
    # With a correction that needs them, compounds without controls cannot be matched by target either.
    assert out.count("control-limited") == 3 and all(one in out for one in ("unpaired", "no_overlap", "missing"))
    for reason in ("no file of plate P1CO1L5, P1CO2L5", "needs 4 negative controls", "no perturbation is in two wells"):
        assert reason in err
    assert "no well of idle compound long but negative controls" in err


MIXED = [["GENE01"], "GENE01|GENE02", None]


@pytest.mark.parametrize(
    ("change", "given", "message"),
    [
        (lambda f: f[f["Metadata_control_type"] != "negcon"], {}, "no negative controls among"),
        (lambda f: f.assign(Metadata_target_list=[MIXED[i % 3] for i in range(len(f))]), {}, "mixes lists and text"),
        (lambda f: f.assign(Feature_003=np.nan), {}, "'Feature_003' in 112 wells"),
        (lambda f: f.assign(Feature_003=1e300), {}, "NaN, infinite or beyond 1e\\+18"),
        (lambda f: pd.concat([f, f.iloc[:2]]), {}, "2 wells are there more than once"),
        (lambda f: pd.concat([f, f[["Feature_003"]]], axis=1), {}, "column 'Feature_003' is there more than once"),
        (lambda f: f.iloc[:0], {}, "has no rows"),
        (lambda f: f, {"columns": {"plates": "P"}}, "unknown column of wells 'plates'. Did you mean 'plate'"),
        (lambda f: f, {"columns": {"plate": "P"}}, "no column 'P'. There are: Metadata_Plate"),
        (lambda f: f, {"corection": "kpca"}, "unknown option 'corection'. Did you mean 'correction'"),
        (lambda f: f, {"correction": 3}, "option 'correction': expected text; it is 3"),
        (lambda f: f, {"by": "well"}, "unknown kind of table 'well'"),
        (lambda f: f, {"dataset": "../x"}, "cannot be part of a path"),
        (lambda f: f, {"control": "vehicle", "columns": {**COLUMNS, "control": "none"}}, "no negative controls"),
        (lambda f: f, {"features": "embedding"}, "name the folder of the embeddings"),
        (lambda f: f, {"batch": "B1"}, "is one table: leave out batch"),
        (lambda f: f, {"seed": []}, "at least one"),
        (lambda f: f.to_dict(), {}, "a dict holds no wells"),
        (lambda f: "lincs_plate", {"control": "DMSO"}, "columns and control are for a table in memory"),
    ],
)
def test_bad_input_is_one_error(frame, change, given, message):
    changed = change(frame)
    columns = {"columns": COLUMNS} if isinstance(changed, pd.DataFrame) else {}
    with pytest.raises(BenchError, match=message):
        bench.profiles(changed, **{**columns, **FAST, **given})


@pytest.mark.ci
def test_features_are_matched_without_torch(frame, tmp_path):
    """It takes longer to load than a plate to be matched."""
    frame.to_csv(tmp_path / "wells.csv", index=False)
    code = "import sys, bench; t = bench.profiles('wells.csv', null_size=200, published=False, task='target')\n"
    code += "print(len(t)); assert not {'torch', 'lightning'} & set(sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr
