"""The layouts of h5ad files and objects: open one, read its tables and its matrix, without ever holding that dense."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from bench.core.door.hdf5 import check_size, check_utf8, open_hdf5
from bench.core.errors import BenchError
from bench.core.text import listed

if TYPE_CHECKING:
    from anndata import AnnData

_DENSE_BLOCK_VALUES = 8_000_000
#: Cells and genes (or peaks, or bins) that no file has, and that fit into the memory.
_MOST_CELLS, _MOST_GENES = 1 << 31, 20_000_000
#: What h5py, scipy and the memory say of a damaged matrix.
_DAMAGE = (
    OSError,
    KeyError,
    ValueError,
    TypeError,
    IndexError,
    OverflowError,
    MemoryError,
    RuntimeError,
    AttributeError,
)
#: Rows from which it is guessed what values are.
FIRST_ROWS = 200


def open_h5ad(path: Path) -> h5py.File:
    """Open an h5ad file for reading.

    Raises:
        BenchError: As :func:`bench.core.door.hdf5.open_hdf5`; without ``obs`` or ``var``.
    """
    handle = open_hdf5(path, "an h5ad file")
    missing = [key for key in ("obs", "var") if key not in handle]
    if missing:
        handle.close()
        raise BenchError(f"{path}: not an h5ad file: it has no {', '.join(missing)}.")
    return handle


def read_frame(handle: h5py.File, key: Literal["obs", "var", "raw/var"]) -> pd.DataFrame:
    """Read ``obs``, ``var`` or the genes of ``raw``, also of files written by old versions of anndata.

    Raises:
        BenchError: If the table cannot be read.
    """
    import anndata

    if key not in handle:
        raise BenchError(f"{handle.filename}: it has no {key}, which the card's 'raw' asks for.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # anndata's notes on old layouts are not the user's concern
            check_size(handle[key])
            frame = anndata.io.read_elem(handle[key])
            if not isinstance(frame, pd.DataFrame) and "/" not in key:
                frame = getattr(anndata.read_h5ad(handle.filename, backed="r"), key)
    except BenchError:
        raise
    except Exception as error:
        raise BenchError(f"{handle.filename}: damaged: {key} cannot be read ({error}).") from error
    table = pd.DataFrame(frame)
    check_utf8([*table.columns, *table.index], handle.filename, key)
    return table


def _place(layer: str | None, raw: bool) -> str:
    return f"layers/{layer}" if layer else "raw/X" if raw else "X"


def _is_there(handle: h5py.File, place: str) -> bool:
    """Whether a matrix is there, and not the empty one that anndata writes for None."""
    stored = handle.get(place)
    return stored is not None and not (isinstance(stored, h5py.Dataset) and stored.shape in (None, ()))


def stored_matrix(handle: h5py.File, layer: str | None = None, raw: bool = False) -> h5py.Dataset | h5py.Group:
    """Find the matrix that holds the values: ``X``, a layer, or that of ``raw``.

    Raises:
        BenchError: It is not there; the message names the matrices that are.
    """
    place = _place(layer, raw)
    if not _is_there(handle, place):
        raise BenchError(f"{handle.filename}: it has no {place}, or an empty one.{elsewhere(handle, layer, raw)}")
    return handle[place]


def elsewhere(handle: h5py.File, layer: str | None = None, raw: bool = False) -> str:
    """Say where else in a file values are, what they look like, and how a card takes them; empty = nowhere."""
    asked = _place(layer, raw)
    layers = list(handle["layers"]) if isinstance(handle.get("layers"), h5py.Group) else []
    places = {"X": "no 'layer'", **{f"layers/{n}": f"layer: {n}" for n in layers}, "raw/X": "raw: true"}
    found = []
    for place, card in places.items():
        if place == asked or not _is_there(handle, place):
            continue
        stored = handle[place]
        try:
            check_size(stored)
            some = numeric(
                np.ravel(stored[:FIRST_ROWS] if isinstance(stored, h5py.Dataset) else stored["data"][:100_000])
            )
        except (*_DAMAGE, BenchError):
            continue  # nothing to advise
        kind = "negative values" if (some < 0).any() else "whole numbers" if (some == np.floor(some)).all() else "reals"
        found.append(f"'{place}' ({kind}; in a card: {card})")
    return f" There are also {listed(found, 6, 200)}." if found else ""


def first_rows(handle: h5py.File, layer: str | None = None, raw: bool = False) -> sp.csr_matrix:
    """Read the first rows of the values; of a CSC matrix one row of its first values, as its rows are everywhere."""
    stored = stored_matrix(handle, layer, raw)
    try:
        check_size(stored)
        if isinstance(stored, h5py.Dataset):
            return sp.csr_matrix(numeric(np.atleast_2d(stored[:FIRST_ROWS])))
        n_genes = _sparse_shape(stored)[1]
        if str(stored.attrs.get("encoding-type", stored.attrs.get("h5sparse_format", ""))).startswith("csc"):
            return sp.csr_matrix(numeric(stored["data"][:1_000_000])[None])
        ends = stored["indptr"][: FIRST_ROWS + 1]
        parts = (numeric(stored["data"][: ends[-1]]), _whole(stored["indices"][: ends[-1]]), _whole(ends))
        matrix = sp.csr_matrix(parts, shape=(len(ends) - 1, n_genes))
        matrix.check_format(full_check=True)
        return matrix
    except _DAMAGE as error:
        raise BenchError(f"{handle.filename}: damaged: {_place(layer, raw)} cannot be read ({error}).") from error


def read_matrix(handle: h5py.File, layer: str | None = None, raw: bool = False) -> sp.csr_matrix:
    """Read ``X``, a layer, or that of ``raw``, as CSR in its own float type, in row blocks where it is dense.

    Raises:
        BenchError: If the matrix is absent, damaged or of an unknown layout.
    """
    stored = stored_matrix(handle, layer, raw)
    try:
        check_size(stored)
        if isinstance(stored, h5py.Dataset):
            step = max(1, _DENSE_BLOCK_VALUES // max(1, stored.shape[1]))
            blocks = [sp.csr_matrix(numeric(stored[i : i + step])) for i in range(0, stored.shape[0], step)]
            return sp.csr_matrix(sp.vstack(blocks, format="csr"))
        kind = stored.attrs.get("encoding-type", stored.attrs.get("h5sparse_format", ""))
        shape = _sparse_shape(stored)
        parts = (numeric(stored["data"][:]), _whole(stored["indices"][:]), _whole(stored["indptr"][:]))
        matrix = (sp.csc_matrix if str(kind).startswith("csc") else sp.csr_matrix)(parts, shape=shape)
        matrix.check_format(full_check=True)
        matrix = matrix.tocsr()
        matrix.sum_duplicates()  # before the log, where a file splits an entry in two
        return matrix
    except _DAMAGE as error:
        raise BenchError(f"{handle.filename}: damaged: {_place(layer, raw)} cannot be read ({error}).") from error


def memory_matrix(adata: AnnData, name: str, layer: str | None = None, raw: bool = False) -> sp.csr_matrix:
    """Copy the values of an object in memory as CSR in its own float type, so that nobody changes the caller's.

    Args:
        adata: The object.
        name: What to call it in messages.
        layer: The layer that holds them; None = ``X``.
        raw: Whether they are those of ``raw``.

    Raises:
        BenchError: They are not there, or were left on disk.
    """
    if adata.isbacked:
        raise BenchError(f"{name}: X was left on disk (backed). Give the file's path, or adata.to_memory().")
    if (layer and layer not in adata.layers) or (raw and adata.raw is None):
        raise BenchError(f"{name}: no {_place(layer, raw)}. Layers: {listed([*adata.layers])}.")
    stored: Any = adata.layers[layer] if layer else adata.raw.X if raw else adata.X
    if stored is None:
        raise BenchError(f"{name}: no X. Put the counts, or log1p of normalised counts, into adata.X.")
    if (kind := np.dtype(stored.dtype)).kind not in "fiub":
        raise BenchError(f"{name}: {_place(layer, raw)} holds {kind}; expected numbers.")
    if sp.issparse(stored):
        sparse: Any = stored
        matrix = sp.csr_matrix(sparse, copy=True)
        matrix.data = numeric(matrix.data)
    else:
        dense = np.asarray(stored)
        step = max(1, _DENSE_BLOCK_VALUES // max(1, dense.shape[1]))
        blocks = [sp.csr_matrix(numeric(dense[i : i + step])) for i in range(0, dense.shape[0], step)]
        matrix = sp.csr_matrix(sp.vstack(blocks, format="csr")) if blocks else sp.csr_matrix(dense.shape)
    matrix.sum_duplicates()
    return matrix


def _sparse_shape(stored: h5py.Group) -> tuple[int, int]:
    """The shape that a sparse matrix claims, which nothing that it stores bounds on both sides.

    Raises:
        ValueError: It is none that a matrix of cells and genes has.
    """
    n_cells, n_genes = stored.attrs["shape"] if "shape" in stored.attrs else stored.attrs["h5sparse_shape"]
    shape = (int(n_cells), int(n_genes))
    if not (0 <= shape[0] <= _MOST_CELLS and 0 <= shape[1] <= _MOST_GENES):
        raise ValueError(f"it claims the shape {shape}")
    return shape


def _whole(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Positions in a sparse matrix.

    Raises:
        TypeError: They are no whole numbers.
    """
    if values.dtype.kind not in "iu":
        raise TypeError(f"its positions are {values.dtype}; expected whole numbers")
    return values


def numeric(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Widen the types that scipy's sparse matrices do not have (float16, bool).

    Raises:
        TypeError: They are no real numbers.
    """
    if values.dtype.kind not in "fiub":
        raise TypeError(f"it holds {values.dtype}; expected numbers")
    return values.astype(np.float32) if values.dtype.kind == "b" or values.dtype == np.float16 else values
