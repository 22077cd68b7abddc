"""Experiments as CPJUMP1 lays them out, single tables, embeddings, lists of wells; and what is refused."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
from plates import SUFFIX, frame_of, small, write_embeddings, write_experiment

from bench.core.errors import BenchError
from bench.data.profiles import card as cards
from bench.data.profiles.load import Asked, load_wells, name_of
from bench.data.profiles.universe import listed
from bench.data.profiles.wells import Group


@pytest.fixture(scope="module")
def wells():
    return small()


@pytest.fixture
def card(tmp_path, wells):
    return write_experiment(tmp_path / "screen", wells)


def _order(wells):
    return np.lexsort((wells.well, wells.plate))


def test_an_experiment_is_read_as_it_was_written(card, wells):
    found = load_wells(str(card))
    a, b = _order(found), _order(wells)
    assert np.abs(found.x[a] - wells.x[b]).max() < 1e-9 * np.abs(wells.x).max()
    for name in ("plate", "well", "perturbation", "control", "modality", "cell", "time"):
        assert (getattr(found, name)[a] == getattr(wells, name)[b]).all(), name
    assert [found.targets[i] for i in a] == [wells.targets[i] for i in b]
    assert not found.missing
    assert {str(plate) for plate in found.plate}.isdisjoint({"other1", "other2", "other3", "other4"})
    assert found.groups == (Group("line1", "compound", "long"), Group("line1", "crispr", "short"))


def test_missing_and_empty_plates_are_named_and_the_others_read(tmp_path, wells):
    card = write_experiment(tmp_path / "screen", wells, left_out=["P1CO1"])
    path = next((tmp_path / "screen").glob(f"**/P1CR2{SUFFIX}"))
    pd.read_csv(path).iloc[:0].to_csv(path, index=False)
    found = load_wells(str(card))
    assert {(plate.plate, plate.why) for plate in found.missing} == {("P1CO1", "missing"), ("P1CR2", "empty")}
    assert set(found.plate.tolist()) == {"P1CO2", "P1CR1"}


def test_batches_are_a_flag_and_another_data_set(card, tmp_path):
    own = load_wells(str(card))
    assert load_wells(str(card), Asked(batches=["B1"])).name == own.name == name_of(str(card), ["B1"])
    with pytest.raises(BenchError, match="none of the 1 plates"):
        load_wells(str(card), Asked(batches=["B2"]))
    with pytest.raises(BenchError, match="no plate with Batch = B9; there are B1, B2"):
        load_wells(str(card), Asked(batches=["B9"]))


def test_profiles_do_not_read_embeddings_and_embeddings_do(card, tmp_path, wells):
    """CellCLIP's script reads embeddings in profile mode too: here a broken file of them is not even opened."""
    bad = tmp_path / "screen" / "P1CO1.h5"
    bad.write_bytes(b"no HDF5 at all")
    profile = load_wells(str(card))
    with pytest.raises(BenchError, match=r"P1CO1\.h5: not an HDF5 file of embeddings"):
        load_wells(str(card), Asked(features="embedding"))
    bad.unlink()
    write_embeddings(tmp_path / "latents", wells)
    found = load_wells(str(card), Asked(features="embedding", embeddings=tmp_path / "latents"))
    assert found.x.shape == (len(profile), 5)
    assert np.abs(found.x - profile.x[:, :5]).max() < 1e-9 * np.abs(profile.x).max()
    assert found.hash == profile.hash
    assert found.source
    assert not profile.source
    with pytest.raises(BenchError, match="--embeddings goes with --features embedding"):
        load_wells(str(card), Asked(embeddings=tmp_path / "latents"))


