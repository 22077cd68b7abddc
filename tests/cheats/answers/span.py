"""The best combination of blind directions, for the pattern of the train shifts and for their DE ranks."""

import numpy as np

from cheats.exported import Exported, Floats, Rows
from cheats.registry import Cheat


def directions(data: Exported, rows: Rows) -> Floats:
    """Blind directions of some train units ``[k, G]``."""
    shifts, ranks = data.shifts[rows], data.de_ranks[rows]
    mean = shifts.mean(axis=0)
    components = np.linalg.svd(shifts - mean, full_matrices=False)[2][:3]
    rms = np.sign(mean) * np.sqrt((shifts**2).mean(axis=0))
    return np.stack(
        [mean, rms, ranks.mean(axis=0), *components, data.c_in.mean(axis=0), data.control_sd, np.ones(len(mean))]
    )


def unit(values: Floats) -> Floats:
    """Centre rows ``[n, G]`` and give them norm 1."""
    centred = values - values.mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=-1, keepdims=True), 1e-12))


def ranked(values: Floats) -> Floats:
    """Sign times rank of the absolute value, by row."""
    return np.asarray(np.sign(values) * (np.abs(values).argsort(axis=-1).argsort(axis=-1) + 1.0))


def best(basis: Floats, wanted: Floats) -> Floats:
    """The vector in the span of a basis with the largest mean correlation with some rows ``[n, G]``."""
    q = np.linalg.qr(unit(basis).T)[0]
    return np.asarray(q @ (q.T @ unit(wanted).mean(axis=0)))


def pattern(data: Exported) -> Floats:
    """Best for the shifts of all train units."""
    everyone = np.arange(len(data.train))
    return data.moved(data.sized(best(directions(data, everyone), data.shifts)))


def pattern_by_number(data: Exported) -> Floats:
    """Best for the shifts of train units with as many perturbed genes."""
    return data.moved(data.sized(data.by_number(lambda rows: best(directions(data, rows), data.shifts[rows]))))


def de(data: Exported) -> Floats:
    """Best for the signed DE ranks of all train units."""
    everyone = np.arange(len(data.train))
    return data.moved(data.sized(best(ranked(directions(data, everyone)), data.de_ranks)))


CHEATS = (
    Cheat("span optimum, pattern", pattern),
    Cheat("span optimum, pattern by number", pattern_by_number),
    Cheat("span optimum, DE", de),
)
