"""Another answer for each condition, from real shifts, that has nothing to do with it: additive for its neighbour.

Identity must not pay for answers that merely differ.
"""

import numpy as np

from cheats.exported import Exported, Floats
from cheats.registry import Cheat


def rotated(data: Exported, model: Floats) -> Floats:
    """A good model's predictions, each handed in for the next test unit that shares no gene with its own."""
    from bench.core.conditions import identity

    genes = [identity(unit.perturbation) for unit in data.test]
    n = len(genes)
    apart = [next((j % n for j in range(i + 1, i + n) if not genes[i] & genes[j % n]), i) for i in range(n)]
    return np.asarray(model[apart])


CHEATS = (Cheat("model, names rotated", rotated, uses=("model",)),)
