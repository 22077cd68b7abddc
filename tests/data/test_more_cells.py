"""More cells to pretrain on: aligned and normalised as the data are, labelled as nothing, and none that is hidden."""

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import scipy.stats
import screens
import torch

from bench.core.errors import BenchError
from bench.data.datamodule import NO_CONTEXT, UNLABELLED, PerturbationDataModule
from bench.data.dataset import build
from bench.data.more_cells import fingerprints, multiples, read_more_cells, surprise
from bench.data.task import Task
from bench.data.values import normalise


def other_cells(n=50, genes=(*screens.GENES[::-1][:50], "X1", "X2")):
    """Counts of other cells on other genes, in another order; ten of the screen's genes are not there."""
    x = np.random.default_rng(8).poisson(2.0, (n, len(genes)))
    return x, np.array(genes), [f"more{i}" for i in range(n)]


def write(path, x, genes, barcodes, **var):
    table = anndata.AnnData(sp.csr_matrix(np.asarray(x, dtype=np.float32)), obs=pd.DataFrame(index=list(barcodes)))
    table.var = pd.DataFrame(var, index=list(genes))
    table.write_h5ad(path)
    return path


@pytest.mark.parametrize("form", ["counts", "log1p", "names in a column"])
def test_cells_are_aligned_by_gene_and_scaled_as_the_data_are(module, tmp_path, form):
    data, learned = module.dataset, module.representation_rows("train")
    x, genes, barcodes = other_cells()
    stored = np.log1p(x * (3e3 / x.sum(axis=1, keepdims=True))) if form == "log1p" else x
    index, var = (genes, {}) if form != "names in a column" else ([f"ENSG{i}" for i in range(52)], {"symbol": genes})
    more = read_more_cells(write(tmp_path / "f.h5ad", stored, index, barcodes, **var), data, learned)
    # The screen's cells add up to 10,000 over its genes: by hand, the others' shared genes to the same genes' share.
    linear = np.expm1(screens.dense(data, learned))
    place = [data.gene_index[gene] for gene in genes[:50]]
    assert linear.sum(axis=1) == pytest.approx(1e4, rel=1e-4)
    target = np.median(linear[:, place].sum(axis=1))
    wanted = np.zeros((50, 60))
    wanted[:, place] = np.log1p(x[:, :50] * (target / x[:, :50].sum(axis=1, keepdims=True)))
    np.testing.assert_allclose(more.x.toarray(), wanted, rtol=2e-5, atol=1e-6)
    assert more.x.dtype == np.float32 and len(more.hash) == 64
    assert "50 more cells" in more.notes[0] and "10 of 60 genes" in more.notes[1]


def test_where_the_data_were_normalised_over_more_genes_so_are_the_cells(tmp_path):
    counts, obs = screens.tiny_counts()
    totals = np.asarray(counts.sum(axis=1)).ravel() * np.random.default_rng(1).uniform(2, 4, len(obs))
    names = {name: obs[name].to_numpy(dtype=str) for name in ("condition", "context", "batch")}
    barcodes = obs.index.to_numpy(dtype=str)
    data = build("part", normalise(counts, totals), genes=screens.GENES, barcodes=barcodes, source="part", **names)
    x, genes, others = other_cells()
    path = write(tmp_path / "f.h5ad", x, genes, others)
    more = read_more_cells(path, data, np.arange(200))
    place = [data.gene_index[gene] for gene in genes[:50]]
    wanted = np.log1p(x[:, :50] * (1e4 / x.sum(axis=1, keepdims=True)))
    np.testing.assert_allclose(more.x.toarray()[:, place], wanted, rtol=2e-5, atol=1e-6)


def test_a_fingerprint_is_of_the_counts_whatever_they_are_normalised_to():
    x = np.random.default_rng(3).poisson(3.0, (300, 60)).astype(np.float64)
    x[7] = 0
    steps = multiples(sp.csr_matrix(x), logged=False)
    plain = fingerprints(steps)
    assert len(set(plain)) == 300
    for total in (1e3, 1e4, 1e6):
        logged = np.log1p(x * total / np.maximum(1, x.sum(axis=1, keepdims=True))).astype(np.float32)
        assert fingerprints(multiples(sp.csr_matrix(logged), logged=True)) == plain
    # By hand: the multiples of the first cell's least value.
    first = x[0] / x[0][x[0] > 0].min()
    np.testing.assert_allclose(steps[0].toarray()[0], 100 * first, atol=1)


