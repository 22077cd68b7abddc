"""Arrays in an npz file: sized before they are unpacked, and never pickled objects."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from bench.core.door.limits import check_unpacked, size_of
from bench.core.errors import BenchError

#: Arrays in one file.
_ENTRIES = 100_000
#: Characters of a text.
_TEXT = 10_000


class Pickled(BenchError):
    """An array of Python objects, which would run code when it is loaded."""


def read_npz(
    path: Path | str, what: str, advice: str = "", names: Iterable[str] | None = None, blob: bytes | None = None
) -> dict[str, Any]:
    """Read arrays.

    Every member carries a checksum at its end: all of it is read before any of it is parsed, as a header that claims a
    smaller shape would stop short of that.

    Args:
        path: The file, or what a message should call it where its bytes are given.
        what: What it should be, for the message: ``a readable npz file``.
        advice: What was expected, or what to do; a sentence.
        names: Arrays that are wanted; ``None`` = all. Of these, those that are not there are left out.
        blob: Its bytes, where they were read already.

    Raises:
        BenchError: Missing, damaged, too large, arrays of objects, or texts that are no text.
    """
    advice = f" {advice}" if advice else ""
    size = size_of(Path(path)) if blob is None else len(blob)
    wanted = None if names is None else set(names)
    try:
        with zipfile.ZipFile(path if blob is None else io.BytesIO(blob)) as archive:
            members = archive.infolist()
            if len(members) > _ENTRIES:
                raise BenchError(f"{path}: {len(members):,} arrays, and at most {_ENTRIES:,} are read.{advice}")
            found = {m.filename.removesuffix(".npy"): m for m in members}
            found = {name: m for name, m in found.items() if wanted is None or name in wanted}
            check_unpacked(path, sum(m.file_size for m in found.values()), size)
            return {name: _array(archive, member) for name, member in found.items()}
    except Pickled as error:
        raise Pickled(f"{path}: {error}{advice}") from error
    except BenchError:
        raise
    except Exception as error:  # zip, zlib and numpy's reader of headers each raise their own kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BenchError(f"{path}: not {what} ({reason}).{advice}") from error


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray[Any, Any]:
    """Read one array.

    Raises:
        ValueError: It claims another size than it has, or is no array.
    """
    blob = archive.read(member)
    with io.BytesIO(blob) as stream:
        shape, dtype = _header(stream)
        if dtype.hasobject:
            raise Pickled(f"'{member.filename}' holds pickled Python objects, which are not loaded.")
        if math.prod(shape) * dtype.itemsize != len(blob) - stream.tell():
            raise ValueError(f"'{member.filename}' claims the shape {shape} of {dtype}, which is not its size")
        stream.seek(0)
        array: np.ndarray[Any, Any] = np.lib.format.read_array(stream, allow_pickle=False)
    if array.dtype.kind == "U":
        if array.dtype.itemsize > 4 * _TEXT:
            raise ValueError(f"'{member.filename}' has texts of more than {_TEXT:,} characters")
        # numpy asks nothing of them, and a letter that there is not is no letter of a Python text either.
        letters = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).reshape(-1).view(np.uint32)
        if ((letters > 0x10FFFF) | ((letters >= 0xD800) & (letters <= 0xDFFF))).any():
            raise ValueError(f"'{member.filename}' has texts that are no Unicode")
    return array


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if min(shape, default=0) < 0:
        raise ValueError(f"a shape below 0: {shape}")
    return shape, dtype
