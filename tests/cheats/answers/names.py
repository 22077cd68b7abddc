"""A copy of the train condition whose name is most similar.

A name that shares a gene says something about the answer: such a copy is an honest neighbour where it does, so
that it is tried without these, too, where the name is all there is.
"""

from collections.abc import Callable

import numpy as np

from bench.core.conditions import identity
from cheats.exported import Exported, Floats
from cheats.registry import Cheat, at_most


def alphabetical(data: Exported, name: str, known: list[str]) -> str:
    """The train condition that would stand next to it in a sorted list."""
    return known[min(int(np.searchsorted(known, name)), len(known) - 1)]


def distance(a: str, b: str) -> int:
    """Levenshtein distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def nearest(data: Exported, name: str, known: list[str]) -> str:
    """The train condition with the fewest letters to change; of several the first."""
    return min(known, key=lambda other: (distance(name, other), other))


def copy(data: Exported, choose: Callable[[Exported, str, list[str]], str], apart: bool = False) -> Floats:
    """Copy the shift of a chosen train condition, averaged over its contexts."""
    names = [unit.perturbation for unit in data.train]
    out = []
    for unit in data.test:
        genes = identity(unit.perturbation)
        known = sorted({name for name in names if not (apart and genes & identity(name))})
        found = choose(data, unit.perturbation, known)
        out.append(data.shifts[[i for i, name in enumerate(names) if name == found]].mean(axis=0))
    return data.moved(np.stack(out))


CHEATS = (
    Cheat("copy of the alphabetical neighbour", lambda data: copy(data, alphabetical), at_most("additive", "model")),
    Cheat("copy of the nearest name", lambda data: copy(data, nearest), at_most("additive", "model")),
    Cheat("copy of the nearest name, no gene shared", lambda data: copy(data, nearest, apart=True)),
)
