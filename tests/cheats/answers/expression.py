"""Directions that owe nothing to any perturbation: the expression of the controls, its spread, all ones."""

import numpy as np

from cheats.registry import Cheat

CHEATS = (
    Cheat("c_in", lambda data: data.moved(data.sized(data.c_in[data.at(data.test)]))),
    Cheat("minus c_in", lambda data: data.moved(data.sized(-data.c_in[data.at(data.test)]))),
    Cheat("control SD", lambda data: data.moved(data.sized(data.control_sd))),
    Cheat("ones", lambda data: data.moved(data.sized(np.ones(len(data.genes))))),
)
