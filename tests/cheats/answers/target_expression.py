"""The mean, sized by how much the controls express the perturbed genes: a guess of size alone."""

import numpy as np

from bench.core.conditions import constituents
from bench.core.units import Unit
from cheats.exported import Exported, Floats
from cheats.registry import Cheat, strength_only


def sized(data: Exported) -> Floats:
    """Log size regressed on the targets' summed control expression, over train units."""
    position = {gene: i for i, gene in enumerate(data.genes.tolist())}
    level = data.c_all.mean(axis=0)

    def told(units: tuple[Unit, ...]) -> Floats:
        genes = [[position[g] for g in constituents(unit.perturbation) if g in position] for unit in units]
        return np.array([level[at].sum() for at in genes])

    x, y = told(data.train), np.log(data.sizes)
    spread = x.var()
    slope = ((x - x.mean()) * (y - y.mean())).mean() / spread if spread > 0 else 0.0
    size = np.exp(y.mean() + slope * (told(data.test) - x.mean()))
    return data.moved(data.sized(np.broadcast_to(data.m, (len(size), len(data.m))), size))


CHEATS = (Cheat("mean, sized by target expression", sized, strength_only),)
