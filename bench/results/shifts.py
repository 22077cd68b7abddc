"""Predicted shifts of committed rows, one member of a board's file, so that anybody computes their metrics again.

Rows of one board resemble each other: their shifts lie near a few directions of gene space. So the file holds
directions ``basis [R, G]`` (float16) once, and of every unit of every run one scale (float32) and whole numbers (int16)
``[R]``: ``shift = scale * numbers @ basis``, within about 1/512 of the unit's root mean square in each gene. Directions
are only ever added, so that what is kept of a run stays the same, and with it its digest, when others come.

Boards of the track that plans keep coordinates in a space of few axes instead of genes: named columns again, with the
axes themselves as directions and a step of its own for each row (:class:`Rows`); :mod:`bench.tracks.planning.kept`
says what the rows are.

``predictions.npz`` needs numpy alone: ``genes [G]``, ``basis``, ``runs [K]`` (run ids), ``begins [K + 1]`` (where each
run's units begin), ``scale [N]``, and ``numbers [2, R, N]``, the low and the high bytes of the whole numbers; of
coordinates, which are small, ``folded [2, R, N]`` instead, the bytes of 2 n for n >= 0 and of -2 n - 1 below, of which
the high ones are nearly all 0. Units of a run are those of scope ``all`` in its values, in that order. A negative scale
marks a row of coordinates of which the model knows nothing.
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
#: Steps in the root mean square of a unit's shift, of a run of many units and of one with fewer than :data:`MANY`, as
#: fewer errors cancel in its means. Measured on 22 rows of three boards: correlations of single units stay within 1e-3
#: and means of families within 1e-4; float16 for each gene leaves a third of that and takes five times the room.
STEPS, FINE_STEPS, MANY = 512, 1024, 50
_LARGEST = np.iinfo(np.int16).max
_MEMBERS = ("genes", "basis", "runs", "begins", "scale")
_NUMBERS, _FOLDED = "numbers", "folded"


class Rows(NamedTuple):
    """What is to be kept of one run.

    Attributes:
        names: Of the columns ``[G]``: genes, or axes.
        shifts: ``[T, G]``.
        steps: Of coordinates, what one whole number stands for in each row ``[T]``, positive or negative: then columns
            are directions. Absent: a share of the row's root mean square, along directions that many rows share.
    """

    names: tuple[str, ...]
    shifts: Floats
    steps: Floats | None = None


@dataclass(frozen=True, eq=False)
class Kept:
    """What is kept of one run.

    Attributes:
        scale: Of each unit ``[T]``, float32.
        numbers: ``[r, T]``, int16; directions from the r-th on are not used.
    """

    scale: NDArray[np.float32]
    numbers: NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Shifts:
    """The kept shifts of a board.

    Attributes:
        genes: Gene names ``[G]``.
        basis: Directions ``[R, G]``, float16, about orthonormal.
        runs: By run id.
    """

    genes: tuple[str, ...] = ()
    basis: NDArray[np.float16] = field(default_factory=lambda: np.zeros((0, 0), np.float16))
    runs: Mapping[str, Kept] = field(default_factory=dict)

    def of(self, run_id: str) -> Floats:
        """Shifts of a run ``[T, G]``."""
        kept = self.runs[run_id]
        used = self.basis[: len(kept.numbers)].astype(np.float64)
        return kept.scale.astype(np.float64)[:, None] * (kept.numbers.T.astype(np.float64) @ used)

    def rows(self, run_id: str) -> Rows:
        """What is kept of a run, to be kept elsewhere."""
        return Rows(self.genes, self.of(run_id), self.runs[run_id].scale.astype(np.float64) if self.plain else None)

    def digest(self, run_id: str) -> str:
        """Hash of all that decides a run's shifts (64 hex digits)."""
        kept = self.runs[run_id]
        used = self.basis[: len(kept.numbers)]
        return sha256_arrays(np.array(self.genes, dtype=np.str_), used, kept.scale, kept.numbers)

    @property
    def plain(self) -> bool:
        """Whether columns are directions themselves: see :meth:`with_coordinates`."""
        return np.array_equal(self.basis, np.eye(len(self.genes), dtype=np.float16))

    @property
    def digests(self) -> dict[str, str]:
        """The hash of each run's shifts."""
        return {name: self.digest(name) for name in self.runs}

    def only(self, run_ids: Iterable[str]) -> Shifts:
        """The same without other runs."""
        return Shifts(self.genes, self.basis, {name: self.runs[name] for name in run_ids if name in self.runs})

    def with_runs(self, genes: tuple[str, ...], fresh: Mapping[str, Floats]) -> Shifts:
        """The same and more runs, with as many more directions as these need.

        Args:
            genes: Their genes.
            fresh: Shifts of each ``[T, G]``.

        Raises:
            BenchError: Other genes than those of the board's other runs.
        """
        if not fresh:
            return self
        if self.runs and genes != self.genes:
            raise BenchError("predictions of other genes than those that are kept of the board's other rows.")
        basis = self.basis if self.runs else np.zeros((0, len(genes)), np.float16)
        rms = {name: np.sqrt(np.mean(np.square(shift), axis=1)) for name, shift in fresh.items()}
        plain = {
            name: np.divide(shift, rms[name][:, None], out=np.zeros_like(shift), where=rms[name][:, None] > 0)
            for name, shift in fresh.items()
        }
        steps = {name: STEPS if len(shift) >= MANY else FINE_STEPS for name, shift in plain.items()}
        step_of = np.concatenate([np.full(len(shift), float(steps[name])) for name, shift in plain.items()])
        basis = _grown(basis, np.concatenate(list(plain.values())), step_of)
        inverse = np.linalg.pinv(basis.astype(np.float64))
        coded = {}
        for name, shift in plain.items():
            along = shift @ inverse
            step = int(min(steps[name], _LARGEST / max(np.abs(along).max(initial=0.0), 1.0)))
            numbers = np.rint(along * step).astype(np.int16).T
            used = int(np.flatnonzero(numbers.any(axis=1)).max(initial=-1)) + 1
            coded[name] = Kept((rms[name] / step).astype(np.float32), np.ascontiguousarray(numbers[:used]))
        return Shifts(genes, basis, {**self.runs, **coded})

    def with_coordinates(self, axes: tuple[str, ...], fresh: Mapping[str, tuple[Floats, Floats]]) -> Shifts:
        """The same and more runs, whose columns are directions themselves.

        Args:
            axes: Names of the columns.
            fresh: Coordinates of each ``[T, K]``, and their steps ``[T]``.

        Raises:
            BenchError: Other columns than those of the board's other runs, or a step too small for its row.
        """
        basis = np.eye(len(axes), dtype=np.float16)
        if self.runs and (axes != self.genes or not self.plain):
            raise BenchError("coordinates in another space than those that are kept of the board's other rows.")
        coded = {}
        for name, (rows, steps) in fresh.items():
            scale = steps.astype(np.float32)
            numbers = np.rint(rows / scale.astype(np.float64)[:, None])
            if np.abs(numbers).max(initial=0.0) > _LARGEST:
                raise BenchError(f"coordinates of {name}: a step is too small for its row.")
            kept = numbers.astype(np.int16).T
            used = int(np.flatnonzero(kept.any(axis=1)).max(initial=-1)) + 1
            coded[name] = Kept(scale, np.ascontiguousarray(kept[:used]))
        return Shifts(axes, basis, {**self.runs, **coded})


