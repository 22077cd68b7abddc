"""Arrays in one file of the cache, read whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.door.arrays import read_npz
from bench.core.errors import BenchError
from bench.core.files import atomic


def keep(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays atomically; a cache that cannot be written costs time, not the run."""
    made: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
    with contextlib.suppress(BenchError, OSError), atomic(path) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, **made)


def kept(path: Path, names: Iterable[str]) -> dict[str, Any] | None:
    """Read arrays back, words as tuples; None where the file is absent, damaged or lacks one."""
    wanted = tuple(names)
    try:
        found = read_npz(path, "kept arrays", names=wanted)
        return {name: tuple(a.tolist()) if (a := found[name]).dtype.kind == "U" else a for name in wanted}
    except (BenchError, KeyError, ValueError):
        return None
