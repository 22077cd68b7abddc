"""The card of CPJUMP1 against the layout of its repository: which plates, which targets, and what it says to fetch."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from command import bench as cli
from plates import SUFFIX, frame_of, small

from bench.core.errors import BenchError
from bench.data.profiles.card import find_card
from bench.data.profiles.experiment import plates_of
from bench.data.profiles.load import load_wells
from bench.data.profiles.wells import Group

BATCH = "2020_11_04_CPJUMP1"
#: Plates of the batch as benchmark/output/experiment-metadata.tsv lists them: what was done, cells, hours, density,
#: antibiotics, line, and the ends of their barcodes.
PLATES = [
    ("compound", "A549", 24, 100, "absent", "Parental", "16991 16992 16993 16994"),
    ("compound", "U2OS", 24, 100, "absent", "Parental", "16995 17024 17025 17026"),
    ("compound", "A549", 48, 80, "absent", "Parental", "17008 17009"),
    ("compound", "U2OS", 48, 100, "absent", "Parental", "17010 17011 17012 17013"),
    ("compound", "A549", 48, 100, "absent", "Parental", "17015 17016 17017 17019"),
    ("compound", "A549", 48, 100, "absent", "Cas9", "17050 17051 17052 17053"),
    ("compound", "A549", 48, 120, "absent", "Parental", "17054 17055"),
    ("crispr", "U2OS", 144, 100, "absent", "Cas9", "16996 16997 16998 16999"),
    ("crispr", "A549", 144, 100, "absent", "Cas9", "17000 17003 17004 17005"),
    ("crispr", "A549", 144, 100, "Puromycin", "Cas9", "17001 17002"),
    ("crispr", "A549", 96, 100, "absent", "Cas9", "18041 18042 18043 18044"),
    ("crispr", "U2OS", 96, 100, "absent", "Cas9", "18045 18046 18047 18048"),
    ("orf", "A549", 96, 100, "absent", "Parental", "17006 18050"),
    ("orf", "A549", 48, 100, "absent", "Parental", "17020 17021"),
    ("orf", "U2OS", 48, 100, "absent", "Parental", "17022 17023"),
    ("orf", "U2OS", 96, 100, "absent", "Parental", "18039 18040"),
    ("orf", "A549", 96, 100, "Blasticidin", "Parental", "18049"),
]


def metadata(folder, plates=PLATES):
    """Write the table of plates, with its other columns, and rows of the same plates in other batches."""
    rows = []
    for batch, day in ((BATCH, "Day0"), (f"{BATCH}_DL", "Day0"), ("2020_11_19_TimepointDay4", "Day4")):
        for kind, cell, hours, density, antibiotics, line, ends in plates:
            for end in ends.split():
                layout = f"JUMP-Target-1_{kind}_platemap"
                rows.append((batch, layout, f"BR001{end}", kind, cell, hours, density, antibiotics, line, day, 1))
    names = "Batch Plate_Map_Name Assay_Plate_Barcode Perturbation Cell_type Time Density Antibiotics Cell_line"
    path = folder / "benchmark" / "output" / "experiment-metadata.tsv"
    path.parent.mkdir(parents=True)
    columns = [*names.split(), "Time_delay", "Times_imaged"]
    pd.DataFrame(rows, columns=columns).to_csv(path, sep="\t", index=False)


def test_the_plates_are_those_of_the_published_evaluations(tmp_path):
    metadata(tmp_path)
    found = plates_of(tmp_path, find_card("cpjump1"))
    assert len(found) == 40 and "40 plates" in find_card("cpjump1").fetch
    counts = found.groupby(["modality", "time"]).size().to_dict()
    assert counts == {
        **{("compound", "short"): 8, ("compound", "long"): 8, ("crispr", "short"): 8, ("crispr", "long"): 8},
        **{("orf", "short"): 4, ("orf", "long"): 4},
    }
    assert set(found["batch"]) == {BATCH} and set(found["cell"]) == {"A549", "U2OS"}
    assert {"BR00117050", "BR00117001", "BR00117008", "BR00118049"}.isdisjoint(found["plate"])
    assert found.set_index("plate")["time"][["BR00116991", "BR00118041", "BR00117006"]].tolist() == [
        "short",
        "short",
        "long",
    ]


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A plate of compounds and one of guides where the repository has them; profiles there list no targets."""
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    folder, wells = tmp_path / "cpjump1", small(plates=1)
    metadata(folder, [("compound", "U2OS", 24, 100, "absent", "Parental", "16995"), (*PLATES[7][:-1], "16996")])
    for plate, own in (("BR00116995", "P1CO1"), ("BR00116996", "P1CR1")):
        path = folder / "profiles" / BATCH / plate / f"{plate}{SUFFIX}"
        path.parent.mkdir(parents=True)
        frame = frame_of(wells, own).assign(Metadata_Plate=plate).drop(columns="Metadata_target_list")
        frame.to_csv(path, index=False)
    lists = {}
    for name, targets, control in zip(wells.perturbation, wells.targets, wells.control):
        if not control:
            lists[name] = "|".join(targets)
    table = pd.DataFrame({"broad_sample": [*lists, None], "target_list": [*lists.values(), None]})
    path = folder / "benchmark" / "input" / "JUMP-Target-1_compound_metadata_additional_annotations.tsv"
    path.parent.mkdir(parents=True)
    table.assign(control_type="trt").to_csv(path, sep="\t", index=False)
    # Another table of the repository, with older names.
    older = folder / "metadata" / "external_metadata" / "JUMP-Target-1_compound_metadata_targets.tsv"
    older.parent.mkdir(parents=True)
    table.assign(target_list="OLD").to_csv(older, sep="\t", index=False)
    return folder, wells, path, older


