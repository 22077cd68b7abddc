"""Predicted shifts of committed rows, one member of a board's file, so that anybody computes their metrics again.

Rows of one board resemble each other: their shifts lie near a few directions of gene space. So the file holds
directions ``basis [R, G]`` (whole numbers of 1/1024) once, and of every unit of every run one scale (float32) and whole
numbers ``[R]``: ``shift = scale * numbers @ basis / 1024``. How many of them stand for a unit's root mean square is
decided for each run (:data:`LEVELS`): the fewest that leave its metrics what they are. Directions are only ever added,
so that what is kept of a run stays the same, and with it its digest, when others come.

Boards of the track that plans keep coordinates in a space of few axes instead of genes: named columns again, with the
axes themselves as directions and a step of its own for each row (:class:`Rows`); ``kept`` in the track's ``run.py``
says what the rows are. Latents of two encoders share no directions: boards of the track of frozen encoders keep cells
in place of units, each run along its own directions (:mod:`bench.results.cell_latents`).

``predictions.npz`` needs numpy alone: ``genes [G]``, ``basis [2, R, G]``, ``runs [K]`` (run ids), ``begins [K + 1]``
(where each run's units begin), ``scale [N]``, and ``numbers [2, R, N]``. Whole numbers are two planes of bytes, low and
high, of 2 n for n >= 0 and of -2 n - 1 below: the high ones are nearly all 0. Units of a run are those of scope ``all``
in its values, in that order. A negative scale marks a row of coordinates of which the model knows nothing. Runs with
directions of their own have ``<run id>.basis [2, r, D]``, ``<run id>.scale [n]`` and ``<run id>.numbers [2, r, n]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.core.door.arrays import read_npz
from bench.core.errors import BenchError
from bench.core.files import sha256_arrays
from bench.core.typing import Floats
from bench.results import npz

#: Name of the hash in a record that says which shifts are kept of it.
HASH = "kept_predictions"
#: Whole numbers that may stand for a root mean square, from coarse to fine.
LEVELS = (64, 128, 256, 512, 1024, 2048, 4096)
#: How many do where nobody can tell what is enough: with half of them, on 22 rows of three boards, correlations of
#: single units stayed within 1e-3 and means of families within 1e-4.
USUAL = 1024
#: Whole numbers that stand for 1 in a direction.
ONE = 1024
_LARGEST = np.iinfo(np.int16).max


class Rows(NamedTuple):
    """What is to be kept of one run.

    Attributes:
        names: Of the columns ``[G]``: genes, or axes.
        shifts: ``[T, G]``.
        steps: Of coordinates, what one whole number stands for in each row ``[T]``, positive or negative: then columns
            are directions. Absent: a share of the row's root mean square, along directions that many rows share.
        levels: How many whole numbers stand for that root mean square; fewer where they would be above 32,767.
        basis: Of coordinates, directions that no other run has ``[R, G]``, in whole numbers of 1 / :data:`ONE`; columns
            then have no names.
    """

    names: tuple[str, ...]
    shifts: Floats
    steps: Floats | None = None
    levels: int = USUAL
    basis: NDArray[np.int16] | None = None


@dataclass(frozen=True, eq=False)
class Kept:
    """What is kept of one run.

    Attributes:
        scale: Of each unit ``[T]``, float32.
        numbers: ``[r, T]``, int16; directions from the r-th on are not used.
        own: Directions of this run alone ``[r, D]``; absent = those of the board.
    """

    scale: NDArray[np.float32]
    numbers: NDArray[np.int16]
    own: NDArray[np.int16] | None = None


@dataclass(frozen=True, eq=False)
class Shifts:
    """The kept shifts of a board.

    Attributes:
        genes: Gene names ``[G]``.
        basis: Directions ``[R, G]``, about orthonormal, in whole numbers of 1 / :data:`ONE`.
        runs: By run id.
    """

    genes: tuple[str, ...] = ()
    basis: NDArray[np.int16] = field(default_factory=lambda: np.zeros((0, 0), np.int16))
    runs: Mapping[str, Kept] = field(default_factory=dict)

    def of(self, run_id: str) -> Floats:
        """Shifts of a run ``[T, G]``."""
        kept = self.runs[run_id]
        used = self._directions(run_id) / ONE
        return kept.scale.astype(np.float64)[:, None] * (kept.numbers.T.astype(np.float64) @ used)

    def _directions(self, run_id: str) -> NDArray[np.int16]:
        kept = self.runs[run_id]
        return self.basis[: len(kept.numbers)] if kept.own is None else kept.own

    def rows(self, run_id: str) -> Rows:
        """What is kept of a run, to be kept elsewhere."""
        kept = self.runs[run_id]
        return Rows(self.genes, self.of(run_id), kept.scale.astype(np.float64) if self.plain else None, basis=kept.own)

    def digest(self, run_id: str) -> str:
        """Hash of all that decides a run's shifts (64 hex digits)."""
        kept = self.runs[run_id]
        names = np.array(self.genes, dtype=np.str_)
        return sha256_arrays(names, self._directions(run_id), kept.scale, kept.numbers)

    @property
    def plain(self) -> bool:
        """Whether columns are directions themselves: what is kept are coordinates."""
        return np.array_equal(self.basis, _axes(len(self.genes)))

    @property
    def digests(self) -> dict[str, str]:
        """The hash of each run's shifts."""
        return {name: self.digest(name) for name in self.runs}

    def only(self, run_ids: Iterable[str]) -> Shifts:
        """The same without other runs."""
        return Shifts(self.genes, self.basis, {name: self.runs[name] for name in run_ids if name in self.runs})

    def with_run(self, run_id: str, rows: Rows) -> Shifts:
        """The same and one more run, with as many more directions as it needs.

        Args:
            run_id: Its name.
            rows: What is to be kept of it.

        Raises:
            BenchError: Other columns than those of the board's other runs; of coordinates, a step too small.
        """
        others = {name: kept for name, kept in self.runs.items() if name != run_id}
        coordinates = rows.steps is not None
        if others and (rows.names != self.genes or coordinates != self.plain):
            raise BenchError(
                f"predictions of {run_id} are of other genes, or coordinates in another space, than those that are "
                f"kept of the board's other rows."
            )
        if rows.steps is not None:
            basis = _axes(len(rows.names))
            scale = rows.steps.astype(np.float32)
            along = rows.shifts if rows.basis is None else rows.shifts @ np.linalg.pinv(rows.basis / ONE)
            numbers = np.rint(along / scale.astype(np.float64)[:, None])
            if np.abs(numbers).max(initial=0.0) > _LARGEST:
                raise BenchError(f"coordinates of {run_id}: a step is too small for its row.")
        else:
            basis = self.basis if others else np.zeros((0, len(rows.names)), np.int16)
            rms = np.sqrt(np.mean(np.square(rows.shifts), axis=1))
            moves = rms[:, None] > 0
            plain = np.divide(rows.shifts, rms[:, None], out=np.zeros_like(rows.shifts), where=moves)
            basis = _grown(basis, plain, rows.levels)
            along = plain @ np.linalg.pinv(basis / ONE)
            levels = int(min(rows.levels, _LARGEST / max(np.abs(along).max(initial=0.0), 1.0)))
            numbers, scale = np.rint(along * levels), (rms / levels).astype(np.float32)
        return Shifts(rows.names, basis, {**others, run_id: _kept(scale, numbers.astype(np.int16).T, rows.basis)})


