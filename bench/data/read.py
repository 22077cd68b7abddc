"""h5ad -> :class:`~bench.data.cells.PerturbationData`, without ever holding the whole matrix dense.

Accepts what GEARS and scanpy write: integer counts or log1p values, dense, CSR or CSC, any float type, compressed
or not. ``X`` is read on its own, so layers and embeddings of a large file cost nothing.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.conditions import from_label
from bench.data.cards import Card
from bench.data.cells import PerturbationData, Strings, build, check_names
from bench.errors import BenchError
from bench.files import sha256_file

#: Counts are normalised to this total before log1p, as scanpy's and GEARS' recipes do.
TARGET_SUM = 1e4
_DENSE_BLOCK_VALUES = 8_000_000
#: What pandas and anndata make of a missing label once it went through ``astype(str)``.
_BLANK = {"", "nan", "NaN", "<NA>", "None"}


def open_h5ad(path: Path) -> h5py.File:
    """Open an h5ad file for reading.

    Raises:
        BenchError: No such file; not HDF5 (an HTML error page, say); truncated; without ``X``, ``obs`` or ``var``.
    """
    if path.is_dir():
        raise BenchError(f"{path}: a folder, not an h5ad file.")
    if not path.is_file():
        raise BenchError(f"no such file: {path}")
    try:
        handle = h5py.File(path, "r")
    except OSError as error:
        try:
            with path.open("rb") as stream:
                start = stream.read(60)
        except OSError as reason:
            raise BenchError(f"{path}: cannot be read ({reason.strerror}).") from error
        if not start:
            raise BenchError(f"{path}: an empty file. Download or copy it again.") from error
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
            blocks = [sp.csr_matrix(_numeric(stored[i : i + step])) for i in range(0, stored.shape[0], step)]
            return sp.csr_matrix(sp.vstack(blocks, format="csr"))
        kind = stored.attrs.get("encoding-type", stored.attrs.get("h5sparse_format", ""))
        n_cells, n_genes = stored.attrs["shape"] if "shape" in stored.attrs else stored.attrs["h5sparse_shape"]
        shape = (int(n_cells), int(n_genes))
        parts = (_numeric(stored["data"][:]), stored["indices"][:], stored["indptr"][:])
        matrix = (sp.csc_matrix if str(kind).startswith("csc") else sp.csr_matrix)(parts, shape=shape)
        matrix.check_format(full_check=True)
        matrix = matrix.tocsr()
        matrix.sum_duplicates()  # before the log, where a file splits an entry in two
        return matrix
    except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise BenchError(f"{handle.filename}: damaged: X cannot be read ({error}).") from error


def _numeric(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Widen the types that scipy's sparse matrices do not have (float16, bool)."""
    return values.astype(np.float32) if values.dtype.kind == "b" or values.dtype == np.float16 else values


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
    if expression == "log1p" and integers and len(values):
        return ["X holds only integers, which log1p values are not: if they are counts, set expression: counts"]
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
        raise BenchError(
            f"{source}: no column '{name}' in {table}. There are: {there}. Name the right one in the card."
        )
    return frame[name]


def _labels(frame: pd.DataFrame, name: str | None, source: str, allowed: tuple[str, ...] = ()) -> Strings:
    if name is None:
        return np.full(len(frame), "all")
    column_ = column(frame, name, "obs", source)
    values = column_.astype(str).to_numpy(dtype=str)
    blank = column_.isna().to_numpy() | np.isin(values, sorted(_BLANK - set(allowed)))
    if blank.any():
        raise BenchError(
            f"{source}: {int(blank.sum())} cells have no value in obs['{name}'] (first in cell "
            f"'{frame.index[int(np.argmax(blank))]}'). Filter them out, or let the card name another column."
        )
    return values


def _genes(var: pd.DataFrame, name: str | None, source: str) -> Strings:
    if name is None:
        return var.index.astype(str).to_numpy(dtype=str)
    return column(var, name, "var", source).astype(str).to_numpy(dtype=str)


