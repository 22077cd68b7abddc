"""A blind direction with the right size for each condition, which only the test cells tell (an oracle)."""

import numpy as np

from cheats.exported import Exported, Floats
from cheats.registry import Cheat, strength_only


def mean(data: Exported, size: Floats) -> Floats:
    """The mean train shift, sized by the truth."""
    return data.moved(data.sized(np.broadcast_to(data.m, (len(size), len(data.m))), size))


def rms(data: Exported, size: Floats) -> Floats:
    """Sign x rms, sized by the truth."""
    direction = np.sign(data.m) * np.sqrt((data.shifts**2).mean(axis=0))
    return data.moved(data.sized(np.broadcast_to(direction, (len(size), len(direction))), size))


CHEATS = (
    Cheat("mean, right size (oracle)", mean, strength_only, uses=("true_size",)),
    Cheat("sign x rms, right size (oracle)", rms, strength_only, uses=("true_size",)),
)
