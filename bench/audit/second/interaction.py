"""How contexts differ in their response, a second time: by the projections that take means out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

#: Contexts and perturbations that must be crossed, at least.
CROSSED = 4


def block(context: Rows, perturbation: NDArray[np.str_]) -> Rows:
    """Units of which each context has every perturbation ``[C, P]``; empty where under four of either are crossed.

    While too few perturbations are in all contexts, the context with the fewest units goes, of several the first.
    """
    place = {(int(c), str(p)): i for i, (c, p) in enumerate(zip(context, perturbation, strict=True))}
    held = {int(c): {str(p) for p in perturbation[context == c]} for c in np.unique(context)}
    while len(held) >= CROSSED:
        common = sorted(set.intersection(*held.values()))
        if len(common) >= CROSSED:
            return np.array([[place[c, p] for p in common] for c in held], dtype=np.int64)
        del held[min(held, key=lambda c: len(held[c]))]
    return np.zeros((0, 0), dtype=np.int64)


def _without_mean(n: int) -> Floats:
    """The projection that takes the mean of ``n`` numbers out of them."""
    return np.asarray(np.eye(n) - 1.0 / n)


def interactions(shifts: Floats, rows: Rows) -> Floats:
    """What neither context nor perturbation explains of shifts, centred over genes ``[C * P, G]``, context by context.

    Args:
        shifts: Over the genes that count ``[T, G]``.
        rows: From :func:`block`.
    """
    contexts, perturbations = rows.shape
    left = np.kron(_without_mean(contexts), _without_mean(perturbations)) @ shifts[rows.ravel()]
    return np.asarray(left - left.mean(axis=1, keepdims=True))
