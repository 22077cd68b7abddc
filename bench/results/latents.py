"""What a model says in latents: of screens whose true latents are known, and of what it predicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.core.units import Unit


@dataclass(frozen=True)
class Latents:
    """Of held-out cells, and what the model itself says of perturbations and causes; all arrays are float64.

    Attributes:
        z: Latents among which the true ones are looked for: all, or of a model that tells two blocks apart those that
            perturbations move ``[N, D]``.
        invariant: The block that perturbations leave alone ``[N, E]``; ``None`` = the model has one block.
        effects: Size of each perturbation's effect on each latent of ``z`` ``[P, D]``; ``None`` = measured.
        graph: What latents of ``z`` do to each other (effect, cause), in units of their scales ``[D, D]``.
        doubles: Predicted shift of ``z`` by each double ``[doubles, D]``; ``None`` = the sum of two measured shifts.
    """

    z: Floats
    invariant: Floats | None = None
    effects: Floats | None = None
    graph: Floats | None = None
    doubles: Floats | None = None

    @property
    def width(self) -> int:
        """Latents in all."""
        return int(self.z.shape[1] + (0 if self.invariant is None else self.invariant.shape[1]))

    def check(self, cells: int, widest: int) -> None:
        """Refuse what cannot be compared.

        Args:
            cells: Held-out cells.
            widest: True latents in all: with more, a true latent is found among many by chance.

        Raises:
            BenchError: Another number of cells, no numbers, or more latents than there are true ones.
        """
        for name, part in (("z", self.z), ("invariant", self.invariant)):
            if part is None:
                continue
            if part.ndim != 2 or len(part) != cells:
                raise BenchError(f"latents '{name}' have the shape {part.shape}; expected {cells} held-out cells.")
            if not np.isfinite(part).all():
                bad = int((~np.isfinite(part).all(axis=1)).sum())
                raise BenchError(f"latents '{name}' are NaN or infinite in {bad} of {cells} held-out cells.")
        if self.width > widest:
            raise BenchError(
                f"{self.width} latents, and {widest} true ones: of more latents some are like the true ones by chance, "
                f"so rows are compared at equal widths. Use {widest} or fewer."
            )


@dataclass(frozen=True, eq=False)
class OwnLatents:
    """Of cells that are encoded without their labels, and of what is predicted: in the model's own latents.

    Attributes:
        rows: Cells that were encoded, by row of the data set, sorted ``[N]``.
        cells: Their latents ``[N, D]``.
        shifts: By unit, predicted shift of the latent ``[D]``.
        centre: Mean shift of the train units, measured in these latents ``[D]``.
    """

    rows: NDArray[np.int64]
    cells: Floats
    shifts: Mapping[Unit, Floats]
    centre: Floats

    def mean(self, rows: NDArray[np.int64]) -> Floats:
        """Mean latent of some cells ``[D]``."""
        return np.asarray(self.cells[np.searchsorted(self.rows, rows)].mean(axis=0, dtype=np.float64))