def _axes(n: int) -> NDArray[np.int16]:
    return np.eye(n, dtype=np.int16) * np.int16(ONE)


def _kept(scale: NDArray[np.float32], numbers: NDArray[np.int16], own: NDArray[np.int16] | None = None) -> Kept:
    """Leave out directions at the end that a run has no part in."""
    used = int(np.flatnonzero(numbers.any(axis=1)).max(initial=-1)) + 1
    return Kept(scale, np.ascontiguousarray(numbers[:used]), None if own is None else np.ascontiguousarray(own[:used]))


def _grown(basis: NDArray[np.int16], rows: Floats, levels: int) -> NDArray[np.int16]:
    """Add the directions that some shifts ``[N, G]`` of root mean square 1 need, the most needed first."""
    genes = rows.shape[1]
    # Half of what rounding the whole numbers may leave, as a squared norm over genes.
    limit = genes * (0.5 / levels) ** 2 / 12
    while True:
        used = basis / ONE
        left = rows - rows @ np.linalg.pinv(used) @ used if len(used) else rows
        square = np.einsum("ng,ng->n", left, left)
        if (square <= limit).all() or len(basis) >= genes:
            return basis
        found = np.linalg.svd(left, full_matrices=False)[2][: genes - len(basis)]
        rest = square[:, None] - np.cumsum(np.square(left @ found.T), axis=1)
        enough = (rest <= limit).all(axis=0)
        n = int(np.argmax(enough)) + 1 if enough.any() else len(found)
        # What rounding takes from a direction, the numbers along the others and the next ones give back.
        basis = np.concatenate([basis, np.rint(found[:n] * ONE).astype(np.int16)])


