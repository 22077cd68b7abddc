"""Random directions: as large, gene by gene, as train shifts are; and hardly any."""

import numpy as np

from cheats.exported import Exported, Floats
from cheats.registry import Cheat


def shaped(data: Exported) -> Floats:
    """Noise with the root mean square of train shifts per gene, another for each condition."""
    rms = np.sqrt((data.shifts**2).mean(axis=0))
    return data.moved(np.random.default_rng(0).standard_normal((len(data.test), len(rms))) * rms)


def tiny(data: Exported) -> Floats:
    """One random direction of norm 1e-3 for all conditions."""
    return data.moved(data.sized(np.random.default_rng(1).standard_normal(len(data.genes)), 1e-3))


CHEATS = (Cheat("rms-shaped noise", shaped), Cheat("tiny random direction", tiny))
