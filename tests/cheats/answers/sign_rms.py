"""The sign of the mean train shift times the root mean square of train shifts, gene by gene."""

import numpy as np

from cheats.exported import Exported, Floats
from cheats.registry import Cheat


def sign_rms(data: Exported) -> Floats:
    """As it was first on a board of scoring version 3."""
    return data.moved(data.sized(np.sign(data.m) * np.sqrt((data.shifts**2).mean(axis=0))))


CHEATS = (Cheat("sign x rms", sign_rms),)
