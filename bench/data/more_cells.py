"""Cells of another file to pretrain on: on the genes of a task, normalised as its cells are, none of those it hides."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.errors import BenchError
from bench.core.files import sha256_arrays
from bench.data.dataset import Dataset
from bench.data.io.h5ad import open_h5ad, read_frame, read_matrix
from bench.data.values import TARGET_SUM, canonical, check_values, normalise

#: Share of the data set's genes that a file must have.
LEAST_GENES = 0.5
#: Bits, beyond those that number all pairs of cells, that a cell's counts must carry for it to be known again by them:
#: of independent genes, two different cells would agree once in 2^20 files.
SPARE_BITS = 20
#: Levels of a gene that are told apart in counting bits.
_LEVELS = 5
#: Cells from which it is taken what a data set's cells were normalised to.
_SOME = 2_000


@dataclass(frozen=True)
class MoreCells:
    """Unlabelled cells.

    Attributes:
        x: Expression ``[M, G]``, float32 CSR, as the data set's.
        hash: Identity of the content.
        notes: What was done to them, for the record.
    """

    x: sp.csr_matrix
    hash: str
    notes: tuple[str, ...]


def read_more_cells(path: Path, dataset: Dataset, learned: NDArray[np.int64]) -> MoreCells:
    """Read unlabelled cells for the pretraining of an encoder.

    Genes are aligned by name; those that the file lacks are 0. Counts are normalised as the data set's cells are: over
    the data set's genes where its cells add up to the same over these, and else over all genes of the file. Cells that
    the data set has already among those that are learned from are left out.

    Args:
        path: An h5ad file: counts, or log1p of normalised counts, in ``X``; labels are not looked at.
        dataset: The cells of the task.
        learned: Rows that a representation is learned from; no other cell of the data set may be in the file.

    Raises:
        BenchError: Under half of the genes match, values that are no expression, or cells that are hidden from models.
    """
    with open_h5ad(path) as handle:
        barcodes = read_frame(handle, "obs").index.astype(str).to_numpy(dtype=str)
        names = _gene_names(read_frame(handle, "var"), dataset)
        raw = read_matrix(handle)
    if raw.shape != (len(barcodes), len(names)):
        raise BenchError(f"{path}: damaged: X is {raw.shape}, obs and var say {(len(barcodes), len(names))}.")
    columns = _columns(path, names, dataset)
    counts = bool((raw.data == np.floor(raw.data)).all())
    doubts = check_values(raw, "counts" if counts else "log1p", names, str(path), guessed=True)
    shared = np.flatnonzero(columns >= 0)
    at_genes = raw[:, shared]
    keep = _not_there_yet(path, barcodes, at_genes, counts, dataset, columns[shared], learned)
    if not len(keep):
        raise BenchError(f"{path}: it has no cell that the train cells and input controls do not have already.")
    x, how = _normalised(raw[keep], at_genes[keep], counts, dataset, columns[shared], learned)
    aligned = sp.csr_matrix((x.data, columns[shared][x.indices], x.indptr), shape=(len(keep), len(dataset.genes)))
    aligned = canonical(aligned)
    notes = [f"the encoder was pretrained on {len(keep)} more cells, unlabelled, of a file of the user's ({how})"]
    if lacking := len(dataset.genes) - len(shared):
        notes.append(f"{lacking} of {len(dataset.genes)} genes are not in that file: 0 in its cells")
    if again := raw.shape[0] - len(keep):
        notes.append(f"{again} of its cells are train cells or input controls already and were left out")
    return MoreCells(aligned, sha256_arrays(aligned.indptr, aligned.indices, aligned.data), (*notes, *doubts))


def _gene_names(var: pd.DataFrame, dataset: Dataset) -> NDArray[np.str_]:
    """The names of the file's genes: the index or the column of text that has the most of the data set's."""
    texts = [var[name] for name in var.columns if not pd.api.types.is_numeric_dtype(var[name])]
    columns: list[pd.Series[str] | pd.Index[str]] = [var.index, *texts]
    every = [np.array([str(name) for name in each], dtype=np.str_) for each in columns]
    return max(every, key=lambda names: len(dataset.gene_index.keys() & set(names.tolist())))


def _columns(path: Path, names: NDArray[np.str_], dataset: Dataset) -> NDArray[np.int64]:
    """Column of the data set of each gene of the file, -1 = none.

    Raises:
        BenchError: Too few are there, or one stands twice.
    """
    columns = np.array([dataset.gene_index.get(name, -1) for name in names.tolist()], dtype=np.int64)
    found, times = np.unique(columns[columns >= 0], return_counts=True)
    if len(found) < LEAST_GENES * len(dataset.genes):
        raise BenchError(
            f"{path}: it has {len(found)} of the {len(dataset.genes)} genes of '{dataset.name}', under half; its genes "
            f"are called {', '.join(names[:3].tolist())}, the data's {', '.join(dataset.genes[:3].tolist())}."
        )
    if (times > 1).any():
        twice = dataset.genes[found[times > 1][0]]
        raise BenchError(f"{path}: {int((times > 1).sum())} genes stand twice in var (first '{twice}').")
    return columns


def _not_there_yet(
    path: Path,
    barcodes: NDArray[np.str_],
    values: sp.csr_matrix,
    counts: bool,
    dataset: Dataset,
    columns: NDArray[np.int64],
    learned: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Rows of the file whose cells the data set does not have.

    Raises:
        BenchError: A cell of the data set that is hidden from models, by its barcode or by its expression.
    """
    hidden = np.ones(len(dataset.barcodes), dtype=bool)
    hidden[learned] = False
    order = np.argsort(columns)
    mine = multiples(dataset.x[:, columns[order]], logged=True)
    clear = surprise(mine) >= np.log2(len(hidden)) + np.log2(values.shape[0] + 1) + SPARE_BITS
    known = {print_: row for row, print_ in enumerate(fingerprints(mine)) if clear[row]}
    theirs = fingerprints(multiples(values[:, order], logged=not counts))
    keep = []
    found: dict[str, list[str]] = {"barcode": [], "expression": []}
    for i, (barcode, print_) in enumerate(zip(barcodes.tolist(), theirs, strict=True)):
        by_name, by_value = dataset.barcode_index.get(barcode), known.get(print_)
        for how, row in (("barcode", by_name), ("expression", by_value)):
            if row is not None and hidden[row]:
                found[how].append(barcode)
        if by_name is None and by_value is None:
            keep.append(i)
    for how, cells in found.items():
        if cells:
            advice = " If they are other cells, name them otherwise." if how == "barcode" else ""
            raise BenchError(
                f"{path}: {len(cells)} of its cells are, by their {how}, cells of '{dataset.name}' that are hidden "
                f"from models (of test or val, or controls of the truth; first '{cells[0]}'). Leave them out.{advice}"
            )
    return np.array(keep, dtype=np.int64)


