"""How exactly records keep values: a file need not hold the noise of the last operations.

Closed forms: to a part in 10^10. What was trained in steps: to a part in 60,000, since another processor gives other
values by hundreds of times more (:data:`bench.core.track.LEARNED`). Changes under bootstraps: to a part in 125, since
only their variance is asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats

#: Bits of the mantissa that are kept: a value is off by less than 1.2e-10 of itself, and closed forms are compared to
#: within 1e-9. The other 20 differ between processors, and are a third of every file.
BITS = 33
#: The same of what was trained in steps: off by less than 1.6e-5 of itself, a mean over a hundred units by a tenth of
#: that. Of 21 fits that were made again on another processor, means were off by up to 6e-6 in 19, by 1e-3 in others.
LEARNED_BITS = 16
#: The same of a bootstrap's change: each is off by up to .8%, and the variance of 50 of them by 10% by chance alone.
DRAW_BITS = 7
#: The largest float16 of so many bits.
_LARGEST_DRAW = 65024.0
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


def kept_draws(draws: Floats) -> Floats:
    """Round the changes of bootstraps, which files hold as float16: what is beyond its range is at its end."""
    return kept(np.clip(draws, -_LARGEST_DRAW, _LARGEST_DRAW), DRAW_BITS)
