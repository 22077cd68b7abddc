"""The lines of a board, one record each, compressed: ``runs.jsonl.gz``.

Older folders hold them as they are, in ``runs.jsonl``. Such a file is read where there is no compressed one, and gone
once the board is written again.
"""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.core.door.packed import unpack
from bench.core.errors import BenchError
from bench.core.files import atomic

RUNS, PLAIN = "runs.jsonl.gz", "runs.jsonl"


@dataclass(frozen=True)
class Lines:
    """The lines of a board at one moment.

    Attributes:
        path: The file that holds them.
        blob: Its bytes.
    """

    path: Path
    blob: bytes

    @cached_property
    def text(self) -> bytes:
        """The lines.

        Raises:
            BenchError: Damaged, or far larger than the file.
        """
        if self.path.name == PLAIN:
            return self.blob
        try:
            return unpack(self.path, self.blob)
        except ValueError as error:
            raise BenchError(f"{self.path}: damaged ({error}). Delete its folder and run or publish again.") from error


def read(place: Path) -> Lines | None:
    """Read the lines of a board; ``None`` = it has none.

    Args:
        place: Its folder.

    Raises:
        BenchError: They are there and cannot be read.
    """
    # Who writes puts the compressed file there before the plain one goes: where neither was seen, it may be there now.
    for name in (RUNS, PLAIN, RUNS):
        path = place / name
        try:
            return Lines(path, path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):  # whoever writes says that there can be no folder
            continue
        except OSError as error:
            raise BenchError(f"{path}: not readable ({error.strerror}).") from error
    return None


def write(place: Path, text: bytes) -> None:
    """Replace the lines of a board atomically; without any, there is no file.

    Args:
        place: Its folder.
        text: The lines, each with its line end.
    """
    if text:
        packed = io.BytesIO()
        with gzip.GzipFile("", "wb", 9, packed, mtime=0) as file:  # no name, no date: the same lines are the same file
            file.write(text)
        with atomic(place / RUNS) as temporary:
            temporary.write_bytes(packed.getvalue())
    (place / PLAIN).unlink(missing_ok=True)  # before the other: it counts where that is gone
    if not text:
        (place / RUNS).unlink(missing_ok=True)


def places(folder: Path, track: str) -> list[Path]:
    """Folders of a track's boards under a leaderboards folder, sorted."""
    # In this order: what becomes compressed in between is found as such.
    found = [path.parent for name in (PLAIN, RUNS) for path in (folder / "records" / track).glob(f"*/{name}")]
    return sorted(set(found))
