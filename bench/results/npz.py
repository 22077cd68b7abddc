"""Arrays as an npz file that numpy alone reads, packed as well as it can be: the same arrays are the same bytes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: No date: the same content is the same file.
_DATE = (1980, 1, 1, 0, 0, 0)


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Bytes of an npz file, its arrays in the order given."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", _DATE)
            info.compress_type = zipfile.ZIP_LZMA
            with archive.open(info, "w") as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
    return whole.getvalue()


def planes(numbers: NDArray[Any]) -> NDArray[np.uint8]:
    """Signed whole numbers as planes of bytes ``[bytes of one, ...]``, low ones first: what compresses best.

    A number n stands as 2 n, below 0 as -2 n - 1, so that the high planes of small numbers are 0 on either side of 0.
    """
    size = numbers.dtype.itemsize
    folded = np.ascontiguousarray((numbers << 1) ^ (numbers >> (8 * size - 1))).astype(f"<i{size}")
    return np.moveaxis(folded.view(np.uint8).reshape(*numbers.shape, size), -1, 0)


def whole(planes: NDArray[np.uint8]) -> NDArray[Any]:
    """The whole numbers of :func:`planes` ``[...]``, of as many bytes as there are planes: 2 or 4.

    Raises:
        ValueError: Another number of planes, or no bytes.
    """
    size = len(planes)
    if size not in (2, 4) or planes.dtype != np.uint8:
        raise ValueError(f"{size} planes of {planes.dtype}: expected 2 or 4 of bytes")
    folded = np.ascontiguousarray(np.moveaxis(planes, 0, -1)).view(f"<u{size}")[..., 0].astype(f"=u{size}")
    return np.asarray((folded >> 1) ^ (0 - (folded & 1)).astype(folded.dtype)).view(f"=i{size}")
