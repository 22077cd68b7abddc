"""What other contexts say of a unit, a second time: products with matrices of who is whose neighbour."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Perturbation and context of some units, by name and by number.
Units: TypeAlias = tuple[NDArray[np.str_], NDArray[np.int64]]

#: Percent of a context's own part that is added.
PERCENT = (25, 50, 75, 100)


def _averages(rows: Units, columns: Units) -> Floats:
    """Weights that take the mean over units of the same perturbation in other contexts; rows of 0 where none is."""
    among = (rows[0][:, None] == columns[0]) & (rows[1][:, None] != columns[1])
    return np.asarray(among / np.maximum(among.sum(axis=1, keepdims=True), 1))


def from_elsewhere(shifts: Floats, train: Units, test: Units) -> dict[str, Floats]:
    """Shifts of test units by who remembers their perturbation ``[T, G]``.

    ``same_perturbation``: its mean over train units of other contexts, the mean of all where it has none; nothing where
    no test unit has any. ``two_way_sum_P``: besides P percent of what the train units of the same context have beyond
    theirs, where each test context has some.

    Args:
        shifts: Of train units ``[U, G]``.
        train: These.
        test: Test units.
    """
    weights = _averages(test, train)
    if not len(shifts) or not weights.any():
        return {}
    same = np.where(weights.any(axis=1, keepdims=True), weights @ shifts, shifts.mean(axis=0))
    out = {"same_perturbation": same}
    others = _averages(train, train)
    shared = others.any(axis=1)
    inside = (test[1][:, None] == train[1]) & shared
    if inside.any(axis=1).all():
        own = inside @ (shifts - others @ shifts) / inside.sum(axis=1, keepdims=True)
        out |= {f"two_way_sum_{percent}": same + own * (percent / 100.0) for percent in PERCENT}
    return out
