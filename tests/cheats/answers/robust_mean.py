"""Blind centres of the train shifts that are no combination of their mean, its signs and their components.

A floor that is the best of a span of directions can be beaten by a centre outside of it: one that loud conditions do
not rule (mean of unit-norm shifts, median), or one that weighs genes by how sure they are.
"""

import numpy as np

from cheats.exported import Exported, Floats
from cheats.registry import Cheat


def unit_mean(data: Exported) -> Floats:
    """Mean of the train shifts, each centred and of norm 1: what mean correlation asks for."""
    centred = data.shifts - data.shifts.mean(axis=1, keepdims=True)
    return data.moved(data.sized((centred / np.linalg.norm(centred, axis=1, keepdims=True)).mean(axis=0)))


def median(data: Exported) -> Floats:
    """Median of the train shifts, gene by gene."""
    return data.moved(data.sized(np.median(data.shifts, axis=0)))


def shrunk(data: Exported) -> Floats:
    """The mean, each gene less where its train shifts scatter: m (1 - s^2 / (n m^2)), not under 0."""
    noise = data.shifts.var(axis=0, ddof=1) / len(data.shifts)
    return data.moved(data.sized(data.m * np.maximum(0.0, 1 - noise / np.maximum(data.m**2, 1e-12))))


def over_sd(data: Exported) -> Floats:
    """The mean over the controls' standard deviation: near the DE ranks, with sizes kept."""
    sd = np.maximum(data.control_sd, np.quantile(data.control_sd[data.control_sd > 0], 0.1))
    return data.moved(data.sized(data.m / sd))


CHEATS = (
    Cheat("mean of unit shifts", unit_mean),
    Cheat("median shift", median),
    Cheat("shrunk mean", shrunk),
    Cheat("mean over control SD", over_sd),
)
