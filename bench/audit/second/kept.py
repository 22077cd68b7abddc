"""Read ``predictions.npz`` again: directions of gene space, and whole numbers of each unit along them."""

from __future__ import annotations

import hashlib
import io
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Kept(NamedTuple):
    """What a file holds: by run id shifts ``[T, G]``, a digest, and what each row's numbers stand for ``[T]``.

    ``genes`` are names of columns ``[G]``: of axes where rows are coordinates, none where they are latents.
    """

    genes: tuple[str, ...]
    shifts: dict[str, NDArray[np.float64]]
    digests: dict[str, str]
    steps: dict[str, NDArray[np.float64]]


def read(blob: bytes) -> Kept:
    """Read the bytes of a file.

    Raises:
        ValueError: Damaged: a member is missing, cut short, or does not fit the others.
    """
    try:
        with io.BytesIO(blob) as handle, np.load(handle, allow_pickle=False) as file:
            genes, basis, runs, begins, scale = (file[name] for name in ("genes", "basis", "runs", "begins", "scale"))
            halves = file["numbers"]
            own = [name.removesuffix(".basis") for name in file.files if name.endswith(".basis")]
            parts = {run: [file[f"{run}.{part}"] for part in ("basis", "scale", "numbers")] for run in own}
        basis, numbers = whole_numbers(basis), whole_numbers(halves)
        if numbers.shape != (len(basis), len(scale)) or len(begins) != len(runs) + 1 or begins[-1] != len(scale):
            raise ValueError("its parts do not fit together")
    except Exception as error:  # zip, lzma and numpy raise a dozen kinds for damaged files
        raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from error
    held = {}
    for i, run in enumerate(runs.tolist()):
        part = slice(int(begins[i]), int(begins[i + 1]))
        held[run] = basis, scale[part], numbers[:, part]
    for run, (directions, step, planes) in parts.items():
        held[run] = whole_numbers(directions), step, whole_numbers(planes)
    shifts, digests, steps = {}, {}, {}
    for run, (directions, step, mine) in held.items():
        if mine.shape != (len(directions), len(step)):
            raise ValueError(f"the parts of {run} do not fit together")
        steps[run] = step.astype(np.float64)
        used = max((r + 1 for r in range(len(mine)) if mine[r].any()), default=0)
        shifts[run] = steps[run][:, None] * (mine.T.astype(np.float64) @ (directions / 1024.0))
        digests[run] = digest(genes, directions[:used], step, mine[:used])
    return Kept(tuple(genes.tolist()), shifts, digests, steps)


def whole_numbers(planes: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Two planes of bytes ``[2, ...]`` that stand for 0, -1, 1, -2, 2 ... ``[...]``."""
    whole = planes[0].astype(np.int32) + 256 * planes[1].astype(np.int32)
    return np.asarray(np.where(whole % 2 == 1, -(whole + 1) // 2, whole // 2), dtype=np.int16)


def digest(*arrays: NDArray[Any]) -> str:
    """SHA-256 of arrays with their dtype and shape; of words their lengths, then UTF-8."""
    found = hashlib.sha256()
    for array in arrays:
        if array.dtype.kind == "U":
            names = [str(name).encode() for name in array]
            found.update(f"str{array.shape}".encode())
            found.update(np.array([len(name) for name in names], dtype="<i8").tobytes() + b"".join(names))
        else:
            found.update(f"{array.dtype.newbyteorder('<').str}{array.shape}".encode())
            found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
