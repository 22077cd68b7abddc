"""``embeddings.h5ad``: latents of cells that an encoder of any tool made, a row for each cell by its barcode."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.door.hdf5 import check_size
from bench.core.errors import BenchError, nearest
from bench.core.files import sha256_arrays
from bench.core.text import listed
from bench.data.dataset import Dataset
from bench.data.io.h5ad import numeric, open_h5ad, read_frame

#: What a key calls the matrix ``X``.
X = "X"
#: Numbers of one cell, at most: what is read is bounded by this and by the cells of the data set.
MAX_WIDTH = 16_384
_BLOCK_VALUES = 8_000_000


@dataclass(frozen=True)
class Latents:
    """Latents of cells of a data set.

    Attributes:
        rows: Rows of the data set's cells that the file has, ascending ``[M]``.
        z: Their latents ``[M, D]``, float32.
        place: Where in the file they are: ``X`` or ``obsm['X_scGPT']``.
        others: Cells of the file that the data set does not have; they are left out.
    """

    rows: NDArray[np.int64]
    z: NDArray[np.float32]
    place: str
    others: int

    def hash(self, dataset: Dataset) -> str:
        """Identity of the content: which cells, and their latents."""
        return sha256_arrays(dataset.barcodes[self.rows], self.z)


def read_latents(path: Path, key: str, dataset: Dataset, needed: NDArray[np.int64]) -> Latents:
    """Read the latents of a data set's cells.

    Args:
        path: An h5ad file, a row per cell, ``obs_names`` = the data set's barcodes, in any order.
        key: Key of ``obsm``; ``X`` = the matrix; empty = the matrix of a file that has no ``obsm``.
        dataset: The cells.
        needed: Rows of the data set's cells that must be there.

    Raises:
        BenchError: A key that is not there, barcodes that are missing or stand twice, another number of rows than
            barcodes, or latents that are no finite numbers.
    """
    with open_h5ad(path) as handle:
        stored, place = _find(handle, key)
        barcodes = read_frame(handle, "obs").index.astype(str).tolist()
        index = dataset.barcode_index
        of_file: dict[int, int] = {}  # row of the data set -> row of the file
        for i, barcode in enumerate(barcodes):
            row = index.get(barcode, -1)
            if row >= 0 and of_file.setdefault(row, i) != i:
                twice = len(barcodes) - len(set(barcodes))
                raise BenchError(f"{path}: {twice} barcodes stand twice (first '{barcode}'); each cell has one row.")
        missing = [row for row in needed.tolist() if row not in of_file]
        if missing:
            raise BenchError(
                f"{path}: {len(missing)} of the {len(needed)} cells that are needed have no row (first "
                f"'{dataset.barcodes[missing[0]]}'): obs_names must be the barcodes of '{dataset.name}', such as those "
                f"that 'bench data export --all' writes; the file's begin with {barcodes[:2]}."
            )
        rows = np.array(sorted(of_file), dtype=np.int64)
        z = _read(handle, stored, place, np.array([of_file[row] for row in rows.tolist()]), len(barcodes))
    bad = ~np.isfinite(z).all(axis=1)
    if bad.any():
        raise BenchError(
            f"{path}: the latents in {place} of {int(bad.sum())} cells are not finite (first "
            f"'{dataset.barcodes[rows[int(np.argmax(bad))]]}'). Embed these cells again."
        )
    return Latents(rows, z, place, len(barcodes) - len(rows))


def _find(handle: h5py.File, key: str) -> tuple[h5py.Dataset | h5py.Group, str]:
    """Find the matrix that a key names.

    Raises:
        BenchError: It is not there, or no key was given and the file has several.
    """
    obsm = handle.get("obsm")
    keys = sorted(map(str, obsm)) if isinstance(obsm, h5py.Group) else []
    matrix = handle.get("X")
    has_x = isinstance(matrix, h5py.Group) or (isinstance(matrix, h5py.Dataset) and matrix.shape not in (None, ()))
    there = [*([X] if has_x else []), *keys]
    if key == "" and keys:
        raise BenchError(f"{handle.filename}: say by --key where the latents are; there are {listed(there, 20)}.")
    if (key or X) not in there:
        asked = X if key in ("", X) else f"obsm['{key}']"
        raise BenchError(
            f"{handle.filename}: there is no {asked}.{nearest(key, there)} There are: {listed(there, 20)}."
        )
    return (matrix, X) if key in ("", X) else (obsm[key], f"obsm['{key}']")


def _read(
    handle: h5py.File, stored: h5py.Dataset | h5py.Group, place: str, rows: NDArray[np.int64], cells: int
) -> NDArray[np.float32]:
    """Read some rows of a matrix, dense or sparse, as float32 ``[rows, D]``, never the whole of it at once.

    Raises:
        BenchError: Another shape than a row per cell, no numbers, or a damaged matrix.
    """
    import anndata

    source = f"{handle.filename}: {place}"
    dense = isinstance(stored, h5py.Dataset)
    if not dense and "shape" not in stored.attrs:
        raise BenchError(f"{source} is a table; expected an array: adata.obsm[key] = frame.to_numpy().")
    shape = tuple(map(int, np.ravel((stored.shape or ()) if dense else stored.attrs["shape"])))
    if len(shape) != 2 or shape[0] != cells:
        raise BenchError(f"{source} has the shape {shape}; expected one row for each of the {cells} cells in obs.")
    if not 0 < shape[1] <= MAX_WIDTH:
        raise BenchError(f"{source} has {shape[1]} numbers for each cell; expected 1 to {MAX_WIDTH}.")
    try:
        check_size(stored)
        if not dense:
            whole: Any = sp.csr_matrix(anndata.io.read_elem(stored))
            return np.asarray(whole[rows].toarray(), dtype=np.float32)
        if stored.dtype.kind not in "fiub":
            raise BenchError(f"{source} holds {stored.dtype}; expected numbers.")
        z = np.empty((len(rows), shape[1]), dtype=np.float32)
        order = np.argsort(rows)
        step = max(1, _BLOCK_VALUES // shape[1])
        for start in range(0, cells, step):
            low, high = np.searchsorted(rows[order], (start, start + step))
            if high > low:
                z[order[low:high]] = numeric(stored[start : start + step])[rows[order[low:high]] - start]
    except BenchError:
        raise
    except Exception as error:  # h5py and anndata raise a dozen kinds for damaged files
        raise BenchError(f"{handle.filename}: damaged: {place} cannot be read ({error}).") from error
    return z
