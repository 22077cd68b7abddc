"""Which form expression is in, told by its counts: undone rightly, a cell's values are multiples of its smallest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import scipy.sparse as sp

from bench.core.typing import Floats

#: The form that models take, as it is called here.
LOG1P = "log1p of scaled counts"
TWICE = "log1p of log1p of scaled counts"
#: Forms in words, and what undoes each.
UNDONE: Mapping[str, Callable[[Floats], Floats]] = MappingProxyType(
    {
        LOG1P: np.expm1,
        TWICE: lambda values: np.expm1(np.minimum(np.expm1(values), 30.0)),
        "log2(x + 1) of scaled counts": lambda values: np.expm1(values * np.log(2)),
        "log10(x + 1) of scaled counts": lambda values: np.expm1(values * np.log(10)),
        "scaled counts, not logged": lambda values: values,
        "square roots of scaled counts": np.square,
    }
)
#: Cells that are looked at, and ratios of their values without which nothing can be told.
CELLS, RATIOS = 200, 50
#: A form fits with this share of whole multiples and more, and does not with that and less.
FITS, DIFFERS = 0.9, 0.5


def share_of_multiples(x: sp.csr_matrix, undo: Callable[[Floats], Floats]) -> float | None:
    """Share of values that are whole multiples of their cell's smallest one, which is one count as a rule.

    Args:
        x: Expression ``[cells, genes]``, not negative.
        undo: Takes a cell's values back to scaled counts.

    Returns:
        The share among values of 1.5 to 30 times the smallest; None = there are too few of them.
    """
    hits = total = 0
    for i in np.linspace(0, x.shape[0] - 1, min(CELLS, x.shape[0])).astype(int):
        values: Any = undo(np.minimum(x.data[x.indptr[i] : x.indptr[i + 1]].astype(np.float64), 30.0))
        if len(values) < 3 or values.min() <= 0:
            continue
        ratio = values / values.min()
        ratio = ratio[(ratio > 1.5) & (ratio < 30)]
        hits += int((np.abs(ratio - np.round(ratio)) < 0.03).sum())
        total += len(ratio)
    return hits / total if total >= RATIOS else None


def form_of(x: sp.csr_matrix) -> str | None:
    """Tell the form of expression.

    Args:
        x: See :func:`share_of_multiples`.

    Returns:
        One of :data:`UNDONE`; empty = none of them: smoothed, corrected, scaled; None = it cannot be told.
    """
    share = share_of_multiples(x, UNDONE[LOG1P])
    if share is None:
        return None
    if share > DIFFERS:
        return LOG1P
    others = {name: share_of_multiples(x, undo) or 0.0 for name, undo in UNDONE.items() if name != LOG1P}
    best = max(others, key=lambda name: others[name])
    return best if others[best] > FITS else ""
