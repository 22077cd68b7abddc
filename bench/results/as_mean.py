"""Units on which a model predicts what the train mean does, though it does not say that it knew nothing.

So it is where no step of training was better on held-out conditions than none, or where nothing could be fitted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.core.track import Track
from bench.results.tables import Table

#: Scores closer than this are the same: what is the floor keeps 33 bits of its mantissa, also in a trained row.
SAME = 1e-9


def as_mean(track: Track, table: Table, scope: str) -> NDArray[np.bool_]:
    """Whether every family scores a unit exactly as the train mean, and no fallback is declared for it ``[n]``.

    Args:
        track: The track; without families there is nothing to tell it by.
        table: A record's numbers.
        scope: ``all``, a subgroup or a tertile.
    """
    columns = [list(track.metrics).index(name) for name in track.families.values()]
    declared = table.fallbacks(scope) > 0
    if not columns or "floor" not in table.task.numbers:
        return np.zeros_like(declared)
    mine, mean = table.field(scope, "value")[:, columns], table.field(scope, "floor")[:, columns]
    same = np.isclose(mine, mean, rtol=0, atol=SAME, equal_nan=True).all(axis=1) & np.isfinite(mine).any(axis=1)
    return np.asarray(same & ~declared)
