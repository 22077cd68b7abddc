"""How exactly records keep values: a file need not hold the noise of the last operations.

Closed forms: to a part in 10^10. What was trained in steps: to a part in 10^6, since another processor gives other
values by a thousand times more (:data:`bench.core.track.LEARNED`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats

#: Bits of the mantissa that are kept: a value is off by less than 1.2e-10 of itself, and closed forms are compared to
#: within 1e-9. The other 20 differ between processors, and are a third of every file.
BITS = 33
#: The same of what was trained in steps: off by less than 5e-7 of itself, half a unit of a sixth digit.
LEARNED_BITS = 21
#: Closer than this to the floor, a value is the floor: so it is where ties are counted (:mod:`bench.stats.intervals`).
TIE = 1e-9


def kept(values: NDArray[Any], bits: int = BITS) -> NDArray[Any]:
    """Round floats to so many bits of their mantissa; truth values, NaN, infinities and 0 stay as they are."""
    if values.dtype.kind != "f":
        return values
    mantissa, exponent = np.frexp(values.astype(np.float64))
    rounded: NDArray[Any] = np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits)
    return rounded


def kept_learned(values: Floats, floor: Floats) -> Floats:
    """Round values of what was trained in steps, but not those that are the floor's.

    A model that falls back to the floor scores what the floor does, to the last bit: that stays to be seen.

    Args:
        values: Any shape.
        floor: What the floor scores there, of the same shape.
    """
    with np.errstate(invalid="ignore"):  # infinities
        same = np.abs(values - floor) <= TIE
    return np.where(same, values, kept(values, LEARNED_BITS))
