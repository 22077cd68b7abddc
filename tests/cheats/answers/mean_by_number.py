"""What the number of perturbed genes tells: its own mean, its own scale, its own size."""

import numpy as np

from cheats.exported import Exported, Floats
from cheats.registry import Cheat


def own_mean(data: Exported) -> Floats:
    """Mean shift of the train units with as many perturbed genes."""
    return data.moved(data.by_number(lambda rows: data.shifts[rows].mean(axis=0)))


def scaled(data: Exported) -> Floats:
    """That mean, halved for a single and half as much again for a double."""
    factor = np.where(data.asked == 1, 0.5, 1.5)[:, None]
    return data.moved(factor * data.by_number(lambda rows: data.shifts[rows].mean(axis=0)))


def sized(data: Exported) -> Floats:
    """That mean with the typical size of train units with as many perturbed genes."""
    direction = data.by_number(lambda rows: data.shifts[rows].mean(axis=0))
    return data.moved(data.sized(direction, data.by_number(lambda rows: np.exp(np.log(data.sizes[rows]).mean()))))


def whole_mean_sized(data: Exported) -> Floats:
    """The one mean of all train units with the typical size of those with as many perturbed genes."""
    size = data.by_number(lambda rows: np.exp(np.log(data.sizes[rows]).mean()))
    return data.moved(data.sized(np.broadcast_to(data.m, (len(size), len(data.m))), size))


CHEATS = (
    Cheat("mean by number", own_mean),
    Cheat("mean by number x .5/1.5", scaled),
    Cheat("mean by number, sized by number", sized),
    Cheat("mean, sized by number", whole_mean_sized),
)