def test_wells_targets_and_controls_are_found_where_the_repository_has_them(repository):
    folder, wells, _, _ = repository
    found = load_wells("cpjump1")
    assert found.groups == (Group("U2OS", "compound", "short"), Group("U2OS", "crispr", "long"))
    assert (found.batch == BATCH).all() and not found.missing
    of = {(m, w): t for m, w, t in zip(wells.modality, wells.well, wells.targets)}
    treated = np.flatnonzero(~found.control)
    assert len(treated) and all(found.targets[i] == of[found.modality[i], found.well[i]] for i in treated)
    assert found.control.sum() == wells.control.sum()


def test_older_names_stand_in_and_compounds_without_a_table_are_named(repository, capsys):
    _, _, path, older = repository
    path.unlink()
    found = load_wells("cpjump1")
    assert {found.targets[i] for i in np.flatnonzero((found.modality == "compound") & ~found.control)} == {("OLD",)}
    older.unlink()
    load_wells("cpjump1")
    said = " ".join(capsys.readouterr().err.split())
    assert "no file of targets fits '**/*_compound_metadata_additional_annotations.tsv'" in said
    assert "1 plates of compounds know no target" in said


NEEDED = ("experiment-metadata.tsv", "_additional_annotations.tsv", "aws s3 cp", "40 plates", "well_position", SUFFIX)


def test_what_is_not_there_is_named_with_what_to_fetch_and_how(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    code, out, err = cli(capsys, "profiles", "--data", "cpjump1")
    said = " ".join(err.split())
    assert code == 2 and not out and f"put it at {tmp_path}/cpjump1" in said
    assert all(word in said for word in NEEDED)
    (tmp_path / "cpjump1").mkdir()
    with pytest.raises(
        BenchError, match=r"no file fits '\*\*/experiment-metadata.tsv'.* It needs: \(1\) a file <plate>"
    ):
        load_wells("cpjump1")
    metadata(tmp_path / "cpjump1")
    with pytest.raises(BenchError, match="none of the 40 plates .* It needs: .*git lfs pull"):
        load_wells("cpjump1")
