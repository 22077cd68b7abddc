"""Embeddings of wells that rows were made from, beside the boards, so that anybody matches them again.

``<leaderboards>/embeddings/<data set>/<digest>.npz``, needing numpy alone: ``z [wells, dims]`` in float16, ``plate``
and ``well`` of each row. One file for each embedding, named by its content: tasks, corrections and seeds of one data
set that share an embedding share the file, and what is there never changes.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.files import atomic, safe_name, sha256_arrays
from bench.core.typing import Floats
from bench.results.records import Record

#: Name of the hash in a record that says which embedding it was made from.
HASH = "kept_embedding"
FOLDER = "embeddings"
#: Bytes of an embedding that is kept, at most: 4,000 wells in 500 dimensions.
LARGEST = 4_000_000
#: No date: the same content is the same file.
_DATE = (1980, 1, 1, 0, 0, 0)


def digest_of(z: NDArray[np.float16], plate: NDArray[np.str_], well: NDArray[np.str_]) -> str:
    """Hash of an embedding and of whose it is (64 hex digits)."""
    return sha256_arrays(plate.astype(np.str_), well.astype(np.str_), z)


def place(folder: Path, dataset: str, digest: str) -> Path:
    """Where an embedding is kept under a leaderboards folder, or a folder of runs."""
    return folder / FOLDER / safe_name("data set", dataset) / f"{digest}.npz"


def keep(folders: Iterable[Path], dataset: str, x: Floats, plate: NDArray[np.str_], well: NDArray[np.str_]) -> str:
    """Write an embedding where it is not yet; return its digest, empty where float16 cannot hold it or it is too large.

    Args:
        folders: Leaderboards folders, or folders of runs.
        dataset: Name of the data set.
        x: Embedding ``[N, D]``.
        plate: Of each well ``[N]``.
        well: Position of each ``[N]``.
    """
    with np.errstate(over="ignore"):
        z = x.astype("<f2")
    if z.nbytes > LARGEST or not np.isfinite(z).all():
        return ""
    digest = digest_of(z, plate, well)
    arrays: dict[str, NDArray[Any]] = {"z": z, "plate": plate.astype(np.str_), "well": well.astype(np.str_)}
    for folder in folders:
        path = place(folder, dataset, digest)
        if path.is_file():
            continue
        with atomic(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for name, array in arrays.items():
                info = zipfile.ZipInfo(f"{name}.npy", _DATE)
                info.compress_type = zipfile.ZIP_LZMA
                with archive.open(info, "w") as member:
                    np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
    return digest


def found(record: Record, folders: Iterable[Path]) -> Path | None:
    """The file of a record's embedding, if it names one that is in some folder."""
    if (digest := record.hashes.get(HASH)) is None:
        return None
    paths = (place(folder, record.spec.dataset, digest) for folder in folders)
    return next((path for path in paths if path.is_file()), None)


def carried(record: Record, sources: Iterable[Path], target: Path) -> Record:
    """Take a record's embedding along; a record whose embedding is nowhere names none.

    Args:
        record: Any record.
        sources: Folders that may hold it.
        target: Leaderboards folder that gets it.
    """
    if HASH not in record.hashes:
        return record
    path = found(record, [target, *sources])
    if path is not None:
        there = place(target, record.spec.dataset, record.hashes[HASH])
        if path != there:
            with atomic(there) as temporary:
                shutil.copyfile(path, temporary)
        return record
    return record.model_copy(update={"hashes": {k: v for k, v in record.hashes.items() if k != HASH}})


def tidy(folder: Path, records: Iterable[Record]) -> None:
    """Remove embeddings of a leaderboards folder that no record names."""
    named = {(record.spec.dataset, record.hashes[HASH]) for record in records if HASH in record.hashes}
    for path in sorted((folder / FOLDER).glob("*/*.npz")):
        if (path.parent.name, path.stem) not in named:
            path.unlink()
