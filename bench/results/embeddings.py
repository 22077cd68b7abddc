"""Embeddings of wells that rows were made from, beside the boards, so that anybody matches them again.

``<leaderboards>/embeddings/<data set>.zip``, in it ``<digest>.npz``, needing numpy alone: ``z [wells, dims]`` in
float16, ``plate`` and ``well`` of each row. One member for each embedding, named by its content: tasks, corrections and
seeds of one data set that share an embedding share it, and what is there never changes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import BenchError
from bench.core.files import locked, safe_name, sha256_arrays
from bench.core.typing import Floats
from bench.results import npz, zips
from bench.results.records import Record

#: Name of the hash in a record that says which embedding it was made from.
HASH = "kept_embedding"
FOLDER = "embeddings"
#: Bytes of an embedding that is kept, at most: 4,000 wells in 500 dimensions.
LARGEST = 4_000_000
_NAME = re.compile(r"[0-9a-f]{64}\.npz")


def digest_of(z: NDArray[np.float16], plate: NDArray[np.str_], well: NDArray[np.str_]) -> str:
    """Hash of an embedding and of whose it is (64 hex digits)."""
    return sha256_arrays(plate.astype(np.str_), well.astype(np.str_), z)


def place(folder: Path, dataset: str) -> Path:
    """Where the embeddings of a data set are kept under a leaderboards folder, or a folder of runs."""
    return folder / FOLDER / f"{safe_name('data set', dataset)}.zip"


def members(path: Path) -> dict[str, bytes]:
    """The npz files of a data set's embeddings by digest; none where there is no file.

    Raises:
        BenchError: Damaged, or a folder of an earlier version.
    """
    earlier = path.with_name(path.name.removesuffix(".zip"))
    if any(earlier.glob("*.npz")):
        raise BenchError(
            f"{earlier}: an earlier version kept embeddings in a folder; now they are in one file, {path.name}. Delete "
            "the folder and run or publish again."
        )
    found = zips.read(path, lambda name: bool(_NAME.fullmatch(name)), "Delete the file and run or publish again.")
    return {name.removesuffix(".npz"): blob for name, blob in (found or {}).items()}


def _write(path: Path, held: dict[str, bytes]) -> None:
    if held:
        zips.write(path, {f"{digest}.npz": blob for digest, blob in sorted(held.items())})
    else:
        path.unlink(missing_ok=True)


def _add(folder: Path, dataset: str, digest: str, blob: bytes) -> None:
    with locked(folder):
        path = place(folder, dataset)
        held = members(path)
        if digest not in held:
            _write(path, {**held, digest: blob})


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
    blob = npz.pack({"z": z, "plate": plate.astype(np.str_), "well": well.astype(np.str_)})
    for folder in folders:
        _add(folder, dataset, digest, blob)
    return digest


def found(record: Record, folders: Iterable[Path]) -> bytes | None:
    """The npz file of a record's embedding, if it names one that is in some folder.

    Raises:
        BenchError: A damaged file.
    """
    if (digest := record.hashes.get(HASH)) is None:
        return None
    held = (members(place(folder, record.spec.dataset)) for folder in folders)
    return next((blobs[digest] for blobs in held if digest in blobs), None)


def carried(record: Record, sources: Iterable[Path], target: Path) -> Record:
    """Take a record's embedding along; a record whose embedding is nowhere names none.

    Args:
        record: Any record.
        sources: Folders that may hold it.
        target: Leaderboards folder that gets it.

    Raises:
        BenchError: A damaged file.
    """
    if HASH not in record.hashes:
        return record
    blob = found(record, [target, *sources])
    if blob is not None:
        _add(target, record.spec.dataset, record.hashes[HASH], blob)
        return record
    return record.model_copy(update={"hashes": {k: v for k, v in record.hashes.items() if k != HASH}})


def tidy(folder: Path, records: Iterable[Record]) -> None:
    """Remove embeddings of a leaderboards folder that no record names.

    Raises:
        BenchError: A damaged file.
    """
    named = defaultdict[str, set[str]](set)
    for record in records:
        if HASH in record.hashes:
            named[record.spec.dataset].add(record.hashes[HASH])
    with locked(folder):
        for path in sorted((folder / FOLDER).glob("*.zip")):
            held = members(path)
            kept = {digest: blob for digest, blob in held.items() if digest in named[path.stem]}
            if kept.keys() != held.keys():
                _write(path, kept)
