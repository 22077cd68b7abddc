"""Nothing happens: the input controls."""

import numpy as np

from cheats.registry import Cheat

CHEATS = (Cheat("nothing", lambda data: data.moved(np.zeros(len(data.genes)))),)
