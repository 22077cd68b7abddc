"""h5ad -> :class:`~bench.data.cells.PerturbationData`, without ever holding the whole matrix dense.

Accepts what GEARS and scanpy write: integer counts or log1p values, dense, CSR or CSC, any float type, compressed
or not. ``X`` is read on its own, so layers and embeddings of a large file cost nothing.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from bench.conditions import from_label
from bench.data.cards import Card
from bench.data.cells import PerturbationData, Strings, build
from bench.errors import BenchError
from bench.files import sha256_file

#: Counts are normalised to this total before log1p, as scanpy's and GEARS' recipes do.
TARGET_SUM = 1e4
_DENSE_BLOCK_VALUES = 8_000_000


def open_h5ad(path: Path) -> h5py.File:
    """Open an h5ad file for reading.

    Raises:
        BenchError: No such file; not HDF5 (an HTML error page, say); truncated; without ``X``, ``obs`` or ``var``.
    """
    if not path.is_file():
        raise BenchError(f"no such file: {path}")
    try:
        handle = h5py.File(path, "r")
    except OSError as error:
        start = path.read_bytes()[:60] if path.stat().st_size < 1e9 else path.open("rb").read(60)
        if start.startswith(b"\x89HDF"):
            raise BenchError(f"{path}: damaged or truncated HDF5 file ({error}). Download or copy it again.") from error
        page = (
            " It looks like a web page: the download answered with an error or a log-in page." if b"<" in start else ""
        )
        raise BenchError(f"{path}: not an h5ad file; it begins with {start[:30]!r}.{page}") from error
    missing = [key for key in ("X", "obs", "var") if key not in handle]
    if missing:
        handle.close()
        raise BenchError(f"{path}: not an h5ad file: it has no {', '.join(missing)}.")
    return handle


def read_frame(handle: h5py.File, key: Literal["obs", "var"]) -> pd.DataFrame:
    """Read ``obs`` or ``var``, also of files written by old versions of anndata.

    Raises:
        BenchError: If the table cannot be read.
    """
    import anndata

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # anndata's notes on old layouts are not the user's concern
            frame = anndata.io.read_elem(handle[key])
            if not isinstance(frame, pd.DataFrame):
                frame = getattr(anndata.read_h5ad(handle.filename, backed="r"), key)
    except Exception as error:
        raise BenchError(f"{handle.filename}: damaged: {key} cannot be read ({error}).") from error
    return pd.DataFrame(frame)


def read_matrix(handle: h5py.File) -> sp.csr_matrix:
    """Read ``X`` as CSR in its own float type, in row blocks where it is dense.

    Raises:
        BenchError: If the matrix is damaged or of an unknown layout.
    """
    stored = handle["X"]
    try:
        if isinstance(stored, h5py.Dataset):
            step = max(1, _DENSE_BLOCK_VALUES // max(1, stored.shape[1]))
            blocks = [sp.csr_matrix(stored[i : i + step]) for i in range(0, stored.shape[0], step)]
            return sp.csr_matrix(sp.vstack(blocks, format="csr"))
        kind = stored.attrs.get("encoding-type", stored.attrs.get("h5sparse_format", ""))
        n_cells, n_genes = stored.attrs["shape"] if "shape" in stored.attrs else stored.attrs["h5sparse_shape"]
        shape = (int(n_cells), int(n_genes))
        parts = (stored["data"][:], stored["indices"][:], stored["indptr"][:])
        if str(kind).startswith("csc"):
            return sp.csc_matrix(parts, shape=shape).tocsr()
        matrix = sp.csr_matrix(parts, shape=shape)
        matrix.check_format(full_check=True)
        return matrix
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise BenchError(f"{handle.filename}: damaged: X cannot be read ({error}).") from error


def check_values(x: sp.csr_matrix, expression: Literal["counts", "log1p"], genes: Strings, source: str) -> list[str]:
    """Refuse expression that is not what the card says; return notes on what is only suspicious.

    Raises:
        BenchError: Negative, NaN or infinite values; all integers with a maximum above 20 declared log1p;
            non-integers declared counts.
    """
    values = x.data
    for bad, word in ((~np.isfinite(values), "NaN or infinite"), (values < 0, "negative")):
        if bad.any():
            gene = genes[x.indices[int(np.argmax(bad))]]
            raise BenchError(
                f"{source}: {int(bad.sum())} {word} values in X (first in gene '{gene}'). Expected log1p of "
                f"normalised counts, or raw counts; save X before scaling or regressing it (sc.pp.scale)."
            )
    integers = bool((values == np.floor(values)).all())
    largest = float(values.max(initial=0.0))
    if expression == "counts" and not integers:
        raise BenchError(
            f"{source}: the card says expression: counts, but X holds non-integers (maximum {largest:.3g}). "
            f"Set expression: log1p if these are log-normalised values."
        )
    if expression == "log1p" and integers and largest > 20:
        raise BenchError(
            f"{source}: the card says expression: log1p, but X holds only integers up to {largest:.0f}. "
            f"These look like raw counts: set expression: counts."
        )
    if expression == "log1p" and looks_double_logged(x):
        return ["X looks log-transformed twice (log1p of log1p): check how the file was made"]
    return []


def looks_double_logged(x: sp.csr_matrix) -> bool:
    """Tell whether expression was log-transformed twice.

    Undoing the right number of logs turns a cell's values into multiples of its smallest one (one count); we look at
    up to 200 cells and compare one undoing with two.
    """

    def on_grid(matrix: sp.csr_matrix, undo: int) -> float:
        hits = total = 0
        for i in np.linspace(0, matrix.shape[0] - 1, min(200, matrix.shape[0])).astype(int):
            values = matrix.data[matrix.indptr[i] : matrix.indptr[i + 1]].astype(np.float64)
            for _ in range(undo):
                values = np.expm1(np.minimum(values, 30.0))
            if len(values) < 3 or values.min() <= 0:
                continue
            ratio = values / values.min()
            ratio = ratio[(ratio > 1.5) & (ratio < 30)]
            hits += int((np.abs(ratio - np.round(ratio)) < 0.03).sum())
            total += len(ratio)
        return hits / total if total >= 50 else 0.0

    return on_grid(x, 2) > 0.9 > 0.5 > on_grid(x, 1)


def canonical(x: sp.csr_matrix) -> sp.csr_matrix:
    """Return float32 CSR with sorted indices, summed duplicates and no explicit zeros, int32 indices where they fit."""
    out = sp.csr_matrix((x.data.astype(np.float32, copy=False), x.indices, x.indptr), shape=x.shape)
    out.sum_duplicates()
    out.eliminate_zeros()
    return out


def normalise(counts: sp.csr_matrix, totals: np.ndarray[Any, Any] | None = None) -> sp.csr_matrix:
    """Return log1p of counts scaled to :data:`TARGET_SUM` per cell.

    Args:
        counts: ``[cells, genes]``, non-negative.
        totals: The library size of each cell ``[cells]``; absent = its row sum. Cells of size 0 stay 0.
    """
    size = np.asarray(counts.sum(axis=1)).ravel() if totals is None else np.asarray(totals)
    scale = TARGET_SUM / np.where(size > 0, size, 1).astype(np.float64)
    values = np.log1p(counts.data * np.repeat(scale, np.diff(counts.indptr)))
    return canonical(sp.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape))


def column(frame: pd.DataFrame, name: str, table: str, source: str) -> pd.Series[Any]:
    """Return a column of ``obs`` or ``var``.

    Raises:
        BenchError: If it is missing; the message lists what is there.
    """
    if name not in frame.columns:
        there = ", ".join(str(c) for c in frame.columns[:20]) or "none"
        raise BenchError(f"{source}: no column '{name}' in {table}. Columns: {there}. Set columns: in the card.")
    return frame[name]


def _labels(frame: pd.DataFrame, name: str | None, n: int, default: str, source: str) -> Strings:
    if name is None:
        return np.full(n, default)
    values = column(frame, name, "obs", source)
    if values.isna().any():
        raise BenchError(f"{source}: {int(values.isna().sum())} cells have no value in obs['{name}']. Filter them out.")
    return values.astype(str).to_numpy(dtype=str)


def read_h5ad(path: Path, card: Card) -> PerturbationData:
    """Read one data set.

    Args:
        path: The file.
        card: What its columns and values mean.

    Raises:
        BenchError: Anything that would make a score wrong; the message names the file, the column or the value.
    """
    source = str(path)
    if card.sha256 and (found := sha256_file(path)) != card.sha256:
        raise BenchError(f"{source}: sha256 is {found}, the card says {card.sha256}. Another version, or damaged.")
    with open_h5ad(path) as handle:
        obs, var = read_frame(handle, "obs"), read_frame(handle, "var")
        raw = read_matrix(handle)
    if raw.shape != (len(obs), len(var)):
        raise BenchError(f"{source}: damaged: X is {raw.shape}, obs and var say {(len(obs), len(var))}.")
    keep = np.ones(len(obs), dtype=bool)
    for name, value in card.filter.items():
        keep &= column(obs, name, "obs", source).astype(str).to_numpy(dtype=str) == value
    if not keep.any():
        raise BenchError(f"{source}: the card's filter {card.filter} leaves no cells.")
    if not keep.all():
        raw, obs = raw[np.flatnonzero(keep)], obs[keep]
    gene_column = card.columns.gene
    genes = (column(var, gene_column, "var", source) if gene_column else var.index).astype(str).to_numpy(dtype=str)
    notes = check_values(raw, card.expression, genes, source)
    if card.expression == "counts":
        total = card.columns.total
        totals = column(obs, total, "obs", source).to_numpy(dtype=np.float64) if total else None
        x = normalise(raw, totals)
        notes.append(f"counts were normalised to {TARGET_SUM:g} per cell and log1p-transformed")
    else:
        x = canonical(raw)
    labels = _labels(obs, card.columns.condition, len(obs), "", source)
    unique, inverse = np.unique(labels, return_inverse=True)
    mapped = np.array([from_label(label, card.control, card.separator) for label in unique.tolist()])
    return build(
        card.name,
        x,
        genes=genes,
        barcodes=obs.index.astype(str).to_numpy(dtype=str),
        condition=mapped[inverse],
        context=_labels(obs, card.columns.context, len(obs), "all", source),
        batch=_labels(obs, card.columns.batch, len(obs), "all", source),
        source=source,
        min_cells=card.min_cells,
        evidence=card.evidence,
        notes=notes,
    )
