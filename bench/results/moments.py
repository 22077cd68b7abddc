"""Moments of latents of committed rows, one member of a board's file, so that anybody computes their numbers again.

Latents of all held cells would be megabytes for each row; moments against the true latents are a few kilobytes, and
decide nearly all of a row's numbers. What they are is up to the track that takes latents (``kept.py`` in its folder):
here they are arrays of whole numbers by name.

``moments.npz`` needs numpy alone: ``runs [K]`` (run ids), ``names [A]`` (of arrays), ``shapes [K, A, 5]`` (number of
axes, -1 = a run has no such array; then their lengths), and ``numbers [4, N]``: whole numbers of all arrays, one after
the other, of each array those of all runs, as four planes of bytes, low ones first, of 2 n for n >= 0 and of -2 n - 1
below: the high ones are nearly all 0. A run's folder holds the same file, of that run alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.core.door.arrays import read_npz
from bench.core.errors import BenchError
from bench.core.files import atomic, sha256_arrays
from bench.results import npz

#: What is kept of one run: arrays of whole numbers (int32) by name.
Moments: TypeAlias = dict[str, NDArray[np.int32]]

#: Name of the hash in a record that says which moments are kept of it, and of that of its own latents' moments.
HASH, MADE = "kept_moments", "moments"
#: Name of the file, in a run's folder and as a member of a board's.
FILE = "moments.npz"
_MEMBERS = ("runs", "names", "shapes", "numbers")
_AXES = 4


def digest_of(moments: Moments) -> str:
    """Hash of one run's moments (64 hex digits)."""
    names = sorted(moments)
    return sha256_arrays(np.array(names, dtype=np.str_), *(moments[name] for name in names))


@dataclass(frozen=True, eq=False)
class Book:
    """The kept moments of a board.

    Attributes:
        runs: By run id.
    """

    runs: Mapping[str, Moments] = field(default_factory=dict)

    def rows(self, run_id: str) -> Moments:
        """What is kept of a run, to be kept elsewhere."""
        return self.runs[run_id]

    def digest(self, run_id: str) -> str:
        """Hash of a run's moments (64 hex digits)."""
        return digest_of(self.runs[run_id])

    @property
    def digests(self) -> dict[str, str]:
        """The hash of each run's moments."""
        return {name: self.digest(name) for name in self.runs}

    def only(self, run_ids: Iterable[str]) -> Book:
        """The same without other runs."""
        return Book({name: self.runs[name] for name in run_ids if name in self.runs})

    def with_run(self, run_id: str, rows: Moments) -> Book:
        """The same and one more run."""
        return Book({**self.runs, run_id: rows})


def pack(book: Book) -> bytes:
    """Moments as an npz file: the same ones are the same bytes."""
    runs = sorted(book.runs)
    names = sorted({name for moments in book.runs.values() for name in moments})
    shapes = np.full((len(runs), len(names), 1 + _AXES), -1, dtype="<i4")
    flat = [np.zeros(0, np.int32)]
    for a, name in enumerate(names):
        for k, run in enumerate(runs):
            if (array := book.runs[run].get(name)) is not None:
                shapes[k, a, : 1 + array.ndim] = (array.ndim, *array.shape)
                flat.append(array.ravel())
    numbers = np.concatenate(flat).astype(np.int32)
    arrays: dict[str, NDArray[Any]] = {
        "runs": np.array(runs, dtype=np.str_),
        "names": np.array(names, dtype=np.str_),
        "shapes": shapes,
        "numbers": npz.planes(numbers),
    }
    return npz.pack(arrays)


def unpack(where: str, blob: bytes) -> Book:
    """Read what :func:`pack` made.

    Args:
        where: The file, for the message.
        blob: Its bytes.

    Raises:
        BenchError: Damaged.
    """
    try:
        found = read_npz(where, "kept moments", names=_MEMBERS, blob=blob)
        numbers = npz.whole(found["numbers"])
        names, shapes = found["names"].tolist(), found["shapes"]
        runs = {str(run): Moments() for run in found["runs"].tolist()}
        begin = 0
        for a, name in enumerate(names):
            for run, (axes, *lengths) in zip(runs, shapes[:, a].tolist(), strict=True):
                if axes >= 0:
                    shape = tuple(lengths[:axes])
                    end = begin + int(np.prod(shape, dtype=np.int64))
                    runs[run][name] = numbers[begin:end].reshape(shape)
                    begin = end
        if begin != len(numbers) or shapes.shape != (len(runs), len(names), 1 + _AXES):
            raise ValueError("its parts do not fit together")
        return Book(runs)
    except Exception as error:  # arrays of other shapes and kinds raise a dozen kinds
        reason = " ".join(str(error).removeprefix(f"{where}: ").split())[:200]
        raise BenchError(f"{where}: damaged ({reason}). Delete the file and run or publish again.") from error


def write(folder: Path, run_id: str, moments: Moments) -> None:
    """Write a run's moments into its folder."""
    with atomic(folder / FILE) as temporary:
        temporary.write_bytes(pack(Book({run_id: moments})))


def read(path: Path, run_id: str) -> Moments:
    """Read a run's moments from its folder's file.

    Raises:
        BenchError: Damaged, or another run's.
    """
    book = unpack(str(path), path.read_bytes())
    if list(book.runs) != [run_id]:
        raise BenchError(f"{path}: it holds the moments of {', '.join(book.runs) or 'nothing'}, not of {run_id}.")
    return book.runs[run_id]
