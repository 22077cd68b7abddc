"""Embeddings of wells, a file per plate: ``<plate>.h5`` with a row per well."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from bench.core.door.hdf5 import check_size, open_hdf5
from bench.core.errors import BenchError
from bench.core.files import sha256_arrays
from bench.core.typing import Floats
from bench.data.profiles.experiment import plate_file
from bench.data.profiles.wells import Strings, Wells

#: What a file holds: ``embeddings`` (n, D) or (n, 1, D); position of each well; what was done to it.
KEYS = ("embeddings", "well_position", "broad_sample")
_SHOWN = 3


def with_embeddings(wells: Wells, folder: Path, pattern: str) -> Wells:
    """Put the embedding of every plate in place of features.

    Args:
        wells: The experiment.
        folder: Where the files lie.
        pattern: With ``{plate}`` and ``{batch}``.

    Raises:
        BenchError: A plate without a file, keys or wells that are not those of the experiment, undefined numbers.
    """
    names = list(dict.fromkeys(wells.plate.tolist()))
    out: Floats | None = None
    for plate in names:
        rows = np.flatnonzero(wells.plate == plate)
        path = plate_file(folder, pattern, {"plate": plate, "batch": str(wells.batch[rows[0]])})
        if path is None:
            raise BenchError(
                f"{folder}: no file fits '{pattern.format(plate=plate, batch=wells.batch[rows[0]])}', the embedding of "
                f"plate {plate} ({len(names)} plates in all)."
            )
        values, position, sample = read_plate(path)
        block = _arranged(values, position, sample, wells.take(rows), path)
        if out is None:
            out = np.empty((len(wells), block.shape[1]))
        if block.shape[1] != out.shape[1]:
            raise BenchError(f"{path}: {block.shape[1]} dimensions; the plates before have {out.shape[1]}.")
        out[rows] = block
    assert out is not None
    return wells.with_values(out, sha256_arrays(out.astype(np.float32)))


def read_plate(path: Path) -> tuple[Floats, Strings, Strings]:
    """Read one plate's file: values ``[n, D]``, positions and perturbations ``[n]``.

    Raises:
        BenchError: Not HDF5, without one of :data:`KEYS`, or arrays that do not belong together.
    """
    with open_hdf5(path, "an HDF5 file of embeddings") as handle:
        if absent := [key for key in KEYS if key not in handle]:
            there = ", ".join(sorted(handle)[:8]) or "nothing"
            raise BenchError(f"{path}: it has no '{absent[0]}'. Expected {', '.join(KEYS)}; there is {there}.")
        try:
            if groups := [key for key in KEYS if not isinstance(handle[key], h5py.Dataset)]:
                raise BenchError(f"{path}: '{groups[0]}' is a group, expected an array.")
            for key in KEYS:
                check_size(handle[key])
            values = np.asarray(handle["embeddings"], dtype=np.float64)
            position, sample = (_text(handle[key]) for key in KEYS[1:])
        except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:  # damaged, or of another kind
            reason = " ".join(str(error).split())[:200]
            raise BenchError(f"{path}: expected numbers in 'embeddings' and text in the others ({reason}).") from error
    if values.ndim < 2 or not values.size:
        raise BenchError(f"{path}: embeddings have shape {values.shape}; expected (wells, 1, width).")
    values = values.reshape(len(values), -1)
    if not len(values) == len(position) == len(sample):
        raise BenchError(f"{path}: {len(values)} embeddings, {len(position)} positions, {len(sample)} perturbations.")
    if not np.isfinite(values).all():
        row = int(np.argmax(~np.isfinite(values).all(axis=1)))
        raise BenchError(f"{path}: the embedding of well {position[row]} is NaN or infinite.")
    return values, position, sample


def _text(data: h5py.Dataset) -> Strings:
    raw = np.asarray(data).ravel().tolist()
    return np.array([one.decode() if isinstance(one, bytes) else str(one) for one in raw], dtype=str)


def _arranged(values: Floats, position: Strings, sample: Strings, wells: Wells, path: Path) -> Floats:
    """The rows of a plate's wells, in their order."""
    place = {name: i for i, name in enumerate(position.tolist())}
    if len(place) < len(position):
        raise BenchError(f"{path}: a well is there more than once. Expected one row per well.")
    absent = [name for name in wells.well.tolist() if name not in place]
    if absent:
        raise BenchError(
            f"{path}: no embedding of {len(absent)} of the {len(wells)} wells that the profiles of this plate have "
            f"({', '.join(absent[:_SHOWN])}, ...). Its wells are {', '.join(position[:_SHOWN].tolist())}, ..."
        )
    rows = np.array([place[name] for name in wells.well.tolist()])
    other = (sample[rows] != wells.perturbation) & ~wells.control
    if other.any():
        i = int(np.argmax(other))
        raise BenchError(
            f"{path}: well {wells.well[i]} is '{sample[rows][i]}' here and '{wells.perturbation[i]}' in the profiles "
            f"({int(other.sum())} wells differ): another plate, or another order?"
        )
    return np.asarray(values[rows], dtype=np.float64)
