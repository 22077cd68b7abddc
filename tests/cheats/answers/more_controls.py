"""The mean train shift measured from more cells than the floor uses: all input controls, and val conditions.

The floor subtracts the mean of at most 256 input cells. Whoever subtracts that of all input controls has less of
their noise in the same blind answer; whoever adds the val conditions averages over more.
"""

import numpy as np

from cheats.exported import Exported, Floats
from cheats.registry import Cheat


def all_controls(data: Exported) -> Floats:
    """Mean train shift from all input controls, sized."""
    return data.moved(data.sized((data.train_means - data.c_all[data.at(data.train)]).mean(axis=0)))


def fresh_controls(data: Exported) -> Floats:
    """Mean train shift from the input controls that predictions do not start from, where there are some."""
    at = data.at(data.train)
    n_in, n_all = data.inputs.sum() / len(data.contexts), (data.part == "control").sum() / len(data.contexts)
    if n_all - n_in < 20:
        return all_controls(data)
    fresh = (n_all * data.c_all - n_in * data.c_in) / (n_all - n_in)
    return data.moved(data.sized((data.train_means - fresh[at]).mean(axis=0)))


def with_val(data: Exported) -> Floats:
    """Mean shift of train and val conditions, from all input controls, sized."""
    shifts = [data.train_means - data.c_all[data.at(data.train)]]
    val = np.flatnonzero(data.part == "val")
    for condition, context in sorted(set(zip(data.condition[val], data.context[val]))):
        rows = val[(data.condition[val] == condition) & (data.context[val] == context)]
        shifts.append((data.mean(rows) - data.c_all[data.contexts.index(context)])[None])
    return data.moved(data.sized(np.concatenate(shifts).mean(axis=0)))


CHEATS = (
    Cheat("mean from all input controls", all_controls),
    Cheat("mean from fresh controls", fresh_controls),
    Cheat("mean of train and val, all controls", with_val),
)
