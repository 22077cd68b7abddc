"""Cells with three times the spread of the controls around a blind mean."""

import numpy as np

from cheats.exported import Exported, Floats
from cheats.registry import Cheat, same_as

CELLS = 20


def inflated(data: Exported) -> Floats:
    """Cells ``[T, n, G]`` whose means are exactly those of the mean train shift."""
    noise = np.random.default_rng(2).standard_normal((CELLS, len(data.genes))) * 3 * data.control_sd
    return data.moved(data.m)[:, None] + (noise - noise.mean(axis=0))


CHEATS = (Cheat("inflated spread", inflated, same_as("mean")),)