def test_generated_wells_have_the_embeddings_that_are_given_and_no_others(tmp_path):
    """A row of the features under the name 'embedding' would be a lie."""
    name = "simulated_profiles:cells=1,plates=2,compounds=6,targets=3"
    plain = load_wells(name)
    with pytest.raises(BenchError, match="simulated_profiles.*name the folder of the embeddings"):
        load_wells(name, Asked(features="embedding"))
    with pytest.raises(BenchError, match="--embeddings goes with --features embedding"):
        load_wells(name, Asked(embeddings=tmp_path))
    with pytest.raises(BenchError, match="no file fits"):
        load_wells(name, Asked(features="embedding", embeddings=tmp_path))
    write_embeddings(tmp_path / "latents", plain)
    found = load_wells(name, Asked(features="embedding", embeddings=tmp_path / "latents"))
    assert np.allclose(found.x, plain.x[:, :5], rtol=1e-12, atol=1e-12) and found.source and found.hash == plain.hash


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda h: h.__delitem__("well_position"), "has no 'well_position'. Expected embeddings, well_position"),
        (lambda h: _change(h, "well_position", lambda w: [b"Z99", *w[1:]]), "no embedding of 1 of the"),
        (lambda h: _change(h, "well_position", lambda w: [w[1], *w[1:]]), "a well is there more than once"),
        (lambda h: _change(h, "broad_sample", lambda w: w[::-1]), "here and '.*' in the profiles"),
        (lambda h: h["embeddings"].__setitem__((0, 0, 0), np.nan), "is NaN or infinite"),
        (lambda h: _change(h, "broad_sample", lambda w: w[:-1]), "embeddings, .* positions, .* perturbations"),
    ],
)
def test_embeddings_that_do_not_fit(card, tmp_path, wells, spoil, message):
    write_embeddings(tmp_path / "latents", wells)
    with h5py.File(tmp_path / "latents" / "P1CR1.h5", "r+") as handle:
        spoil(handle)
    with pytest.raises(BenchError, match=message):
        load_wells(str(card), Asked(features="embedding", embeddings=tmp_path / "latents"))


def _change(handle, name, how):
    words = how(list(handle[name][()]))
    del handle[name]
    handle[name] = words


def test_lists_of_wells(tmp_path, wells):
    plates = list(dict.fromkeys(wells.plate.tolist()))
    rows = [(plate, well) for plate, well in zip(wells.plate.tolist(), wells.well.tolist()) if well[0] in "ABC"]
    keys = tmp_path / "keys.csv"
    pd.DataFrame({"SAMPLE_KEY": [f"{plate}-{well}-1" for plate, well in rows]}).to_csv(keys, index=False)
    table = tmp_path / "table.csv"
    pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well"]).to_csv(table, index=False)
    kept = listed(wells, keys)
    assert (kept == np.isin(np.char.array(wells.well.astype(str)).ljust(1).astype("U1"), ["A", "B", "C"])).all()
    assert (listed(wells, table) == kept).all()
    # As CellCLIP's filter does it: a plate keeps the positions that all later lists of its group have too.
    lists = {"P1CO1": set("AB"), "P1CO2": set("BC"), "P1CR1": set("A"), "P1CR2": set("A")}
    some = [(p, w) for p, w in zip(wells.plate.tolist(), wells.well.tolist()) if w[0] in lists[p]]
    pd.DataFrame(some, columns=["plate", "well"]).to_csv(table, index=False)
    own, accumulated = (listed(wells, table, how) for how in ("wells", "accumulated"))
    at = {p: {w for q, w in some if q == p} for p in plates}
    assert set(wells.well[own & (wells.plate == "P1CO1")]) == at["P1CO1"]
    assert set(wells.well[accumulated & (wells.plate == "P1CO1")]) == at["P1CO1"] & at["P1CO2"] != at["P1CO1"]
    assert set(wells.well[accumulated & (wells.plate == "P1CO2")]) == at["P1CO2"]
    with pytest.raises(BenchError, match="lists none of the wells"):
        listed(replace(wells, plate=np.char.add(wells.plate, "x")), keys)


def _table(tmp_path, wells, change=lambda frame: frame, name="plate.csv"):
    frame = change(frame_of(wells, "P1CO1"))
    path = tmp_path / name
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_csv(path, index=False)
    return str(path)


