"""The predictions file: what any tool may write, and what is refused."""

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from bench.core.conditions import from_label
from bench.core.errors import BenchError
from bench.core.units import Unit
from bench.results import predictions

CONDITIONS = ("A+B", "A+ctrl", "C+ctrl")
GENES = ("g0", "g1", "g2", "g3")
UNITS = tuple(Unit(name, "k562") for name in CONDITIONS)
#: Several contexts; the first condition was measured in one of them only.
SEVERAL = tuple(Unit(n, c) for n, c in (("A+B", "k562"), ("A+ctrl", "k562"), ("A+ctrl", "rpe1"), ("C+ctrl", "rpe1")))
MEANS = np.arange(12.0).reshape(3, 4)
EXPECTED = {"data_hash": "d" * 64, "split_id": "s" * 16}


def save(path, x, obs, genes=GENES, uns=None):
    frame = pd.DataFrame(obs)
    frame.index = [f"row{i}" for i in range(len(frame))]
    anndata.AnnData(x, obs=frame, var=pd.DataFrame(index=list(genes)), uns=uns or {}).write_h5ad(path)
    return path


def read(path, units=UNITS):
    return predictions.read(path, units, GENES, EXPECTED)


def refuse(path, *words, units=UNITS):
    with pytest.raises(BenchError) as caught:
        read(path, units)
    for word in [str(path), *words]:
        assert word in str(caught.value), str(caught.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "p.h5ad"


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csc_matrix, np.float32, np.asfortranarray])
def test_one_mean_per_condition(path, kind):
    found = read(save(path, kind(MEANS), {"condition": CONDITIONS}))
    np.testing.assert_array_equal(found.y_hat, MEANS)
    assert found.y_hat.dtype == np.float64
    assert found.fallbacks.tolist() == [0, 0, 0] and found.uns == {"controls_used": "unknown"}


def test_cells_are_averaged_whatever_the_order_of_rows_and_genes(path):
    rng = np.random.default_rng(0)
    cells = np.repeat(MEANS, [3, 1, 4], axis=0) + rng.normal(size=(8, 4))
    labels = np.repeat(CONDITIONS, [3, 1, 4])
    rows, columns = rng.permutation(8), rng.permutation(4)
    wide = np.column_stack([cells[rows][:, columns], rng.normal(size=8)])
    found = read(save(path, wide, {"condition": labels[rows]}, [*np.array(GENES)[columns], "other"]))
    expected = [cells[labels == name].mean(axis=0) for name in CONDITIONS]
    np.testing.assert_allclose(found.y_hat, expected, rtol=1e-12, atol=1e-12)


def test_other_conditions_are_ignored_even_when_broken(path):
    x = np.vstack([MEANS, np.full((2, 4), np.nan)])
    found = read(save(path, x, {"condition": [*CONDITIONS, "D+ctrl", "ctrl"]}))
    np.testing.assert_array_equal(found.y_hat, MEANS)


@pytest.mark.parametrize("labels", [("B+A", "ctrl+A", "C"), ("A+B", "A", "ctrl+C")])
def test_conditions_are_matched_as_sets(path, labels):
    np.testing.assert_array_equal(read(save(path, MEANS, {"condition": labels})).y_hat, MEANS)


def several(rows):
    """Rows (condition, context) in an order of their own, three cells each: every value names its cell."""
    labels = [unit for unit in rows for _ in range(3)]
    x = np.arange(len(labels) * 4.0).reshape(-1, 4)
    order = np.random.default_rng(0).permutation(len(labels))
    obs = {"condition": [labels[i][0] for i in order], "context": [labels[i][1] for i in order]}
    return x[order], obs, {unit: x[[i for i, each in enumerate(labels) if each == unit]].mean(axis=0) for unit in rows}


def test_each_unit_is_the_mean_of_its_own_rows(path):
    """Rows of other contexts do not count, not even where nothing else is asked of their condition."""
    x, obs, means = several([*SEVERAL, ("A+B", "rpe1"), ("C+ctrl", "k562")])
    found = read(save(path, x, obs), SEVERAL)
    np.testing.assert_allclose(found.y_hat, [means[unit] for unit in SEVERAL], rtol=1e-12, atol=1e-12)
    again = read(path, SEVERAL[::-1])
    np.testing.assert_array_equal(again.y_hat, found.y_hat[::-1])


