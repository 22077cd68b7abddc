"""Cells of source, validation and target contexts with their latents, where a split holds contexts out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench.audit.second.asked_cells import Asked, Bools, Rows, Screen
from bench.audit.second.embedded import Floats, standardised
from bench.audit.second.recognised import mixed


@dataclass(frozen=True, eq=False)
class Cells:
    """Latents ``[N, D]``, and numbers of perturbation, context and batch of each cell ``[N]``."""

    z: Floats
    perturbation: Rows
    context: Rows
    batch: Rows

    def __len__(self) -> int:
        return len(self.z)

    def at(self, which: Bools | Rows) -> Cells:
        """Some of them."""
        return Cells(self.z[which], self.perturbation[which], self.context[which], self.batch[which])

    def with_(self, other: Cells) -> Cells:
        """These, then others."""
        names = ("z", "perturbation", "context", "batch")
        return Cells(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names))


@dataclass(frozen=True, eq=False)
class Apart:
    """Cells by role; (context, perturbation) of the units that are asked; the control's number."""

    roles: dict[str, Cells]
    units: tuple[tuple[int, int], ...]
    control: int

    def unit_of(self, cells: Cells) -> Rows:
        """Place of each cell's unit; -1 of others ``[N]``."""
        place = {unit: i for i, unit in enumerate(self.units)}
        pairs = zip(cells.context.tolist(), cells.perturbation.tolist(), strict=True)
        return np.array([place.get(pair, -1) for pair in pairs], dtype=np.int64)

    @property
    def shared(self) -> list[int]:
        """Perturbations of both source and target contexts, ascending."""
        return sorted(set(self.roles["source"].perturbation.tolist()) & set(self.roles["target"].perturbation.tolist()))

    def mixed(self, seed: int) -> Apart:
        """The same, what was done to target cells and controls permuted within context and batch."""
        both = self.roles["target"].with_(self.roles["target_reference"])
        places = both.context * (int(both.batch.max()) + 1) + both.batch
        both = replace(both, perturbation=mixed(both.perturbation, places, seed))
        control = both.perturbation == self.control
        return replace(self, roles=self.roles | {"target": both.at(~control), "target_reference": both.at(control)})


def arranged(screen: Screen, asked: Asked, latents: Floats, rows: Rows, width: int | None = None) -> Apart:
    """Latents by role, by mean and spread of source cells, their controls, and the target's input controls.

    Args:
        screen: The cells.
        asked: Who is asked.
        latents: Of some rows ``[n, D]``.
        rows: Which, ascending ``[n]``.
        width: How many of the latents are looked at; absent = all.
    """
    z = {role: latents[np.searchsorted(rows, of), :width] for role, of in asked.roles.items()}
    by = np.concatenate([z["source"], z["source_controls"], z["target_controls"]])
    roles = {
        role: Cells(standardised(z[role], by), screen.perturbation[of], screen.context[of], screen.batch[of])
        for role, of in asked.roles.items()
    }
    return Apart(roles, asked.units, screen.control)
