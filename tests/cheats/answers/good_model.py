"""A good model turned round, magnified, shrunk, and brought to the size that train shifts typically have."""

import numpy as np

from cheats.exported import Exported, Floats
from cheats.registry import Cheat, below, below_zero, size_only_beside


def shift(data: Exported, model: Floats) -> Floats:
    """Its shifts ``[T, G]``."""
    return np.asarray(model - data.c_in[data.at(data.test)])


def times(factor: float) -> object:
    """The model's shifts times a factor."""
    return lambda data, model: data.moved(factor * shift(data, model))


def resized(data: Exported, model: Floats) -> Floats:
    """The model's shifts with one factor for all, so that their geometric mean size is that of the train shifts."""
    own = np.linalg.norm(shift(data, model), axis=1)
    return data.moved(shift(data, model) * data.typical_size / np.exp(np.log(np.maximum(own, 1e-12)).mean()))


MODEL = ("model",)
CHEATS = (
    Cheat("model, wrong sign", times(-1.0), below_zero, MODEL),
    Cheat("model x 10", times(10.0), below("model"), MODEL),
    Cheat("model x .5", times(0.5), size_only_beside("model"), MODEL),
    Cheat("model, mean size", resized, size_only_beside("model"), MODEL),
)