def _grown(basis: NDArray[np.float16], rows: Floats, steps: Floats) -> NDArray[np.float16]:
    """Add the directions that some shifts ``[N, G]`` need, the most needed first."""
    genes = rows.shape[1]
    # Half of what rounding the whole numbers may leave, as a squared norm over genes.
    limit = genes * (0.5 / steps) ** 2 / 12
    while True:
        used = basis.astype(np.float64)
        left = rows - rows @ np.linalg.pinv(used) @ used if len(used) else rows
        square = np.einsum("ng,ng->n", left, left)
        if (square <= limit).all() or len(basis) >= genes:
            return basis
        found = np.linalg.eigh(left.T @ left)[1].T[::-1][: genes - len(basis)]
        rest = square[:, None] - np.cumsum(np.square(left @ found.T), axis=1)
        enough = (rest <= limit[:, None]).all(axis=0)
        n = int(np.argmax(enough)) + 1 if enough.any() else len(found)
        basis = np.concatenate([basis, found[:n].astype(np.float16)])


def pack(shifts: Shifts) -> bytes:
    """Shifts as an npz file: the same ones are the same bytes."""
    names = sorted(shifts.runs)
    counts = [len(shifts.runs[name].scale) for name in names]
    begins = np.cumsum([0, *counts])
    numbers = np.zeros((len(shifts.basis), int(begins[-1])), dtype="<i2")
    for name, begin in zip(names, begins.tolist()):
        block = shifts.runs[name].numbers
        numbers[: len(block), begin : begin + block.shape[1]] = block
    arrays: dict[str, NDArray[Any]] = {
        "genes": np.array(shifts.genes, dtype=np.str_),
        "basis": shifts.basis.astype("<f2"),
        "runs": np.array(names, dtype=np.str_),
        "begins": begins.astype("<i8"),
        "scale": np.concatenate([shifts.runs[name].scale for name in names]).astype("<f4"),
    }
    # Low bytes are noise and high bytes nearly all alike: apart, each is packed as well as it can be.
    packed = (numbers << 1) ^ (numbers >> 15) if shifts.plain else numbers
    arrays[_FOLDED if shifts.plain else _NUMBERS] = np.stack([packed & 0xFF, packed >> 8 & 0xFF]).astype(np.uint8)
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
        found = read_npz(where, "kept predictions", names=(*_MEMBERS, _NUMBERS, _FOLDED), blob=blob)
        folded = _FOLDED in found
        low, high = found[_FOLDED if folded else _NUMBERS].astype(np.uint16)
        whole = (low | high << 8).astype(np.uint16)
        if folded:
            whole = ((whole >> 1) ^ (0 - (whole & 1))).astype(np.uint16)
        numbers = whole.view(np.int16)
        runs = {}
        begins = found["begins"].tolist()
        for name, begin, end in zip(found["runs"].tolist(), begins[:-1], begins[1:], strict=True):
            block = numbers[:, begin:end]
            used = int(np.flatnonzero(block.any(axis=1)).max(initial=-1)) + 1
            runs[name] = Kept(found["scale"][begin:end], np.ascontiguousarray(block[:used]))
        if numbers.shape != (len(found["basis"]), len(found["scale"])) or begins[-1] != len(found["scale"]):
            raise ValueError("its parts do not fit together")
        return Shifts(tuple(found["genes"].tolist()), found["basis"], runs)
    except Exception as error:  # arrays of other shapes and kinds raise a dozen kinds
        reason = " ".join(str(error).removeprefix(f"{where}: ").split())[:200]
        raise BenchError(f"{where}: damaged ({reason}). Delete the file and publish its runs again.") from error
