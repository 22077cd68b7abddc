"""The lines of a board, one record each, gzipped: the member ``runs.jsonl.gz`` of its file."""

from __future__ import annotations

import gzip
import io

from bench.core.door.packed import unpack
from bench.core.errors import BenchError

RUNS = "runs.jsonl.gz"


def pack(text: bytes) -> bytes:
    """Gzip lines, each with its line end: the same lines are the same bytes."""
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", 9, packed, mtime=0) as file:  # no name, no date
        file.write(text)
    return packed.getvalue()


def text(where: str, blob: bytes, advice: str) -> bytes:
    """The lines that were packed.

    Args:
        where: File and member, for the message.
        blob: From :func:`pack`.
        advice: What to do where they are damaged; a sentence.

    Raises:
        BenchError: Damaged, or far larger than the file.
    """
    try:
        return unpack(where, blob)
    except ValueError as error:
        raise BenchError(f"{where}: damaged ({error}). {advice}") from error
