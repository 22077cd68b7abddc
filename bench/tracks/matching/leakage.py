"""How much of a plate or batch is read from negative controls, to which nothing was done: leakage, beside every row."""

from __future__ import annotations

import numpy as np

from bench.data.profiles.wells import Strings, Wells
from bench.tracks.matching.precision import Ints, Pairs, rank

#: Controls that are looked at, spread over plates.
MAX_CONTROLS = 480


def plate_leak(wells: Wells) -> float | None:
    """Normalised mean average precision of controls that look for those of their plate among those of other plates.

    0 = a plate cannot be told, 1 = it is written in every profile. ``None`` with one plate.
    """
    return _leak(wells, wells.plate, None)


def batch_leak(wells: Wells) -> float | None:
    """The same of batches, on other plates than one's own; ``None`` with one batch, or one plate in each."""
    return _leak(wells, wells.batch, wells.plate)


def _leak(wells: Wells, kind: Strings, apart: Strings | None) -> float | None:
    rows = _spread(wells)
    first, second = np.triu_indices(len(rows), 1)
    same = kind[rows][first] == kind[rows][second]
    counts = np.ones_like(same) if apart is None else apart[rows][first] != apart[rows][second]
    pairs: Pairs = np.stack([first, second], axis=1).astype(np.int64)
    ranked = rank(wells.x[rows], [pairs[same & counts]], pairs[~same & counts])
    return float(ranked.normalised.mean()) if len(ranked.query) else None


def _spread(wells: Wells) -> Ints:
    """Rows of controls, as many of each plate as there is room for."""
    rows = np.flatnonzero(wells.control)
    plates = np.unique(wells.plate[rows])
    each = max(2, MAX_CONTROLS // max(len(plates), 1))
    return np.concatenate([rows[wells.plate[rows] == plate][:each] for plate in plates] or [rows])[:MAX_CONTROLS]
