"""Latents of cells that a frozen encoder was asked about: what a run leaves of them, and what a board keeps.

Rows of encoders that are trained, or drawn at random, do not follow from their cells. A run leaves ``latents.npy
[n, D]`` (float32) of all cells that its metrics look at, ascending by row of the data set, standardised as its train
cells are. Every metric follows from these: latents across contexts are standardised once more, and whatever was done
before to each latent alone makes no difference there.

A board keeps whole numbers along the principal axes of these cells, so that latents that vary little take little room.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.core.errors import BenchError
from bench.core.files import atomic, sha256_file
from bench.core.text import amount
from bench.core.typing import Floats
from bench.results.records import Record
from bench.results.shifts import ONE, Rows

#: Name of the file in a run's folder, and of its hash in the record.
FILE, HASH = "latents.npy", "latents"
#: Bytes that are kept of a row, at most: boards of real cells have 1,500 to 2,500 such cells, and ten rows of them.
LARGEST = 115_000
#: What a whole number stands for, from coarse to fine; a latent has a spread of about 1 over cells.
STEPS = tuple(0.5 * 2 ** (-i / 4) for i in range(13))
#: The one that is taken where nobody can tell what is enough.
USUAL = 0.25
#: Parts of 1 in a direction: numbers are along what is kept of it, so that axes a few degrees off lose nothing.
_PARTS = 64
#: Rows whose embedding follows from cells, split and seeds, by kind of record.
CLOSED = {
    "reference": ("pca", "random", "shuffled"),
    "model": ("identity", "constant_encoder", "noise_encoder", "pca_encoder"),
}


def closed(kind: str, model: str) -> bool:
    """Whether an embedding follows from cells, split and seeds alone.

    Args:
        kind: Of the record.
        model: Name of the model or reference.
    """
    return model in CLOSED.get(kind, ())


def too_large(cells: int, width: int) -> str:
    """Say that latents are too many to be kept, whatever is in them; empty where they may fit.

    Args:
        cells: How many cells.
        width: Latents of each.
    """
    least = (cells + width) * width // 8  # a bit for every number, and for those of the directions
    return _says(cells, "at least ", least) if least > LARGEST else ""


def check_size(cells: int, size: int, lost: str = "") -> None:
    """Refuse what takes more than is kept of a row.

    Args:
        cells: How many cells.
        size: In bytes, as it would be kept.
        lost: What does not follow from fewer digits, in words.

    Raises:
        BenchError: It is too large.
    """
    if size > LARGEST:
        raise BenchError(_says(cells, "", size) + (f"; in fewer digits {lost}." if lost else "."))


def _says(cells: int, least: str, size: int) -> str:
    return f"latents of {cells:,} cells take {least}{amount(size)}, and at most {amount(LARGEST)} are kept of a row"


def write(folder: Path, z: Floats) -> str:
    """Write latents into a run's folder; return the hash of the file.

    Args:
        folder: Of the run.
        z: Standardised latents ``[n, D]``.
    """
    path = folder / FILE
    with atomic(path) as temporary, open(temporary, "wb") as handle:
        np.save(handle, z.astype("<f4"), allow_pickle=False)
    return sha256_file(path)


def read(path: Path, record: Record) -> Rows:
    """Read the latents that a record was made from.

    Raises:
        BenchError: Another file than the record names.
    """
    if sha256_file(path) != record.hashes.get(HASH):
        raise BenchError(f"{path}: not the latents that the record of {record.run_id} was made from.")
    return rows_of(np.load(path, allow_pickle=False).astype(np.float64))


def rows_of(z: Floats) -> Rows:
    """Latents ``[n, D]`` along their principal axes, as finely as is usual."""
    axes = np.linalg.eigh(z.T @ z)[1].T[::-1]
    basis = (np.rint(axes * _PARTS) * (ONE // _PARTS)).astype(np.int16)
    return Rows((), z, np.full(len(z), USUAL), basis=basis)
