"""Half of one blind answer and half of another."""

import numpy as np

from cheats.exported import Exported, Floats
from cheats.registry import Cheat, blend


def halves(data: Exported) -> Floats:
    """Of sign x rms and the mean, both sized."""
    rms = np.sign(data.m) * np.sqrt((data.shifts**2).mean(axis=0))
    return data.moved(data.sized(data.sized(data.m) + data.sized(rms)))


def ranks(data: Exported) -> Floats:
    """Of the mean and the mean signed DE ranks, both sized."""
    return data.moved(data.sized(data.sized(data.m) + data.sized(data.de_ranks.mean(axis=0))))


CHEATS = (Cheat("blend of mean and sign x rms", halves, blend), Cheat("blend of mean and DE ranks", ranks, blend))
