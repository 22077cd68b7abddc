"""Writing h5ad files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.files import atomic, seal

if TYPE_CHECKING:
    from anndata import AnnData


def write_h5ad(path: Path, table: AnnData, compressed: bool = False, sealed: bool = False) -> None:
    """Write an AnnData atomically.

    It is put together in memory: where a disk is full, HDF5 fails again when it closes its file, and took the process
    down with it.

    Args:
        path: Target file.
        table: What goes into it; strings become categories, as anndata's own writer makes them.
        compressed: By gzip.
        sealed: Whether the hash of the file is appended to it, see :func:`bench.core.files.seal`.

    Raises:
        BenchError: The file cannot be written.
    """
    import h5py
    from anndata.io import write_elem

    table.strings_to_categoricals()
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write_elem(file, "/", table, dataset_kwargs={"compression": "gzip"} if compressed else {})
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
        if sealed:
            seal(temporary)
