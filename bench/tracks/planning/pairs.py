"""Pairs: how much of a pair another one holds, and a search in two stages, a cheap one first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.tracks.planning.ranking import TIE

Rows = NDArray[np.int64]

#: Pairs for which the predictor itself is called in E6.
SHORTLISTS = (10, 50, 200)


def overlaps(members: Rows) -> Floats:
    """Share of the genes of one pair that another holds ``[P, P]``: 1, 1/2 or 0.

    Args:
        members: The two of each pair, as numbers ``[P, 2]``.
    """
    held = np.zeros((len(members), int(members.max(initial=-1)) + 1))
    held[np.arange(len(members))[:, None], members] = 1.0
    return np.asarray(held @ held.T / 2)


def shortlisted(cheap: Floats, full: Floats, k: int) -> Floats:
    """Rank the first ``k`` of a cheap ranking anew; the others stay behind, in the order of the cheap one.

    What is tied with the ``k``-th is on the list too: no order among equals is made up.

    Args:
        cheap: Scores ``[Q, P]``; minus infinity = last.
        full: Scores of the predictor itself ``[Q, P]``.
        k: Length of the list.

    Returns:
        Scores by which all are ranked ``[Q, P]``.
    """
    count = cheap.shape[1]
    if k >= count:
        return full
    last = -np.partition(-cheap, k - 1, axis=1)[:, k - 1 : k]
    span = 1.0 + sum(float(np.abs(block[np.isfinite(block)]).max(initial=0.0)) for block in (cheap, full))
    # Of what is on the list, whatever the predictor knows nothing of is behind all the same.
    return np.asarray(np.where(cheap >= last - TIE, full + span, cheap - span))
