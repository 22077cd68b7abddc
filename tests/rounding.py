"""How far two ways of computing the same sum may lie apart: an absolute tolerance from the dtype and the sum's size."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike


def rounding(terms: float, largest: float, dtype: DTypeLike = np.float32) -> float:
    """Tolerance of a sum that another order of its terms, another block or another processor may change.

    Each of ``n`` additions rounds by up to ``eps / 2`` of a partial sum. Terms of both signs make partial sums of about
    ``sqrt(n) * largest``, and roundings of both signs add up to ``sqrt(n)`` of them: ``n * largest * eps / 2``. Twice
    this for either side. A relative tolerance alone fails where the terms cancel: the sum is near zero, its error not.

    Args:
        terms: How many numbers are summed, over all sums that one result goes through.
        largest: The largest of them, in absolute value.
        dtype: In which they are summed.
    """
    return float(4 * terms * largest * np.finfo(dtype).eps / 2)
