"""What the protocol found for one encoder on one task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.core.conditions import identity_name
from bench.core.typing import Floats
from bench.tracks.representation.metrics import METRICS, NAMES

#: (perturbation, context).
Unit = tuple[str, str]


@dataclass(frozen=True, eq=False)
class RepresentationScores:
    """Values per unit, and numbers of the whole run.

    Attributes:
        units: (perturbation, context) of each ``[U]``.
        values: A value per unit for each of :data:`~bench.tracks.representation.metrics.METRICS` ``[U]``;
            NaN = undefined for that unit.
        numbers: Each of :data:`~bench.tracks.representation.metrics.NUMBERS`; ``None`` = undefined.
    """

    units: tuple[Unit, ...]
    values: Mapping[str, Floats]
    numbers: Mapping[str, float | None]

    def summary(self) -> dict[str, float | None]:
        """Every number in the order of the CSV's columns: means over units, and numbers of the run."""
        means = {name: defined_mean(values) for name, values in self.values.items()}
        return {name: means[name] if name in METRICS else self.numbers[name] for name in NAMES}


def defined_mean(values: Floats) -> float | None:
    """Mean of what is not NaN; ``None`` where nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def unit_key(unit: Unit) -> str:
    """Name a unit by what it is, however its perturbation is spelled: the same for ``A+B`` and ``B+A``.

    Example:
        >>> unit_key(("B+A", "K562"))
        'A+B | K562'
    """
    perturbation, context = unit
    return f"{identity_name(perturbation)} | {context}"
