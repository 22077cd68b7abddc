"""Chemical screens: how doses, times and SMILES are read, and that doses of a compound stay in one part."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import screens
from rdkit import Chem, DataStructs
from rdkit.Chem import AllChem

from bench.core.conditions import CONTROL, INNER_PLUS, bare, constituents, written
from bench.core.errors import BenchError
from bench.data.cards import Card
from bench.data.datamodule import PerturbationDataModule
from bench.data.describe import describe
from bench.data.features.fingerprints import morgan, read_smiles
from bench.data.features.resolve import load_banks
from bench.data.load import inspect, load
from bench.data.splits import gears
from bench.data.splits.split import draw
from bench.data.task import Task

DOSES = ["0.1 uM", "1 uM", "10 uM"]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return screens.chemical_file(tmp_path_factory.mktemp("chemical"), cells=10, controls=40)


@pytest.fixture(scope="module")
def screen(path):
    return load(inspect(path)[1].card)


def card_of(folder, text):
    (folder / "chemical.yaml").write_text(f"source: chemical.h5ad\n{text}\n", encoding="utf-8")
    return load(inspect(folder / "chemical.yaml")[1].card)


def write(folder, change):
    """The screen with one dose column changed by a function of obs."""
    counts, obs = screens.chemical_counts(cells=10, controls=40)
    return screens.write_h5ad(folder / "chemical.h5ad", counts, change(obs))


def test_each_dose_of_a_compound_is_a_unit_and_vehicles_have_none(screen):
    compounds = [f"{group}-{ring}" for group in screens.GROUPS for ring in screens.RINGS]
    names = {f"{compound}+ctrl @ {dose}" for compound in compounds for dose in DOSES}
    assert set(map(written, screen.conditions)) == {CONTROL, *names}
    assert len(screen.units_of(screen.conditions)) == 2 * (3 * 35 + 1)
    assert set(screen.perturbations) == {CONTROL, *(f"{compound}+ctrl" for compound in compounds)}
    assert screen.smiles["amino-benzene"] == "Nc1ccccc1" and len(screen.smiles) == 35


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda obs: obs.assign(dose=obs["dose_uM"] * 1e3).drop(columns="dose_uM"), "dose_unit: nM"),
        (lambda obs: obs.rename(columns={"dose_uM": "conc"}).assign(conc=lambda t: t["conc"].astype(str) + "uM"), ""),
        (
            lambda obs: obs.assign(compound=[
                name if name == "DMSO" else f"{name} ({dose * 1e3:.0f} nM)"
                for name, dose in zip(obs["compound"], obs["dose_uM"], strict=True)
            ]).drop(columns="dose_uM"),
            r"dose: '\s*\((\d+) nM\)$'",
        ),
        (
            lambda obs: obs.assign(kind=np.where(obs["compound"] == "DMSO", "vehicle", "drug"),
                                   compound=obs["compound"].replace("DMSO", "none")),
            "kind: chemical\nrole: {column: kind, value: vehicle}",
        ),
    ],
)  # fmt: skip
def test_doses_stand_in_columns_or_labels_in_any_unit(change, text, screen, tmp_path):
    write(tmp_path, change)
    assert card_of(tmp_path, text) == screen


def test_a_screen_of_one_dose_is_what_it_is_without_that_column(tmp_path):
    counts, obs = screens.chemical_counts(doses=(10.0,), cells=6, controls=20)
    screens.write_h5ad(tmp_path / "chemical.h5ad", counts, obs)
    plain, dosed = card_of(tmp_path, "columns: {dose: null}"), card_of(tmp_path, "columns: {dose: dose_uM}")
    assert plain == dosed and plain.conditions == dosed.conditions and not dosed.treated
    assert any("10 uM; the same in all perturbed cells" in note for note in dosed.notes)


def test_times_are_a_part_of_units_too(tmp_path):
    write(tmp_path, lambda obs: obs.assign(time=np.where(np.arange(len(obs)) % 2, "6h", "1 day")))
    dataset = card_of(tmp_path, "")
    assert {"amino-benzene+ctrl @ 1 uM 6 h", "amino-benzene+ctrl @ 1 uM 24 h"} <= set(map(written, dataset.conditions))
    assert "times: 6, 24 h; 2 of each compound, median 2" in list(describe(tmp_path / "chemical.h5ad"))


def test_genetic_screens_keep_their_doses_in_words_only(tmp_path):
    write(tmp_path, lambda obs: obs.fillna({"dose_uM": 0.0}))
    dataset = card_of(tmp_path, "kind: genetic\ncolumns: {dose: dose_uM}")
    assert len(dataset.conditions) == 36 and not dataset.treated
    assert any("dose: obs['dose_uM'] has 4 values" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("bad", "message"),
    [("high", "have 'high' where a dose"), (0, "have '0' where a dose"), (np.nan, "have 'nan' where a dose")],
)
def test_a_dose_that_is_none_names_column_cells_and_compound(bad, message, tmp_path):
    def spoil(obs):
        first = (obs["compound"] == "amino-benzene") & (obs["dose_uM"] == 1)
        return obs.assign(dose=obs["dose_uM"].astype(object).where(~first, bad).astype(str))

    write(tmp_path, spoil)
    with pytest.raises(BenchError, match=rf"obs\['dose'\] 20 cells of 'amino-benzene' {message} \(pM, nM"):
        card_of(tmp_path, "columns: {dose: dose}")


def test_a_label_is_a_compound_whole(tmp_path):
    odd = {"amino-benzene": "JQ1 (+)", "chloro-benzene": "A+B", "cyano-benzene": "A_B", "hydroxy-benzene": "A"}
    write(tmp_path, lambda obs: obs.assign(compound=obs["compound"].replace(odd)))
    dataset = load(inspect(tmp_path / "chemical.h5ad")[1].card)
    found = {written(gene) for name in dataset.conditions for gene in constituents(name)}
    assert found >= set(odd.values()) and len(found) == 35


def test_check_prints_compounds_doses_and_smiles(path):
    text = "\n".join(describe(path))
    assert "compounds: 35 (amino-benzene" in text and "doses: 0.1, 1, 10 uM; 3 of each compound, median 3" in text
    assert "SMILES: of 35 of 35 compounds" in text and "units (condition and context): 210 of 210" in text


KINDS = ("simulation", "simulation:label_fraction=0.5", "few_shot_context:k=9", "double_holdout", "unseen_context")


@pytest.mark.parametrize("kind", KINDS)
def test_no_compound_is_on_both_sides(kind, screen, monkeypatch):
    def fifths(labels, kind, seed):
        assert CONTROL in labels and all(bare(label) == label for label in labels)
        names = [name for name in labels if name != CONTROL]
        return {"train": names[::2], "val": names[1::4], "test": names[3::4]}

    monkeypatch.setattr(gears, "cached_lists", fifths)
    split = draw(screen, kind, seed=3)
    part_of = {}
    for part in ("train", "val", "test"):
        units = split.units[part] if split.units else screen.units_of(getattr(split, part))
        for unit in units:
            assert part_of.setdefault((bare(unit.perturbation), unit.context), part) == part
        compounds = {(bare(unit.perturbation), unit.context) for unit in units}
        assert len(units) == 3 * len(compounds)  # with all of its doses
        note = f"{part}: {len({name for name, _ in compounds})} compounds, {len(units)} units"
        assert any(note in each for each in split.notes)
    assert not {bare(u.perturbation) for u in split.unlabelled} & set(map(bare, split.train))


def test_custom_lists_name_compounds_with_all_doses(screen, tmp_path):
    file = tmp_path / "lists.json"
    lists = {"train": ["amino-benzene", "cyano-benzene"], "test": ["chloro-benzene | line1", "amino-pyridine @ 100 nM"]}
    file.write_text(json.dumps(lists))
    split = draw(screen, "custom", custom=file)
    assert [len(split.units[part]) for part in ("train", "test")] == [12, 3 + 2]
    file.write_text(json.dumps({"train": ["amino-benzene @ 1 uM"], "test": ["amino-benzene @ 10 uM"]}))
    with pytest.raises(BenchError, match=r"'amino-benzene\+ctrl' is in 'train' at one dose or time and in 'test'"):
        draw(screen, "custom", custom=file)


def test_fingerprints_are_those_of_rdkit(screen):
    bank, invalid = morgan(screen.smiles, "here")
    assert bank.values.shape == (35, 1024) and not invalid
    for name in ("amino-benzene", "sulfamoyl-naphthalene"):
        whole = AllChem.GetMorganFingerprintAsBitVect(Chem.MolFromSmiles(screen.smiles[name]), 2, nBits=1024)
        expected = np.zeros(1024)
        DataStructs.ConvertToNumpyArray(whole, expected)
        assert np.array_equal(bank.lookup([name])[0][0], expected)


def test_a_table_of_smiles_and_a_bad_one_that_is_named(path, tmp_path):
    table = pd.DataFrame({"Compound": ["amino-benzene", "cyano-benzene", "(+)-X", "other"],
                          "SMILES": ["Nc1ccccc1", "N#Cc1ccc", "C", ""]})  # fmt: skip
    table.to_csv(tmp_path / "smiles.csv", index=False)
    assert set(read_smiles(tmp_path / "smiles.csv")) == {"amino-benzene", "cyano-benzene", f"({INNER_PLUS})-X"}
    card = inspect(path)[1].card.model_copy(update={"smiles": str(tmp_path / "smiles.csv")})
    dataset = load(card)
    lists = tmp_path / "lists.json"
    lists.write_text(json.dumps({"train": ["amino-benzene"], "test": ["cyano-benzene"]}))
    module = PerturbationDataModule(Task(dataset, draw(dataset, "custom", custom=lists)))
    (bank,) = load_banks("card", module)
    assert bank.genes == ("amino-benzene",) and "'cyano-benzene' (N#Cc1ccc)" in " ".join(bank.notes)
    (small,) = load_banks("fingerprints:radius=1,bits=64", module)
    assert small.width == 64
    with pytest.raises(BenchError, match="bits is 'x'; expected a whole number from 16 to 65536"):
        load_banks("fingerprints:bits=x", module)


def test_two_smiles_of_one_compound_are_refused(tmp_path):
    write(tmp_path, lambda obs: obs.assign(SMILES=np.where(obs.index == obs.index[-1], "CC", obs["SMILES"])))
    with pytest.raises(BenchError, match="several SMILES of 'sulfamoyl-thiophene'"):
        card_of(tmp_path, "")


def test_without_rdkit_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(BenchError, match=r"pip install 'perturb-ssl-bench\[chemistry\]'"):
        morgan({"A": "C"}, "here")


def test_units_of_a_card_are_checked():
    with pytest.raises(ValueError, match="expected one of pM, nM, uM, mM, M"):
        Card(name="x", source="x.h5ad", dose_unit="mg")