def test_bits_are_those_of_independent_genes():
    """Of many draws of 8 genes that are on or off, minus the log of their probability, by scipy."""
    share = np.array([0.02, 0.1, 0.3, 0.5, 0.6, 0.9, 0.97, 0.5])
    x = (np.random.default_rng(4).random((20_000, 8)) < share).astype(np.float64)
    wanted = -scipy.stats.bernoulli(share).logpmf(x).sum(axis=1) / np.log(2)
    np.testing.assert_allclose(surprise(multiples(sp.csr_matrix(x), logged=False)), wanted, atol=0.5)


def test_hidden_cells_are_refused_and_train_cells_left_out(module, tmp_path):
    data, learned = module.dataset, module.representation_rows("train")
    hidden = np.setdiff1d(np.arange(len(data.barcodes)), learned)
    counts = screens.tiny_counts()[0].toarray()
    x, _, barcodes = other_cells(genes=screens.GENES)
    path = tmp_path / "f.h5ad"

    def read(rows, names, genes=screens.GENES, columns=slice(None)):
        write(path, np.vstack([x, counts[rows]])[:, columns], genes, [*barcodes, *names])
        return read_more_cells(path, data, learned)

    for part in (module.rows("test"), module.rows("val"), hidden):
        with pytest.raises(
            BenchError, match=f"1 of its cells are, by their barcode, .*first '{data.barcodes[part[0]]}'"
        ):
            write(path, x, screens.GENES, [*barcodes[1:], data.barcodes[part[0]]])
            read_more_cells(path, data, learned)
        with pytest.raises(BenchError, match="2 of its cells are, by their expression, .*first 'renamed0'"):
            read(part[:2], ["renamed0", "renamed1"])
    # Neither fewer genes nor another order hides a cell.
    columns = np.random.default_rng(0).permutation(60)[:45]
    with pytest.raises(BenchError, match="by their expression, .*first 'renamed0'"):
        read(hidden[:1], ["renamed0"], screens.GENES[columns], columns)
    more = read(learned[:3], [data.barcodes[learned[0]], "renamed1", "renamed2"])
    assert more.x.shape[0] == 50 and any("3 of its cells are train cells" in line for line in more.notes)


def test_files_that_are_refused(module, tmp_path):
    learned, path = module.representation_rows("train"), tmp_path / "f.h5ad"
    x, genes, barcodes = other_cells()

    def refused(words, x=x, genes=genes, barcodes=barcodes):
        write(path, x, genes, barcodes)
        with pytest.raises(BenchError) as raised:
            read_more_cells(path, module.dataset, learned)
        assert str(path) in str(raised.value)
        for word in words:
            assert word in str(raised.value), raised.value

    refused(["29 of the 60 genes", "under half", "N0, N1, N2"], genes=[f"N{i}" for i in range(23)] + list(genes[:29]))
    refused(["1 genes stand twice", f"'{genes[1]}'"], genes=[genes[1], *genes[1:]])
    refused(["negative"], x=x - 5)
    refused(["NaN"], x=np.where(x > 3, np.nan, x))
    own = learned[:50]
    with pytest.raises(BenchError, match="no cell that the train cells"):
        write(path, screens.tiny_counts()[0].toarray()[own], screens.GENES, module.dataset.barcodes[own])
        read_more_cells(path, module.dataset, learned)
    with pytest.raises(BenchError, match="no such file"):
        read_more_cells(tmp_path / "none.h5ad", module.dataset, learned)


def test_they_are_drawn_among_the_train_cells_without_label_or_context(tiny, tiny_split, tmp_path):
    module = PerturbationDataModule(Task(tiny, tiny_split), seed=3)
    x, genes, barcodes = other_cells()
    more = read_more_cells(write(tmp_path / "f.h5ad", x, genes, barcodes), tiny, module.representation_rows("train"))
    loader = module.cells_dataloader(32, more.x)
    n = len(module.representation_rows("train")) + 50
    assert len(loader) == n // 32
    batches = list(loader)
    cells, condition, context = (torch.cat(parts).numpy() for parts in zip(*batches, strict=True))
    mine = {row.tobytes() for row in more.x.toarray()}
    alien = np.array([row.tobytes() in mine for row in cells])
    assert 30 < alien.sum() <= 50
    assert (condition[alien] == UNLABELLED).all() and (context[alien] == NO_CONTEXT).all()
    assert (condition[~alien] >= 0).all() and (context[~alien] == 0).all()
    own = {row.tobytes(): tiny.condition[i] for i, row in enumerate(tiny.x.toarray())}
    assert [own[row.tobytes()] for row in cells[~alien]] == condition[~alien].tolist()
    assert all(a.dtype == b.dtype for a, b in zip(batches[0], next(iter(module.cells_dataloader(32))), strict=True))
