"""The one in-memory form of morphological profiles: a row of features per well, and what was done to the well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import BenchError
from bench.core.files import sha256_arrays, sha256_json
from bench.core.typing import Floats

#: A feature as large as this is no measurement: its square is beyond what a number can hold in tables of float32.
_BEYOND = 1e18
Strings = NDArray[np.str_]
Mask = NDArray[np.bool_]
#: What a perturbation is made by, in the order in which the published scripts go through them.
COMPOUND, CRISPR, ORF = "compound", "crispr", "orf"
MODALITIES = (COMPOUND, CRISPR, ORF)


class Group(NamedTuple):
    """Wells that are looked at together.

    Attributes:
        cell: Cell type or line.
        modality: See :data:`MODALITIES`.
        time: Time point: ``short``, ``long``, or what the table says.
    """

    cell: str
    modality: str
    time: str

    def __str__(self) -> str:
        return f"{self.cell} {self.modality} {self.time}"


class Missing(NamedTuple):
    """A plate that the experiment's metadata name and for which there is no file, or an empty one.

    Attributes:
        plate: Its barcode.
        group: What its wells would belong to.
        why: ``missing`` or ``empty``.
    """

    plate: str
    group: Group
    why: str


@dataclass(frozen=True, eq=False)
class Wells:
    """Profiles of one experiment.

    Attributes:
        name: Data set name, used in paths and tables.
        x: Features, or an embedding ``[N, F]``, float64, no NaN.
        features: Names of the columns of ``x`` ``[F]``.
        plate: Plate of each well ``[N]``.
        well: Position of each well on its plate ``[N]``.
        batch: Batch of each plate's well ``[N]``.
        perturbation: Compound, guide or construct; controls have their own label ``[N]``.
        control: Whether a well is a negative control ``[N]``.
        targets: What each well's perturbation is known to act on ``[N]``; of a genetic one its gene.
        modality: See :data:`MODALITIES` ``[N]``.
        cell: Cell type or line ``[N]``.
        time: Time point ``[N]``.
        hash: Identity of the experiment: of labels and features (64 hex digits).
        missing: Plates without wells.
        notes: What a user should know.
        evidence: ``full`` or ``smoke``.
        source: Hash of the embedding that stands in ``x`` instead of the experiment's features; empty = features.
    """

    name: str
    x: Floats
    features: tuple[str, ...]
    plate: Strings
    well: Strings
    batch: Strings
    perturbation: Strings
    control: Mask
    targets: tuple[tuple[str, ...], ...]
    modality: Strings
    cell: Strings
    time: Strings
    hash: str = ""
    missing: tuple[Missing, ...] = ()
    notes: tuple[str, ...] = ()
    evidence: str = "full"
    source: str = ""

    def __len__(self) -> int:
        return len(self.plate)

    @property
    def groups(self) -> tuple[Group, ...]:
        """Every group that has a well or lacks a plate: by cell type, then modality as published, then time."""
        found = {Group(*names) for names in zip(self.cell.tolist(), self.modality.tolist(), self.time.tolist())}
        found |= {plate.group for plate in self.missing}
        return tuple(sorted(found, key=lambda one: (one.cell, MODALITIES.index(one.modality), one.time)))

    def rows(self, group: Group) -> NDArray[np.int64]:
        """Rows of a group's wells."""
        here = (self.cell == group.cell) & (self.modality == group.modality) & (self.time == group.time)
        return np.flatnonzero(here)

    def take(self, rows: NDArray[np.int64]) -> Wells:
        """Some of the wells; the identity stays that of the whole experiment."""
        kept = {
            name: getattr(self, name)[rows]
            for name in ("x", "plate", "well", "batch", "perturbation", "control", "modality", "cell", "time")
        }
        return replace(self, **kept, targets=tuple(self.targets[i] for i in rows.tolist()))

    def with_values(self, x: Floats, source: str, features: Sequence[str] = ()) -> Wells:
        """The same wells with an embedding ``[N, D]`` in place of features."""
        names = tuple(features) or tuple(f"latent{i}" for i in range(x.shape[1]))
        return replace(self, x=np.asarray(x, dtype=np.float64), features=names, source=source)


def fitting_controls(wells: Wells) -> Mask:
    """Every other negative control of each plate, in the order of positions ``[N]``: what may be fitted on.

    A correction that is fitted on the controls that replicates are ranked against centres them, and not the
    replicates, whose common remainder then makes them alike: noise that differs from well to well scores above chance.
    """
    out = np.zeros(len(wells), dtype=np.bool_)
    for plate in np.unique(wells.plate):
        rows = np.flatnonzero(wells.control & (wells.plate == plate))
        out[rows[np.argsort(wells.well[rows], kind="stable")][::2]] = True
    return out


def identity(wells: Wells) -> str:
    """Hash labels and features; features to float32, the precision that tables of them have."""
    words = (wells.plate, wells.well, wells.batch, wells.perturbation, wells.modality, wells.cell, wells.time)
    targets = sha256_json([list(labels) for labels in wells.targets])
    names = np.array([*wells.features, targets])
    return sha256_arrays(*words, wells.control, names, wells.x.astype(np.float32))


def checked(wells: Wells, where: str, nan: str = "error") -> Wells:
    """Refuse what no task can be made of, and fix the identity.

    Args:
        wells: As they were read.
        where: The file or card, for messages.
        nan: ``error``, or ``drop``: leave out features that are undefined in some well.

    Raises:
        BenchError: Wells that are there twice, no negative control, undefined features.
    """
    places = np.char.add(np.char.add(wells.plate.astype(str), "\t"), wells.well.astype(str))
    names, counts = np.unique(places, return_counts=True)
    if (counts > 1).any():
        plate, well = str(names[int(np.argmax(counts > 1))]).split("\t")
        raise BenchError(
            f"{where}: {int((counts > 1).sum())} wells are there more than once (the first is {well} of plate "
            f"{plate}). Expected one row per plate and well; remove the repeats or average them."
        )
    if len(wells) and not wells.control.any():
        common = ", ".join(np.unique(wells.perturbation)[:5].tolist())
        raise BenchError(
            f"{where}: no negative controls among {len(wells)} wells. Name their label by 'control' in the card; "
            f"perturbations are {common}, ..."
        )
    wells = _without_nan(wells, where, nan)
    return replace(wells, hash=wells.hash or identity(wells))


def _without_nan(wells: Wells, where: str, nan: str) -> Wells:
    bad = ~(np.abs(wells.x) < _BEYOND)
    if not bad.any():
        return wells
    columns = np.flatnonzero(bad.any(axis=0))
    first = int(columns[0])
    if nan != "drop" or len(columns) == wells.x.shape[1]:
        row = int(np.argmax(bad[:, first]))
        raise BenchError(
            f"{where}: {len(columns)} of {wells.x.shape[1]} features are NaN, infinite or beyond {_BEYOND:g} in some "
            f"well, the first "
            f"'{wells.features[first]}' in {int(bad[:, first].sum())} wells ({wells.well[row]} of plate "
            f"{wells.plate[row]}). Expected numbers; fill them in, or leave these features out by --nan drop."
        )
    kept = np.flatnonzero(~bad.any(axis=0))
    said = f"{len(columns)} features are NaN in some well and are left out"
    names = tuple(wells.features[i] for i in kept.tolist())
    return replace(wells, x=wells.x[:, kept], features=names, notes=(*wells.notes, said))