def pack(shifts: Shifts) -> bytes:
    """Shifts as an npz file: the same ones are the same bytes."""
    names = sorted(name for name, kept in shifts.runs.items() if kept.own is None)
    counts = [len(shifts.runs[name].scale) for name in names]
    begins = np.cumsum([0, *counts])
    numbers = np.zeros((len(shifts.basis), int(begins[-1])), dtype="<i2")
    for name, begin in zip(names, begins.tolist()):
        block = shifts.runs[name].numbers
        numbers[: len(block), begin : begin + block.shape[1]] = block
    arrays: dict[str, NDArray[Any]] = {
        "genes": np.array(shifts.genes, dtype=np.str_),
        "basis": npz.planes(shifts.basis),
        "runs": np.array(names, dtype=np.str_),
        "begins": begins.astype("<i8"),
        "scale": np.concatenate([np.empty(0), *(shifts.runs[name].scale for name in names)]).astype("<f4"),
        "numbers": npz.planes(numbers),
    }
    for name, kept in sorted(shifts.runs.items()):
        if kept.own is not None:
            arrays[f"{name}.basis"], arrays[f"{name}.numbers"] = npz.planes(kept.own), npz.planes(kept.numbers)
            arrays[f"{name}.scale"] = kept.scale.astype("<f4")
    return npz.pack(arrays)


def unpack(where: str, blob: bytes) -> Shifts:
    """Read what :func:`pack` made.

    Args:
        where: The file, for the message.
        blob: Its bytes.

    Raises:
        BenchError: Damaged.
    """
    try:
        found = read_npz(where, "kept predictions", blob=blob)
        basis, numbers = npz.whole(found["basis"]), npz.whole(found["numbers"])
        runs = {}
        begins = found["begins"].tolist()
        for name, begin, end in zip(found["runs"].tolist(), begins[:-1], begins[1:], strict=True):
            runs[name] = _kept(found["scale"][begin:end], numbers[:, begin:end])
        if numbers.shape != (len(basis), len(found["scale"])) or begins[-1] != len(found["scale"]):
            raise ValueError("its parts do not fit together")
        for name in [name.removesuffix(".basis") for name in found if name.endswith(".basis")]:
            own, of_run = npz.whole(found[f"{name}.basis"]), npz.whole(found[f"{name}.numbers"])
            if of_run.shape != (len(own), len(found[f"{name}.scale"])):
                raise ValueError(f"the parts of {name} do not fit together")
            runs[name] = _kept(found[f"{name}.scale"], of_run, own)
        return Shifts(tuple(found["genes"].tolist()), basis, runs)
    except Exception as error:  # arrays of other shapes and kinds raise a dozen kinds
        reason = " ".join(str(error).removeprefix(f"{where}: ").split())[:200]
        raise BenchError(f"{where}: damaged ({reason}). Delete the file and publish its runs again.") from error
