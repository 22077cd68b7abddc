"""The same cells read the same from every layout that GEARS, scanpy and their users write."""

import tracemalloc

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from screens import GENES, tiny_counts, write_h5ad

from bench.data.cards import Card, Columns
from bench.data.io.read import read_h5ad
from bench.data.values import normalise


def card(**fields):
    columns = {"context": "context", "batch": "batch", **fields.pop("columns", {})}
    return Card(**{"name": "t", "source": "t.h5ad", "columns": Columns(**columns), **fields})


@pytest.fixture(scope="module")
def counts():
    return tiny_counts(cells=6, controls=30)


@pytest.fixture(scope="module")
def log(counts):
    return normalise(counts[0]), counts[1]


@pytest.fixture(scope="module")
def reference(log, tmp_path_factory):
    return read_h5ad(write_h5ad(tmp_path_factory.mktemp("r") / "t.h5ad", *log), card())


def assert_same(data, reference):
    assert data.hash == reference.hash
    assert (data.x != reference.x).nnz == 0
    assert data.x.dtype == np.float32 and data.x.has_canonical_format
    assert data.genes.tolist() == reference.genes.tolist()
    assert data.barcodes.tolist() == reference.barcodes.tolist()
    assert data.conditions == reference.conditions and (data.condition == reference.condition).all()
    assert data.batches == reference.batches and (data.batch == reference.batch).all()


def unsorted(x):
    out = x.copy()
    for a, b in zip(x.indptr[:-1], x.indptr[1:], strict=True):
        out.indices[a:b], out.data[a:b] = x.indices[a:b][::-1].copy(), x.data[a:b][::-1].copy()
    out.has_sorted_indices = False
    return out


def with_zeros(x):
    out = (x + sp.csr_matrix((np.ones(50), (np.arange(50), np.arange(50) % 60)), shape=x.shape)).tocsr()
    out.data[:] = np.asarray(x[np.repeat(np.arange(x.shape[0]), np.diff(out.indptr)), out.indices]).ravel()
    assert (out.data == 0).any()
    return out


LAYOUTS = {
    "csr": lambda x: x,
    "csc": lambda x: x.tocsc(),
    "dense": lambda x: x.toarray(),
    "fortran": lambda x: np.asfortranarray(x.toarray()),
    "float64": lambda x: x.astype(np.float64),
    "dense float64": lambda x: x.toarray().astype(np.float64),
    "int64 indices": lambda x: sp.csr_matrix((x.data, x.indices.astype(np.int64), x.indptr.astype(np.int64)), x.shape),
    "unsorted": unsorted,
    "explicit zeros": with_zeros,
}


@pytest.mark.thinned(9)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
def test_log_values_of_any_layout(log, reference, layout, compression, tmp_path):
    path = tmp_path / "t.h5ad"
    anndata.AnnData(LAYOUTS[layout](log[0]), obs=log[1], var=pd.DataFrame(index=GENES)).write_h5ad(
        path, compression=compression
    )
    assert_same(read_h5ad(path, card()), reference)


@pytest.mark.thinned(11)
@pytest.mark.parametrize("layout", [*LAYOUTS])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.float32, np.float64])
def test_counts_are_normalised_to_what_log_values_read_as(counts, reference, layout, dtype, tmp_path):
    path = write_h5ad(tmp_path / "t.h5ad", LAYOUTS[layout](counts[0]).astype(dtype), counts[1])
    dataset = read_h5ad(path, card(expression="counts"))
    assert_same(dataset, reference)
    assert any("normalised to 10000" in note for note in dataset.notes)


@pytest.mark.ci
def test_normalising_is_scanpys(counts, tmp_path):
    import scanpy

    theirs = anndata.AnnData(counts[0].astype(np.float32), obs=counts[1].copy())
    scanpy.pp.normalize_total(theirs, target_sum=1e4)
    scanpy.pp.log1p(theirs)
    ours = read_h5ad(write_h5ad(tmp_path / "t.h5ad", *counts), card(expression="counts"))
    np.testing.assert_allclose(ours.x.toarray(), theirs.X.toarray(), rtol=1e-5, atol=1e-5)


def test_a_gene_subset_is_normalised_by_the_library(counts, tmp_path):
    x, obs = counts
    path = write_h5ad(tmp_path / "t.h5ad", x[:, :20], obs.assign(ncounts=np.asarray(x.sum(axis=1)).ravel()), GENES[:20])
    dataset = read_h5ad(path, card(expression="counts", columns={"total": "ncounts"}))
    assert (dataset.x != normalise(x)[:, :20]).nnz == 0


