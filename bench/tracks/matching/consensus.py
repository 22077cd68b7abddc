"""Consensus profiles: one per perturbation of a group, the median over its wells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.core.typing import Floats
from bench.data.profiles.wells import Wells


@dataclass(frozen=True, eq=False)
class Consensus:
    """Profiles of perturbations.

    Attributes:
        x: Median over the wells of each ``[P, F]``.
        perturbation: Names, sorted ``[P]``.
        targets: Of each ``[P]``.
        modality: Of all.
    """

    x: Floats
    perturbation: tuple[str, ...]
    targets: tuple[tuple[str, ...], ...]
    modality: str

    def __len__(self) -> int:
        return len(self.perturbation)

    def take(self, rows: list[int]) -> Consensus:
        """Some of them."""
        return Consensus(
            self.x[rows],
            tuple(self.perturbation[i] for i in rows),
            tuple(self.targets[i] for i in rows),
            self.modality,
        )

    def restricted(self, known: frozenset[str]) -> Consensus:
        """Only targets that are known, and the perturbations that have one."""
        lists = [tuple(name for name in targets if name in known) for targets in self.targets]
        some = [i for i, names in enumerate(lists) if names]
        found = self.take(some)
        return Consensus(found.x, found.perturbation, tuple(lists[i] for i in some), self.modality)


def consensus(wells: Wells) -> Consensus:
    """Take the median over the wells of each perturbation of a group, without negative controls.

    Source: the evaluation of CPJUMP1.
    """
    treated = np.flatnonzero(~wells.control)
    names, index = np.unique(wells.perturbation[treated], return_inverse=True)
    rows = [treated[index == i] for i in range(len(names))]
    # Rows of one perturbation that name other targets would be an error of the table: all of them count.
    targets = [tuple(sorted({name for row in of.tolist() for name in wells.targets[row]})) for of in rows]
    x = np.array([np.median(wells.x[of], axis=0) for of in rows]).reshape(len(rows), wells.x.shape[1])
    return Consensus(x, tuple(names.tolist()), tuple(targets), str(wells.modality[0]) if len(wells) else "")
