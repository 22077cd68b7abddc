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

if TYPE_CHECKING:
    from anndata import AnnData

_DENSE_BLOCK_VALUES = 8_000_000


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


def memory_matrix(adata: AnnData, name: str) -> sp.csr_matrix:
    """Copy ``X`` of an object in memory as CSR in its own float type, so that nobody changes the caller's.

    Args:
        adata: The object.
        name: What to call it in messages.

    Raises:
        BenchError: There is no ``X``, or it was left on disk.
    """
    if adata.isbacked:
        raise BenchError(f"{name}: X was left on disk (backed). Give the file's path, or adata.to_memory().")
    stored: Any = adata.X
    if stored is None:
        raise BenchError(f"{name}: no X. Put the counts, or log1p of normalised counts, into adata.X.")
    if sp.issparse(stored):
        sparse: Any = stored
        matrix = sp.csr_matrix(sparse, copy=True)
        matrix.data = _numeric(matrix.data)
    else:
        dense = np.asarray(stored)
        step = max(1, _DENSE_BLOCK_VALUES // max(1, dense.shape[1]))
        blocks = [sp.csr_matrix(_numeric(dense[i : i + step])) for i in range(0, dense.shape[0], step)]
        matrix = sp.csr_matrix(sp.vstack(blocks, format="csr")) if blocks else sp.csr_matrix(dense.shape)
    matrix.sum_duplicates()
    return matrix


def _numeric(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Widen the types that scipy's sparse matrices do not have (float16, bool)."""
    return values.astype(np.float32) if values.dtype.kind == "b" or values.dtype == np.float16 else values
