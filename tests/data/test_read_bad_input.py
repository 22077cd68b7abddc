"""Bad files get one error that names the file and what is wrong in it; what is only unusual gets a note."""

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
from screens import GENES, tiny_counts, write_h5ad

from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.data.cards import Card, Columns
from bench.data.io.read import read_h5ad
from bench.data.values import normalise

COUNTS, OBS = tiny_counts(cells=12, controls=200)
X = normalise(COUNTS)
CARD = Card(name="t", source="t.h5ad", columns=Columns(context="context", batch="batch"))


def card(**fields):
    columns = {"context": "context", "batch": "batch", **fields.pop("columns", {})}
    return Card.model_validate({**CARD.model_dump(), "columns": columns, **fields})


def refuse(path, *words, card=CARD):
    with pytest.raises(BenchError) as caught:
        read_h5ad(path, card)
    for word in [str(path), *words]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def labelled(change):
    return OBS.assign(condition=[change.get(i, label) for i, label in enumerate(OBS["condition"])])


def spoilt(value, where=5):
    x = X.copy()
    x.data[where] = value
    return x


@pytest.fixture
def good(tmp_path):
    return write_h5ad(tmp_path / "t.h5ad", X, OBS)


def test_no_such_file(tmp_path):
    refuse(tmp_path / "gone.h5ad", "no such file")
    refuse(tmp_path, "a folder")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html>403", ["not an h5ad file", "web page"]),
        (b"", ["empty file"]),
        (b"condition,G00\nctrl,1\n", ["not an h5ad file", "condition,G00"]),
    ],
    ids=["html", "empty", "csv"],
)
def test_not_an_h5ad(tmp_path, content, words):
    (tmp_path / "t.h5ad").write_bytes(content)
    refuse(tmp_path / "t.h5ad", *words)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.99])
def test_truncated(good, kept):
    content = good.read_bytes()
    good.write_bytes(content[: int(kept * len(content))])
    refuse(good, "truncated", "again")


@pytest.mark.parametrize("key", ["X", "obs", "var"])
def test_hdf5_of_something_else(good, key):
    with h5py.File(good, "r+") as handle:
        del handle[key]
    refuse(good, f"it has no {key}")


def test_damaged_matrices(good):
    with h5py.File(good, "r+") as handle:
        handle["X/indices"][7] = 60
    refuse(good, "damaged", "X cannot be read")
    with h5py.File(good, "r+") as handle:
        del handle["X/indptr"]
    refuse(good, "damaged", "X cannot be read")


def test_matrix_and_tables_of_different_sizes(good):
    with h5py.File(good, "r+") as handle:
        del handle["X"]
        handle["X"] = np.ones((len(OBS) - 1, 60), dtype=np.float32)
    refuse(good, "damaged", str((len(OBS) - 1, 60)), str((len(OBS), 60)))
    with h5py.File(good, "r+") as handle:
        del handle["obs/condition"]
    refuse(good, "obs cannot be read")


@pytest.mark.parametrize("field", ["condition", "context", "batch", "gene", "total"])
def test_a_missing_column_is_named_with_those_there_are(good, field):
    table = "var" if field == "gene" else "obs"
    there = "There are: none" if field == "gene" else "There are: condition, context, batch"
    refuse(good, f"no column 'nope' in {table}", there, card=card(columns={field: "nope"}))


def test_values_that_are_no_expression(tmp_path):
    for value, word in ((np.nan, "NaN"), (np.inf, "infinite"), (-0.5, "negative")):
        message = refuse(write_h5ad(tmp_path / "t.h5ad", spoilt(value), OBS), "1 ", word, "in X")
        assert f"'{GENES[X.indices[5]]}'" in message


def test_counts_and_logs_mixed_up(tmp_path, good):
    refuse(good, "expression: counts", "non-integers", "expression: log1p", card=card(expression="counts"))
    path = write_h5ad(tmp_path / "c.h5ad", COUNTS * 5, OBS)
    refuse(path, "expression: log1p", f"up to {COUNTS.max() * 5}", "expression: counts")
    assert any("only integers" in n for n in read_h5ad(write_h5ad(path, COUNTS.minimum(15), OBS), CARD).notes)


def test_no_controls_and_nothing_else(tmp_path, good):
    most = OBS["condition"].replace("ctrl", "WT")
    path = write_h5ad(tmp_path / "n.h5ad", X, OBS.assign(condition=most))
    refuse(path, "no control cells", "control:", "'WT' (200)")
    assert read_h5ad(path, card(control=("WT",))).hash == read_h5ad(good, CARD).hash
    refuse(write_h5ad(path, X, OBS.assign(condition="ctrl")), "no perturbed cells")


