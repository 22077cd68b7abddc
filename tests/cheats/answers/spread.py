"""Cells with three times the spread of the controls around a blind mean."""

import numpy as np

from cheats.exported import Exported, Floats
from cheats.registry import Cheat, same_as

CELLS = 20


def inflated(data: Exported) -> Floats:
    """Cells ``[T, n, G]``, not below 0, whose means are those of the mean train shift."""
    relative = 3 * data.control_sd / np.maximum(data.c_in.mean(axis=0), 1e-6)
    shape = np.maximum(relative, 0.1) ** -2.0  # of a gamma distribution with this coefficient of variation
    factor = np.random.default_rng(2).gamma(np.maximum(shape, 0.05), size=(CELLS, len(shape))) + 1e-6
    return np.asarray(data.moved(data.m)[:, None] * factor / factor.mean(axis=0))


CHEATS = (Cheat("inflated spread", inflated, same_as("mean")),)