def test_fallbacks_are_those_of_the_unit(path):
    obs = {"condition": ["A", "A", "A+B", "C"], "context": ["k562", "rpe1", "k562", "rpe1"], "fallbacks": [0, 1, 2, 0]}
    found = read(save(path, np.zeros((4, 4)), obs), SEVERAL)
    assert found.fallbacks.tolist() == [2, 0, 1, 0]


def test_a_file_that_does_not_say_which_context_it_predicts(path):
    refuse(
        save(path, MEANS, {"condition": CONDITIONS}),
        "no obs column 'context'",
        "2 contexts (k562, rpe1)",
        units=SEVERAL,
    )
    one = tuple(Unit(name, "rpe1") for name in CONDITIONS)
    np.testing.assert_array_equal(read(path, one).y_hat, MEANS)  # there is one context that it can be


def test_a_context_without_prediction(path):
    obs = {"condition": CONDITIONS, "context": ["k562"] * 3}
    refuse(save(path, MEANS, obs), "'A+ctrl'", "'rpe1'", "its rows say k562", "every context.", units=SEVERAL)
    assert read(path, UNITS).y_hat.tolist() == MEANS.tolist()
    other = tuple(Unit(name, "hepg2") for name in CONDITIONS)
    refuse(path, "'hepg2'", "or leave the column out", units=other)


def test_what_is_missing_is_counted_and_named(path):
    refuse(save(path, MEANS[:1], {"condition": ["A+B"]}), "2 of 3 test conditions", "A+ctrl", "C+ctrl")
    refuse(save(path, MEANS[:, :3], {"condition": CONDITIONS}, GENES[:3]), "1 of 4 genes", "g3")
    refuse(save(path, MEANS, {"perturbation": CONDITIONS}), "no obs column 'condition'", "perturbation")
    refuse(path.with_name("gone.h5ad"), "no such file")


@pytest.mark.parametrize("key", EXPECTED)
def test_predictions_of_another_task(path, key):
    refuse(save(path, MEANS, {"condition": CONDITIONS}, uns={key: "x" * 16}), key, "x" * 16, EXPECTED[key])
    as_r_writes = {key: np.array(["x" * 16], dtype=object)}
    refuse(save(path, MEANS, {"condition": CONDITIONS}, uns=as_r_writes), key, "x" * 16)
    assert read(save(path, MEANS, {"condition": CONDITIONS}, uns=dict(EXPECTED))).uns[key] == EXPECTED[key]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number(path, value):
    x = MEANS.copy()
    x[1, 2] = value
    refuse(save(path, x, {"condition": CONDITIONS}), "'A+ctrl'", "'g2'", "NaN or infinite")


@pytest.mark.parametrize("kind", ["S4", "V8", "c8", h5py.string_dtype(), [("a", "i4"), ("b", "S3")]], ids=str)
def test_values_of_another_kind_than_numbers(path, kind):
    save(path, MEANS, {"condition": CONDITIONS})
    with h5py.File(path, "r+") as handle:
        attributes = dict(handle["X"].attrs)
        del handle["X"]
        handle.create_dataset("X", MEANS.shape, kind).attrs.update(attributes)
    refuse(path)
    with pytest.raises(BenchError, match="X holds .*; expected numbers|not a readable predictions h5ad"):
        read(path)


def test_duplicate_genes(path):
    with pytest.warns(UserWarning, match="not unique"):
        save(path, MEANS, {"condition": CONDITIONS}, ["g0", "g1", "g2", "g2"])
    refuse(path, "duplicate gene names")


@pytest.mark.parametrize("used", ["input", "all", "unknown"])
def test_controls_used(path, used):
    assert read(save(path, MEANS, {"condition": CONDITIONS}, uns={"controls_used": used})).uns["controls_used"] == used


def test_controls_used_of_another_word(path):
    refuse(save(path, MEANS, {"condition": CONDITIONS}, uns={"controls_used": "some"}), "'some'", "input, all, unknown")


def test_fallbacks(path):
    found = read(
        save(
            path, np.repeat(MEANS, 2, axis=0), {"condition": np.repeat(CONDITIONS, 2), "fallbacks": [0, 2, 0, 0, 1, 1]}
        )
    )
    assert found.fallbacks.tolist() == [2, 0, 1]
    for bad in ([0, np.nan, 1], [0, 0.5, 1], [0, -1, 1], ["a", "b", "c"]):
        refuse(save(path, MEANS, {"condition": CONDITIONS, "fallbacks": bad}), "obs['fallbacks']", "whole numbers")


