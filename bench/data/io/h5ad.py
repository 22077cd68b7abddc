"""The layouts of h5ad files and objects: open one, read its tables and its matrix, without ever holding that dense."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from bench.core.errors import BenchError
from bench.data.io.links import refuse_links

if TYPE_CHECKING:
    from anndata import AnnData

_DENSE_BLOCK_VALUES = 8_000_000
#: Rows from which it is guessed what values are.
FIRST_ROWS = 200


def open_h5ad(path: Path) -> h5py.File:
    """Open an h5ad file for reading.

    Raises:
        BenchError: No such file; not HDF5 (an HTML error page, say); truncated; without ``obs`` or ``var``; with links
            to other files.
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
    missing = [key for key in ("obs", "var") if key not in handle]
    if missing:
        handle.close()
        raise BenchError(f"{path}: not an h5ad file: it has no {', '.join(missing)}.")
    try:
        refuse_links(handle)
    except BenchError:
        handle.close()
        raise
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
            frame = anndata.io.read_elem(handle[key])
            if not isinstance(frame, pd.DataFrame) and "/" not in key:
                frame = getattr(anndata.read_h5ad(handle.filename, backed="r"), key)
    except Exception as error:
        raise BenchError(f"{handle.filename}: damaged: {key} cannot be read ({error}).") from error
    return pd.DataFrame(frame)


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
        some = np.ravel(stored[:FIRST_ROWS] if isinstance(stored, h5py.Dataset) else stored["data"][:100_000])
        kind = "negative values" if (some < 0).any() else "whole numbers" if (some == np.floor(some)).all() else "reals"
        found.append(f"'{place}' ({kind}; in a card: {card})")
    return f" There are also {', '.join(found)}." if found else ""


def first_rows(handle: h5py.File, layer: str | None = None, raw: bool = False) -> sp.csr_matrix:
    """Read the first rows of the values; of a CSC matrix one row of its first values, as its rows are everywhere."""
    stored = stored_matrix(handle, layer, raw)
    try:
        if isinstance(stored, h5py.Dataset):
            return sp.csr_matrix(numeric(np.atleast_2d(stored[:FIRST_ROWS])))
        if str(stored.attrs.get("encoding-type", stored.attrs.get("h5sparse_format", ""))).startswith("csc"):
            return sp.csr_matrix(numeric(stored["data"][:1_000_000])[None])
        ends = stored["indptr"][: FIRST_ROWS + 1]
        parts = (numeric(stored["data"][: ends[-1]]), stored["indices"][: ends[-1]], ends)
        return sp.csr_matrix(parts, shape=(len(ends) - 1, int(parts[1].max(initial=0)) + 1))
    except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise BenchError(f"{handle.filename}: damaged: {_place(layer, raw)} cannot be read ({error}).") from error


def read_matrix(handle: h5py.File, layer: str | None = None, raw: bool = False) -> sp.csr_matrix:
    """Read ``X``, a layer, or that of ``raw``, as CSR in its own float type, in row blocks where it is dense.

    Raises:
        BenchError: If the matrix is absent, damaged or of an unknown layout.
    """
    stored = stored_matrix(handle, layer, raw)
    try:
        if isinstance(stored, h5py.Dataset):
            step = max(1, _DENSE_BLOCK_VALUES // max(1, stored.shape[1]))
            blocks = [sp.csr_matrix(numeric(stored[i : i + step])) for i in range(0, stored.shape[0], step)]
            return sp.csr_matrix(sp.vstack(blocks, format="csr"))
        kind = stored.attrs.get("encoding-type", stored.attrs.get("h5sparse_format", ""))
        n_cells, n_genes = stored.attrs["shape"] if "shape" in stored.attrs else stored.attrs["h5sparse_shape"]
        shape = (int(n_cells), int(n_genes))
        parts = (numeric(stored["data"][:]), stored["indices"][:], stored["indptr"][:])
        matrix = (sp.csc_matrix if str(kind).startswith("csc") else sp.csr_matrix)(parts, shape=shape)
        matrix.check_format(full_check=True)
        matrix = matrix.tocsr()
        matrix.sum_duplicates()  # before the log, where a file splits an entry in two
        return matrix
    except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
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
        raise BenchError(f"{name}: no {_place(layer, raw)}. Layers: {', '.join(map(str, adata.layers)) or 'none'}.")
    stored: Any = adata.layers[layer] if layer else adata.raw.X if raw else adata.X
    if stored is None:
        raise BenchError(f"{name}: no X. Put the counts, or log1p of normalised counts, into adata.X.")
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


def numeric(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Widen the types that scipy's sparse matrices do not have (float16, bool)."""
    return values.astype(np.float32) if values.dtype.kind == "b" or values.dtype == np.float16 else values
