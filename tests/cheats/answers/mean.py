"""The mean train shift for every condition, as it is and magnified."""

from functools import partial

from cheats.exported import Exported, Floats
from cheats.registry import Cheat


def times(data: Exported, factor: float) -> Floats:
    """The mean train shift times a factor."""
    return data.moved(factor * data.m)


CHEATS = (
    Cheat("mean", partial(times, factor=1.0)),
    *(Cheat(f"mean x {factor:g}", partial(times, factor=factor)) for factor in (1.25, 1.5, 2, 3, 4)),
)