def test_damaged_files(path):
    path.write_text("<html>")
    refuse(path, "not a readable predictions h5ad")
    content = save(path, MEANS, {"condition": CONDITIONS}).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refuse(path, "not a readable predictions h5ad")
    path.write_bytes(content)
    with h5py.File(path, "r+") as handle:
        del handle["X"]
    refuse(path, "no X")


def test_what_is_written_reads_back(path):
    obs = pd.DataFrame({"condition": CONDITIONS, "fallbacks": [0, 1, 0]}, index=[7, 7, 7])
    predictions.write(path, MEANS, obs, GENES, {"run_id": "r", "controls_used": "input", **EXPECTED})
    found = read(path)
    np.testing.assert_array_equal(found.y_hat, MEANS)
    assert found.fallbacks.tolist() == [0, 1, 0]
    assert found.uns == {"run_id": "r", "controls_used": "input", **EXPECTED}
    with pytest.raises(ValueError):
        predictions.write(path, MEANS[:2], obs, GENES, {})
    np.testing.assert_array_equal(read(path).y_hat, MEANS)  # a failed write leaves the old file


def test_cells_come_back_where_there_are_enough_of_them(path):
    rng = np.random.default_rng(0)
    cells = (np.repeat(MEANS, 12, axis=0) + rng.normal(size=(36, 4))).astype(np.float32)
    labels = np.repeat(CONDITIONS, 12)
    order, columns = rng.permutation(36), [2, 0, 3, 1]
    x, names = cells[order][:, columns], list(np.array(GENES)[columns])
    for kind in (np.asarray, sp.csr_matrix):
        found = read(save(path, kind(x), {"condition": labels[order]}, names)).cells
        assert found is not None and len(found) == 3
        for i, name in enumerate(CONDITIONS):
            np.testing.assert_array_equal(found[i], cells[order][labels[order] == name])
            assert found[i].dtype == np.float32
    assert read(save(path, MEANS, {"condition": CONDITIONS})).cells is None
    few = np.flatnonzero(labels == "A+B")[3:]  # nine rows of one condition: repeats of a mean
    obs = {"condition": np.delete(labels, few[:6])}
    assert read(save(path, np.delete(cells, few[:6], axis=0), obs)).cells is None


def test_cells_are_those_of_the_unit_and_all_or_none_has_them(path):
    labels = np.repeat(np.arange(len(SEVERAL)), [12, 10, 15, 11])
    x = labels[:, None] + np.zeros(4)
    obs = {"condition": [SEVERAL[i].perturbation for i in labels], "context": [SEVERAL[i].context for i in labels]}
    found = read(save(path, x, obs), SEVERAL).cells
    assert [len(found[i]) for i in range(4)] == [12, 10, 15, 11]
    assert all((found[i] == i).all() for i in range(4))
    keep = np.flatnonzero(labels != 1).tolist() + np.flatnonzero(labels == 1)[1:].tolist()  # nine rows of one unit
    assert read(save(path, x[keep], {k: np.array(v)[keep] for k, v in obs.items()}), SEVERAL).cells is None


def test_a_plus_inside_a_name_goes_out_as_written_and_comes_back(tmp_path):
    names = [from_label(label, ["ctrl"], "") for label in ("(+)-JQ1", "2i (A+B)", "Dox")]
    units = [Unit(name, "K562") for name in names]
    values = np.arange(6.0).reshape(3, 2)
    path = tmp_path / "p.h5ad"
    predictions.write(path, values, pd.DataFrame({"condition": names, "context": "K562"}), ["g0", "g1"], {})
    assert anndata.read_h5ad(path).obs["condition"].tolist() == ["(+)-JQ1+ctrl", "2i (A+B)+ctrl", "Dox+ctrl"]
    np.testing.assert_array_equal(predictions.read(path, units, ["g0", "g1"], {}).y_hat, values)
    bare = pd.DataFrame({"condition": ["2i (A+B)", "Dox", "(+)-JQ1"]})  # another tool's: short, in another order
    predictions.write(path, values[[1, 2, 0]], bare.assign(context="K562"), ["g0", "g1"], {})
    np.testing.assert_array_equal(predictions.read(path, units, ["g0", "g1"], {}).y_hat, values)
