"""What a double does beyond its singles, as pure functions (used by the truth and by the metric alike).

Arrays are doubles x genes ``[D, G]``; ``mask`` says which genes count. Subtracting one estimate of the additive shift
from truth and prediction would correlate both by the noise of that estimate: a prediction of nothing would then score
above 0 on purely additive data. So each side removes its own estimate, from disjoint cells, and as the multiple that
fits: a fixed multiple of 1 would leave the common saturation of large effects on both sides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats

Bools = NDArray[np.bool_]

#: Largest multiple of the additive shift that is removed: where the singles hardly do anything the fit is noise.
MAX_MULTIPLE = 2.0
#: A double is resolved if its replicates' mean correlation is this many standard errors above 0.
RESOLVED_AT = 2.0


def _dot(x: Floats, y: Floats) -> Floats:
    total: Floats = np.einsum("dg,dg->d", x, y)
    return total


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    out = np.zeros(len(numerator))
    with np.errstate(over="ignore"):
        np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def _centre(x: Floats, mask: Bools) -> Floats:
    kept = np.where(mask, x, 0.0)
    mean = kept.sum(axis=1) / np.maximum(mask.sum(axis=1), 1)
    return np.where(mask, kept - mean[:, None], 0.0)


def beyond_additive(shift: Floats, additive: Floats, other: Floats, common: Floats, mask: Bools) -> Floats:
    """Remove the mean over genes, the common shift and the additive shift; return what is left.

    ``shift - b additive`` with ``b = <other, shift> / <other, additive>``, after the mean and ``common`` were regressed
    out of all three. With ``other = additive`` this is least squares. With an estimate of ``additive`` from other cells
    it is the instrumental-variable estimator, which the noise of ``additive`` does not pull towards 0.

    Args:
        shift: True or predicted shift of the double ``[D, G]``.
        additive: Sum of its singles' shifts ``[D, G]``.
        other: The same from other cells ``[D, G]``.
        common: Train-mean shift ``[D, G]``.
        mask: Genes that count ``[D, G]``.

    Returns:
        ``[D, G]``, 0 for genes that do not count.

    Source: Wright 1928 (instrumental variables); the genetic-interaction score of Norman et al. 2019 also fits the
    multiples of the singles.
    """
    base = _centre(common, mask)
    size = _dot(base, base)
    x, a, z = (_centre(v, mask) for v in (shift, additive, other))
    x, a, z = (v - _ratio(_dot(base, v), size)[:, None] * base for v in (x, a, z))
    multiple = np.clip(_ratio(_dot(z, x), _dot(z, a)), -MAX_MULTIPLE, MAX_MULTIPLE)
    return np.asarray(x - multiple[:, None] * a)


def correlate(x: Floats, y: Floats) -> Floats:
    """Cosine of rows that are centred already ``[D]``; NaN where one is all zero."""
    norms = np.sqrt(_dot(x, x)) * np.sqrt(_dot(y, y))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.clip(np.where(norms > 0, _dot(x, y) / norms, np.nan), -1.0, 1.0))


def agreement(true: tuple[Floats, Floats, Floats], predicted: tuple[Floats, Floats, Floats], mask: Bools) -> Floats:
    """Correlation of what truth and prediction hold beyond the additive shift ``[D]``, both ways round.

    Args:
        true: Shift ``[D, G]``, its additive shift from two disjoint halves of the singles' cells ``[2, D, G]`` and the
            common shift ``[D, G]``, all against one pool of controls.
        predicted: The same against the other pool.
        mask: Genes that count ``[D, G]``.

    Returns:
        Mean of (truth by half 0, prediction by half 1) and the reverse; NaN where a side is constant.
    """
    found = []
    for k in (0, 1):
        sides = [
            beyond_additive(shift, halves[own], halves[1 - own], common, mask)
            for (shift, halves, common), own in ((true, k), (predicted, 1 - k))
        ]
        found.append(correlate(*sides))
    return np.asarray(np.mean(found, axis=0))


def unshared_agreement(
    true: tuple[Floats, Floats, Floats], predicted: tuple[Floats, Floats, Floats], mask: Bools
) -> Floats:
    """The same where the truth has singles of its own, which no prediction was fitted on ``[D]``.

    The truth loses the multiple of the shift that these cells measure, found by the train cells' shift as instrument;
    the prediction loses all that follows from the train cells' shift, their noise included. No noise is on both sides.

    Args:
        true: Shift ``[D, G]``, its additive shifts from kept cells and from train cells ``[2, D, G]``, common shift
            ``[D, G]``, all against one pool of controls.
        predicted: Shift, additive shift from train cells and common shift, each ``[D, G]``, against the other pool.
        mask: Genes that count ``[D, G]``.

    Returns:
        Correlation; NaN where a side is constant.
    """
    shift, (kept, train), common = true
    left = beyond_additive(shift, kept, train, common, mask)
    return correlate(left, beyond_additive(predicted[0], predicted[1], predicted[1], predicted[2], mask))


def resolved(replicates: Floats, genes: Floats) -> Bools:
    """Whether replicates agree on what a double does beyond its singles ``[D]``.

    Args:
        replicates: Correlation of the double's two halves by halving ``[R, D]``.
        genes: Genes that counted ``[D]``.

    Returns:
        Lower bound above 0. The standard error adds to the spread over halvings, which all share the singles' cells,
        the sampling error of a correlation over that many genes (Fisher 1915).
    """
    error = np.sqrt(replicates.var(axis=0, ddof=1) + 1.0 / np.maximum(genes - 3.0, 1.0))
    return np.asarray(np.nan_to_num(replicates.mean(axis=0) - RESOLVED_AT * error, nan=-1.0) > 0.0)
