"""What gzip packed, unpacked in memory within bounds."""

from __future__ import annotations

import zlib
from pathlib import Path

from bench.core.door.limits import check_unpacked, most_bytes

#: A gzip member with its header and its checksum.
_GZIP = 31


def unpack(path: Path | str, blob: bytes) -> bytes:
    """Unpack the bytes of a gzip file.

    Args:
        path: The file, for the message.
        blob: Its bytes.

    Raises:
        BenchError: It unpacks to more than is read.
        ValueError: Damaged: cut off, changed, or followed by something else.
    """
    member = zlib.decompressobj(_GZIP)
    try:
        found = member.decompress(blob, most_bytes(len(blob)) + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    check_unpacked(path, len(found), len(blob))
    if not member.eof:
        raise ValueError("it is cut off")
    if member.unused_data:
        raise ValueError("something follows its end")
    return found
