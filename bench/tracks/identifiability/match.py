"""Which latent stands for which true one: matched on some cells, and judged on others, with its sign.

Latents are known up to order, scale and sign at best. The largest of many correlations is above 0 by chance (.02 to .1
for noise), and so is any absolute value: so both the matching and the signs are fitted on one half of the held-out
cells, and the *signed* correlation is taken on the other half. Noise then has expectation 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata

from bench.core.typing import Floats

Codes = NDArray[np.int64]
#: Below this standard deviation (relative to the largest absolute value) a column is constant up to rounding.
_CONSTANT = 1e-7


class Matching(NamedTuple):
    """One latent for each true one, as far as there are enough.

    Attributes:
        true: Columns of the truth that have a partner ``[M]``, ascending.
        found: The partner of each ``[M]``.
        sign: 1 or -1, of each ``[M]``.
    """

    true: Codes
    found: Codes
    sign: Floats


def correlations(a: Floats, b: Floats) -> Floats:
    """Pearson correlation of each column of ``a [N, D]`` with each of ``b [N, E]``: ``[D, E]``; a constant has 0."""
    return np.asarray(_units(a).T @ _units(b))


def _units(a: Floats) -> Floats:
    """Columns centred, and of unit norm; constant ones 0."""
    centred = a - a.mean(axis=0)
    norm = np.linalg.norm(centred, axis=0)
    varies = norm > _CONSTANT * np.sqrt(len(a)) * np.maximum(np.abs(a).max(axis=0), 1e-30)
    return np.asarray(centred / np.where(varies, norm, np.inf))


def within(a: Floats, condition: Codes) -> Floats:
    """Take each condition's mean out of its cells ``[N, D] -> [N, D]``."""
    _, code, n = np.unique(condition, return_inverse=True, return_counts=True)
    sums = np.zeros((len(n), a.shape[1]))
    np.add.at(sums, code, a)
    return np.asarray(a - (sums / n[:, None])[code])


def ranked(a: Floats) -> Floats:
    """Ranks of each column ``[N, D]``: their Pearson correlation is Spearman's."""
    return np.asarray(rankdata(a, axis=0))


def match(true: Floats, found: Floats) -> Matching:
    """Match columns so that the sum of absolute correlations is largest (Hungarian algorithm).

    Args:
        true: ``[N, D]``.
        found: ``[N, E]``.

    Source: the mean correlation coefficient of Hyvarinen and Morioka 2016 (TCL) and Khemakhem et al. 2020 (iVAE).
    """
    r = correlations(true, found)
    rows, columns = linear_sum_assignment(-np.abs(r))
    return Matching(rows, columns, np.where(r[rows, columns] < 0, -1.0, 1.0))


def signed(true: Floats, found: Floats, matching: Matching) -> Floats:
    """Signed correlation of each true latent with its partner ``[D]``; 0 where it has none."""
    out = np.zeros(true.shape[1])
    a, b = _units(true[:, matching.true]), _units(found[:, matching.found])
    out[matching.true] = matching.sign * (a * b).sum(axis=0)
    return out


def mean_correlation(true: Floats, found: Floats, half: NDArray[np.bool_]) -> float:
    """Mean correlation coefficient (MCC): matching and sign fitted on ``half`` of the cells, judged on the others.

    Args:
        true: ``[N, D]``.
        found: ``[N, E]``.
        half: Cells that the matching is fitted on ``[N]``.
    """
    return float(signed(true[~half], found[~half], match(true[half], found[half])).mean())