def test_half_floats_and_entries_in_two_parts(counts, log, reference, tmp_path):
    half = read_h5ad(write_h5ad(tmp_path / "h.h5ad", log[0].toarray().astype(np.float16), log[1]), card())
    np.testing.assert_allclose(half.x.toarray(), log[0].toarray(), rtol=1e-3, atol=1e-3)
    x, n = counts[0], np.diff(counts[0].indptr)
    parts = [np.maximum(x.data - 1, 0), np.minimum(x.data, 1)]
    twice = sp.csr_matrix(
        (np.stack(parts, 1).ravel(), np.repeat(x.indices, 2), np.concatenate([[0], np.cumsum(2 * n)])), shape=x.shape
    )
    path = write_h5ad(tmp_path / "t.h5ad", x, counts[1])
    with h5py.File(path, "r+") as handle:
        for key in ("data", "indices", "indptr"):
            del handle["X"][key]
            handle["X"][key] = getattr(twice, key)
    assert_same(read_h5ad(path, card(expression="counts")), reference)


def test_the_file_of_gears(counts, reference, tmp_path):
    x, obs = counts
    full = anndata.AnnData(
        normalise(x),
        obs=pd.DataFrame(
            {
                "condition": pd.Categorical(obs["condition"]),
                "cell_type": "K562",
                "dose_val": "1+1",
                "control": (obs["condition"] == "ctrl").astype(int).to_numpy(),
                "condition_name": pd.Categorical("K562_" + obs["condition"] + "_1+1"),
            },
            index=obs.index,
        ),
        var=pd.DataFrame({"gene_name": GENES}, index=[f"ENSG{i:011d}" for i in range(60)]),
        layers={"counts": x},
        uns={"rank_genes_groups_cov_all": {"K562_G00+ctrl_1+1": GENES[:20]}, "top_non_dropout_de_20": {"a": GENES[:3]}},
        obsm={"X_pca": np.zeros((x.shape[0], 2))},
    )
    full.write_h5ad(tmp_path / "perturb_processed.h5ad", compression="gzip")
    columns = Columns(context="cell_type", gene="gene_name")
    dataset = read_h5ad(tmp_path / "perturb_processed.h5ad", Card(name="g", source="x", columns=columns))
    assert (dataset.x != reference.x).nnz == 0 and dataset.genes.tolist() == GENES.tolist()
    assert dataset.contexts == ("K562",) and dataset.batches == ("all",) and dataset.conditions == reference.conditions


def test_the_layout_of_anndata_0_7(log, reference, tmp_path):
    x, obs = log
    path = tmp_path / "old.h5ad"
    text = h5py.string_dtype()
    with h5py.File(path, "w") as handle:
        matrix = handle.create_group("X")
        matrix.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": np.array(x.shape)})
        for key in ("data", "indices", "indptr"):
            matrix[key] = getattr(x, key)
        for name, index, columns in (("obs", obs.index, ["condition", "context", "batch"]), ("var", GENES, [])):
            table = handle.create_group(name)
            table.attrs.update({"_index": "_index", "encoding-type": "dataframe", "encoding-version": "0.1.0"})
            table.attrs["column-order"] = np.array(columns, dtype=text)
            table.create_dataset("_index", data=list(map(str, index)), dtype=text)
            if columns:
                categories = table.create_group("__categories")
            for column in columns:
                values = pd.Categorical(obs[column])
                categories.create_dataset(column, data=list(values.categories), dtype=text)
                table[column] = values.codes
                table[column].attrs["categories"] = categories[column].ref
    assert_same(read_h5ad(path, card()), reference)


def test_rows_are_filtered_before_anything_else(log, reference, tmp_path):
    x, obs = log
    other = obs.set_index("other" + obs.index).assign(condition="nonsense", dataset="b")
    bad = x.copy()
    bad.data[:] = -1
    both = pd.concat([obs.assign(dataset="a"), other])
    path = write_h5ad(tmp_path / "t.h5ad", sp.vstack([x, bad], format="csr"), both)
    assert_same(read_h5ad(path, card(filter={"dataset": "a"})), reference)


@pytest.mark.thinned(1)
@pytest.mark.parametrize("layout", ["csr", "csc", "dense"])
def test_the_whole_matrix_is_never_dense(layout, tmp_path, monkeypatch):
    n, g = 3_000, 10_000
    x = sp.random(n, g, density=0.01, format="csr", dtype=np.float32, rng=np.random.default_rng(0))
    obs = pd.DataFrame({"condition": np.where(np.arange(n) % 3, "A+ctrl", "ctrl")}, index=[f"c{i}" for i in range(n)])
    path = write_h5ad(tmp_path / "t.h5ad", LAYOUTS[layout](x), obs, [f"g{i}" for i in range(g)])
    monkeypatch.setattr("bench.data.io.h5ad._DENSE_BLOCK_VALUES", 1_000_000)
    tracemalloc.start()
    try:
        dataset = read_h5ad(path, Card(name="wide", source="x"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (dataset.x != x).nnz == 0
    assert peak < n * g * 4 / 4  # bytes: a quarter of the dense matrix