def test_duplicates(tmp_path):
    path = tmp_path / "t.h5ad"
    refuse(
        write_h5ad(path, X, OBS, ["G01", *GENES[1:]]),
        "1 duplicate gene names in var_names (G01)",
        "var_names_make_unique",
    )
    twice = OBS.set_index(OBS.index.where(OBS.index != "cell00003", "cell00004"))
    refuse(write_h5ad(path, X, twice), "1 duplicate barcodes (cell00004)", "obs_names_make_unique")


@pytest.mark.parametrize("blank", [None, np.nan, "", "nan"])
@pytest.mark.parametrize("column", ["condition", "context", "batch"])
def test_cells_without_a_label(tmp_path, blank, column):
    obs = OBS.assign(**{column: [blank if i in (3, 8) else v for i, v in enumerate(OBS[column])]})
    refuse(write_h5ad(tmp_path / "t.h5ad", X, obs), "2 cells", f"obs['{column}']", "'cell00003'")


@pytest.mark.parametrize("label", ["G00+", "+G00", "G00++G01"])
def test_labels_with_a_separator_too_many(tmp_path, label):
    refuse(write_h5ad(tmp_path / "t.h5ad", X, labelled({3: label})), "obs['condition']", repr(label), "separator '+'")


def test_another_version_of_the_file(good):
    read_h5ad(good, card(sha256=sha256_file(good)))
    refuse(good, sha256_file(good), "0" * 64, card=card(sha256="0" * 64))


def test_filters_that_leave_nothing(good):
    refuse(good, "obs['batch'] is 'b9'", "b0", "b1", card=card(filter={"batch": "b9"}))
    refuse(good, "no column 'lane'", card=card(filter={"lane": "1"}))


@pytest.mark.parametrize("bad", [0, -1, np.nan])
def test_library_sizes_that_are_none(tmp_path, bad):
    sizes = np.asarray(COUNTS.sum(axis=1)).ravel().astype(float)
    sizes[4] = bad
    path = write_h5ad(tmp_path / "t.h5ad", COUNTS, OBS.assign(total=sizes))
    refuse(path, "1 cells", "obs['total']", "cell00004", card=card(expression="counts", columns={"total": "total"}))


def test_every_problem_is_reported_at_once(tmp_path):
    obs = OBS.assign(condition=OBS["condition"].replace("ctrl", "WT"), batch=[None, *OBS["batch"][1:]])
    path = write_h5ad(tmp_path / "t.h5ad", spoilt(np.nan), obs, ["G01", *GENES[1:]])
    refuse(path, "NaN", "duplicate gene names", "no control cells", "obs['batch']")


@pytest.mark.parametrize("shape", [(0, 60), (5, 0)])
def test_nothing_in_it(tmp_path, shape):
    refuse(write_h5ad(tmp_path / "t.h5ad", sp.csr_matrix(shape), OBS[: shape[0]], GENES[: shape[1]]), "empty")


def note_of(path, *words, card=CARD):
    assert any(all(word in note for word in words) for note in read_h5ad(path, card).notes)


def test_what_is_only_unusual_is_noted(tmp_path, good):
    path = tmp_path / "t.h5ad"
    assert read_h5ad(good, CARD).notes == ()
    renamed = OBS.assign(condition=OBS["condition"].str.replace("G00", "H00"))
    note_of(write_h5ad(path, X, renamed), "1 of 12", "not measured", "H00")
    note_of(good, "22 conditions have under 13 cells", "not evaluated", card=card(min_cells=13))
    silent = X.toarray()
    silent[:, [40, 50]] = 0
    note_of(write_h5ad(path, silent, OBS), "2 of 60 genes are never expressed")
    note_of(write_h5ad(path, X[1:], OBS[1:]), "control-limited", "line0", "199")
    note_of(write_h5ad(path, X.log1p(), OBS), "log-transformed twice")


def test_two_spellings_are_one_condition(tmp_path):
    pairs = [i for i, label in enumerate(OBS["condition"]) if label == "G00+G01"]
    singles = [i for i, label in enumerate(OBS["condition"]) if label == "G05+ctrl"]
    obs = labelled({pairs[0]: "G01+G00", singles[0]: "ctrl+G05"})
    dataset = read_h5ad(write_h5ad(tmp_path / "t.h5ad", X, obs), CARD)
    assert any("2 conditions have a second spelling" in note for note in dataset.notes)
    assert len(dataset.cells_of["G00+G01"]) == 12 and "G01+G00" not in dataset.conditions
    assert {"G00+G01", "G01+G00", "ctrl+G05", "G05+ctrl"} <= set(dataset.file_conditions)
