"""How exactly records keep values: to a part in 10^10; a file need not hold the noise of the last operations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Bits of the mantissa that are kept: a value is off by less than 1.2e-10 of itself, and closed forms are compared to
#: within 1e-9. The other 20 differ between processors, and are a third of every file.
BITS = 33


def kept(values: NDArray[Any]) -> NDArray[Any]:
    """Round floats to :data:`BITS` bits of their mantissa; truth values, NaN, infinities and 0 stay as they are."""
    if values.dtype.kind != "f":
        return values
    mantissa, exponent = np.frexp(values.astype(np.float64))
    rounded: NDArray[Any] = np.ldexp(np.round(np.ldexp(mantissa, BITS)), exponent - BITS)
    return rounded