@pytest.mark.parametrize("name", ["plate.csv", "plate.csv.gz", "plate.parquet"])
def test_one_table(tmp_path, wells, name):
    found = load_wells(_table(tmp_path, wells, name=name))
    part = wells.take(np.flatnonzero(wells.plate == "P1CO1"))
    assert (found.perturbation == part.perturbation).all()
    assert found.targets == part.targets
    assert (found.control == part.control).all()


def test_lists_of_targets(tmp_path, wells):
    def lists(frame):
        return frame.assign(Metadata_target_list=[x.split("|") if x else None for x in frame["Metadata_target_list"]])

    part = wells.take(np.flatnonzero(wells.plate == "P1CO1"))
    assert load_wells(_table(tmp_path, wells, lists, "plate.parquet")).targets == part.targets


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: pd.concat([f, f.iloc[:2]]), "2 wells are there more than once"),
        (
            lambda f: f[f["Metadata_control_type"] != "negcon"],
            "no negative controls among 24 wells. Name their label by 'control' in the card",
        ),
        (
            lambda f: f.assign(Feature_003=[np.nan] + [0.0] * (len(f) - 1)),
            "1 of 40 features are NaN, infinite or beyond 1e.18 in some well.*'Feature_003' in 1 wells.*--nan drop",
        ),
        (lambda f: f.assign(Feature_003="high"), "column 'Feature_003' holds 'high', no number"),
        (lambda f: f.drop(columns="Metadata_Well"), "no column 'Metadata_Well'. There are: Metadata_Plate"),
        (lambda f: f[[c for c in f if c.startswith("Metadata_")]], "no features"),
    ],
)
def test_tables_that_are_refused(tmp_path, wells, change, message):
    with pytest.raises(BenchError, match=message):
        load_wells(_table(tmp_path, wells, change))


def test_features_that_are_nan_can_be_left_out(tmp_path, wells):
    path = _table(tmp_path, wells, lambda f: f.assign(Feature_003=[np.nan] + [0.0] * (len(f) - 1)))
    found = load_wells(path, Asked(nan="drop"))
    assert found.x.shape[1] == 39
    assert found.notes == ("1 features are NaN in some well and are left out",)


def test_targets_that_mix_lists_and_text(wells):
    from bench.data.profiles.tables import targets_of

    frame = pd.DataFrame({"t": [["A"], "B|C", None]})
    with pytest.raises(BenchError, match=r"x: column 't' mixes lists and text: row 0 holds a list, row 1 'B\|C'"):
        targets_of(frame, "t", "|", "x")


def test_an_empty_table_is_a_group_that_is_empty(tmp_path):
    for content in ("", "Metadata_Plate,Metadata_Well,F1\n"):
        path = tmp_path / "none.csv"
        path.write_text(content)
        found = load_wells(str(path))
        assert (len(found), found.missing[0].why) == (0, "empty")


@pytest.mark.parametrize("name", cards.names())
def test_every_card_is_valid_and_says_where_its_data_are(name, monkeypatch):
    card = cards.find_card(name)
    assert card.description
    assert card.licence
    if card.source != "simulated_profiles":
        assert card.url
        assert card.citation
        monkeypatch.delenv("BENCH_DATA", raising=False)
        with pytest.raises(BenchError, match="set BENCH_DATA=FOLDER"):
            load_wells(name)


def test_simulated_parameters_by_name():
    source = "simulated_profiles:plates=1,cells=1,seed=3"
    found = load_wells(source)
    assert found.name == name_of(source) == "simulated_profiles_plates1_cells1_seed3"
    with pytest.raises(BenchError, match="Parameters: seed, cells"):
        load_wells("simulated_profiles:rows=3")
    with pytest.raises(BenchError, match="'simulated_profiles:cells=x': cells is 'x'; expected an integer"):
        load_wells("simulated_profiles:cells=x")
    with pytest.raises(BenchError, match="Did you mean 'lincs_plate'"):
        load_wells("lincs_plat")
