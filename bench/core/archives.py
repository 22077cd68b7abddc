"""Arrays in one file of the cache, read whole or not at all."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.errors import BenchError
from bench.core.files import atomic


def keep(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays atomically; a cache that cannot be written costs time, not the run."""
    made: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
    with contextlib.suppress(BenchError), atomic(path) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, **made)


def kept(path: Path, names: Iterable[str]) -> dict[str, Any] | None:
    """Read arrays back, words as tuples; None where the file is absent, damaged or lacks one.

    Every member carries a checksum at its end: all of it is read before any of it is parsed, as a header that claims a
    smaller shape would stop short of that.
    """
    arrays: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in names:
                with io.BytesIO(archive.read(f"{name}.npy")) as member:
                    found = np.lib.format.read_array(member, allow_pickle=False)
                arrays[name] = tuple(found.tolist()) if found.dtype.kind == "U" else found
    except Exception:
        return None
    return arrays