def _filtered(obs: pd.DataFrame, card: Card, source: str) -> NDArray[np.bool_]:
    keep = np.ones(len(obs), dtype=bool)
    for name, value in card.filter.items():
        values = column(obs, name, "obs", source).astype(str)
        if not (values == value).any():
            there = ", ".join(values.value_counts().index[:5])
            raise BenchError(
                f"{source}: the card's filter keeps rows whose obs['{name}'] is '{value}', and there are none. "
                f"The most common values are {there}."
            )
        keep &= (values == value).to_numpy()
    if not keep.any():
        raise BenchError(f"{source}: the card's filter {card.filter} leaves no cells.")
    return keep


def _totals(obs: pd.DataFrame, name: str | None, source: str) -> NDArray[np.float64] | None:
    if name is None:
        return None
    values = pd.to_numeric(column(obs, name, "obs", source), errors="coerce").to_numpy(dtype=np.float64)
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.any():
        raise BenchError(
            f"{source}: {int(bad.sum())} cells have no library size in obs['{name}'] (first in cell "
            f"'{obs.index[int(np.argmax(bad))]}'). Expected the counts of the whole cell, above 0."
        )
    return values


class _Problems:
    """Collects errors, so that one reading of a file reports all that is wrong with it."""

    def __init__(self, source: str) -> None:
        self.source, self.found = source, list[str]()

    @contextlib.contextmanager
    def collect(self) -> Iterator[None]:
        try:
            yield
        except BenchError as error:
            self.found.append(str(error).removeprefix(f"{self.source}: "))

    def report(self) -> None:
        if self.found:
            raise BenchError(f"{self.source}: {' Also: '.join(self.found)}")


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
    if 0 in raw.shape:
        raise BenchError(f"{source}: X is empty: {raw.shape[0]} cells x {raw.shape[1]} genes.")
    keep = _filtered(obs, card, source)
    if not keep.all():
        raw, obs = raw[np.flatnonzero(keep)], obs[keep]
    problems = _Problems(source)
    genes, condition = var.index.astype(str).to_numpy(dtype=str), np.empty(0, dtype=str)
    barcodes = obs.index.astype(str).to_numpy(dtype=str)
    context = batch = condition
    notes: list[str] = []
    with problems.collect():
        genes = _genes(var, card.columns.gene, source)
    with problems.collect():
        notes = check_values(raw, card.expression, genes, source)
    with problems.collect():
        labels = _labels(obs, card.columns.condition, source, card.control)
        unique, inverse = np.unique(labels, return_inverse=True)
        names = [from_label(label, card.control, card.separator) for label in unique.tolist()]
        if cut := [label for label, name in zip(unique.tolist(), names, strict=True) if "" in name.split("+")]:
            raise BenchError(
                f"{source}: obs['{card.columns.condition}'] has labels with nothing on one side of the separator "
                f"'{card.separator}' ({', '.join(map(repr, cut[:3]))}). Correct them, or the card's separator."
            )
        condition = np.array(names)[inverse]
    with problems.collect():
        context = _labels(obs, card.columns.context, source)
    with problems.collect():
        batch = _labels(obs, card.columns.batch, source)
    with problems.collect():
        totals = _totals(obs, card.columns.total, source)
    problems.found += check_names(genes, barcodes, condition)
    problems.report()
    if card.expression == "counts":
        x = normalise(raw, totals)
        notes.append(f"counts were normalised to {TARGET_SUM:g} per cell and log1p-transformed")
    else:
        x = canonical(raw)
    return build(
        card.name,
        x,
        genes=genes,
        barcodes=barcodes,
        condition=condition,
        context=context,
        batch=batch,
        source=source,
        min_cells=card.min_cells,
        evidence=card.evidence,
        notes=notes,
    )