def multiples(x: sp.csr_matrix, logged: bool) -> sp.csr_matrix:
    """Each cell's values as multiples of its least, in hundredths: what no normalisation to a total changes.

    Args:
        x: Expression ``[n, G]``.
        logged: Whether log1p was taken.
    """
    x = canonical(x)
    x.sort_indices()
    values = x.data.astype(np.float64)
    values = np.expm1(values) if logged else values
    sizes = np.diff(x.indptr)
    least = np.minimum.reduceat(values, x.indptr[:-1][sizes > 0]) if len(values) else values
    ratio = np.minimum(values / np.repeat(least, sizes[sizes > 0]), 100)
    # Ratios of small whole numbers lie far from where .37 rounds up.
    steps = np.floor(100 * ratio + 0.37).astype(np.int32)
    return sp.csr_matrix((steps, x.indices, x.indptr), shape=x.shape)


def fingerprints(steps: sp.csr_matrix) -> list[bytes]:
    """A hash of each cell's :func:`multiples`."""
    ends = list(zip(steps.indptr[:-1].tolist(), steps.indptr[1:].tolist(), strict=True))
    parts = [steps.indices.astype("<i4"), steps.data.astype("<i4")]
    return [blake2b(b"".join(part[a:b].tobytes() for part in parts), digest_size=16).digest() for a, b in ends]


def surprise(steps: sp.csr_matrix) -> NDArray[np.float64]:
    """Bits that a cell's :func:`multiples` carry, if genes were independent, with the shares of these cells ``[n]``.

    A gene is 0, once, twice, three times the least value, or more.
    """
    n, genes = steps.shape
    level = np.minimum(steps.data // 100, _LEVELS - 1)
    counts = np.bincount(steps.indices * _LEVELS + level, minlength=genes * _LEVELS).reshape(genes, _LEVELS)
    counts[:, 0] = n - counts[:, 1:].sum(axis=1)
    bits = -np.log2((counts + 0.5) / (n + 0.5 * _LEVELS))
    more = bits[steps.indices, level] - bits[steps.indices, 0]
    cell = np.repeat(np.arange(n), np.diff(steps.indptr))
    return np.asarray(bits[:, 0].sum() + np.bincount(cell, more, n), dtype=np.float64)


def _normalised(
    raw: sp.csr_matrix,
    at_genes: sp.csr_matrix,
    counts: bool,
    dataset: Dataset,
    columns: NDArray[np.int64],
    learned: NDArray[np.int64],
) -> tuple[sp.csr_matrix, str]:
    """Bring cells to the scale of the data set's: log1p expression at the shared genes ``[n, shared]``, and say how."""
    some = dataset.x[learned[:: max(1, len(learned) // _SOME)]]
    rates = sp.csr_matrix((np.expm1(some.data.astype(np.float64)), some.indices, some.indptr), shape=some.shape)
    totals = np.asarray(rates.sum(axis=1)).ravel()
    there = totals > 0
    if there.any() and totals[there].std() < 1e-3 * totals[there].mean():
        # Normalised over the data set's own genes: so are these cells, over those of them that they have.
        target = float(np.median(np.asarray(rates[there][:, columns].sum(axis=1)).ravel()))
        linear = at_genes.astype(np.float64)
        if not counts:
            linear.data = np.expm1(linear.data)
        sizes = np.asarray(linear.sum(axis=1)).ravel() * (TARGET_SUM / target)
        return normalise(linear, sizes), "normalised over the shared genes, as the data are"
    if not counts:
        return at_genes, "values as they are in it"
    return normalise(at_genes, np.asarray(raw.sum(axis=1)).ravel()), "normalised over all genes of it"
