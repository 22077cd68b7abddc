"""A copy of the one train condition that is most like all others."""

import numpy as np

from cheats.exported import Exported, Floats
from cheats.registry import Cheat


def medoid(data: Exported) -> Floats:
    """For every test unit, sized as train shifts typically are."""
    likeness = np.corrcoef(data.shifts).mean(axis=0)
    return data.moved(data.sized(data.shifts[int(likeness.argmax())]))


CHEATS = (Cheat("medoid", medoid),)
