"""One answer for all that knows the *list* of what is asked: the mean of what a model predicts over the test units.

It does not know which of them it is asked about. But where the asked conditions share genes (all doubles of a few
genes), their mean is not that of the train conditions, and a floor made from train shifts alone is too low.
"""

from collections import Counter

import numpy as np

from bench.core.conditions import constituents, single
from cheats.exported import Exported, Floats
from cheats.registry import Cheat


def centroid(data: Exported, additive: Floats) -> Floats:
    """Mean of the additive predictions over all that is asked."""
    return data.moved((additive - data.c_in[data.at(data.test)]).mean(axis=0))


def by_number(data: Exported, additive: Floats) -> Floats:
    """The same over the test units with as many perturbed genes."""
    shift = additive - data.c_in[data.at(data.test)]
    return data.moved(np.stack([shift[data.asked == k].mean(axis=0) for k in data.asked]))


def hub(data: Exported) -> Floats:
    """The train shift of the gene that is asked about most often, for every condition."""
    often = Counter(gene for unit in data.test for gene in constituents(unit.perturbation))
    known = {unit.perturbation for unit in data.train}
    genes = sorted((g for g in often if single(g) in known), key=lambda g: (-often[g], g))
    rows = [i for i, unit in enumerate(data.train) if genes and unit.perturbation == single(genes[0])]
    return data.moved(data.sized(data.shifts[rows].mean(axis=0) if rows else data.m))


CHEATS = (
    Cheat("mean of additive over the asked", centroid, uses=("additive",)),
    Cheat("mean of additive over the asked, by number", by_number, uses=("additive",)),
    Cheat("shift of the gene asked most", hub),
)
