"""Whether a model knows which latents a perturbation hits, which latent causes which, and what two perturbations do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.tracks.identifiability.match import Matching

Bools = NDArray[np.bool_]
#: An edge smaller than this, in units of the latents' scales, is none.
EDGE = 0.25


def f1(true: Bools, said: Bools) -> float:
    """Harmonic mean of precision and recall over all entries; 1 where both are empty."""
    wrong = int((true ^ said).sum())
    right = int((true & said).sum())
    return 1.0 if not right and not wrong else 2 * right / (2 * right + wrong)


def mask_f1(true: Bools, size: Floats, matching: Matching) -> float:
    """F1 of which latents each perturbation hits, by the size of what it does to the matched ones.

    The threshold is the one that is best on half of the perturbations, and is judged on the other half, both ways: a
    model that gives sizes needs none of its own. A latent is scaled by its largest size.

    Args:
        true: ``[P, D]``.
        size: Absolute size of each perturbation's effect on each latent ``[P, E]``.
        matching: Of true and found latents.
    """
    scaled = np.zeros(true.shape)
    largest = np.maximum(size[:, matching.found].max(axis=0), 1e-30)
    scaled[:, matching.true] = size[:, matching.found] / largest
    halves = np.arange(len(true)) % 2 == 0
    if len(true) < 4:  # too few to choose a threshold on half of them
        return f1(true, scaled > 0.5)
    found = [f1(true[~half], scaled[~half] > _threshold(true[half], scaled[half])) for half in (halves, ~halves)]
    return float(np.mean(found))


def _threshold(true: Bools, size: Floats) -> float:
    """Middle of the thresholds that are best."""
    grid = np.linspace(0.02, 0.98, 49)
    levels = np.array([f1(true, size > t) for t in grid])
    return float(np.median(grid[levels >= levels.max() - 1e-12]))


def hamming(true: Floats, found: Floats, matching: Matching) -> int:
    """Structural Hamming distance of two graphs after matching: edges that lack, are too many, or point the other way.

    Args:
        true: Weights (effect, cause) ``[D, D]``.
        found: Weights ``[E, E]``, in units of the latents' scales.
        matching: Of true and found latents; a true latent without partner has no edges.

    Source: Tsamardinos et al. 2006; an edge that points the other way counts once.
    """
    here = np.zeros(true.shape, dtype=np.bool_)
    here[np.ix_(matching.true, matching.true)] = np.abs(found[np.ix_(matching.found, matching.found)]) > EDGE
    there = true != 0
    different = (here != there) | (here.T != there.T)
    return int(np.triu(different, 1).sum())


def double_error(true: Floats, found: Floats, singles: Floats, found_singles: Floats, matching: Matching) -> float:
    """Error of predicted shifts of doubles, as a share of their size: 0 = right, 1 = as good as "nothing happens".

    What one unit of a found latent is worth comes from the singles: least squares without a constant.

    Args:
        true: Shifts of the true latents by doubles ``[doubles, D]``.
        found: Predicted shifts of the found ones ``[doubles, E]``.
        singles: Shifts of the true latents by singles ``[P, D]``.
        found_singles: Of the found ones, as the model sees them ``[P, E]``.
        matching: Of true and found latents; a true latent without partner is predicted not to move.
    """
    x, y = found_singles[:, matching.found], singles[:, matching.true]
    worth = (x * y).sum(axis=0) / np.maximum((x**2).sum(axis=0), 1e-30)
    said = np.zeros(true.shape)
    said[:, matching.true] = worth * found[:, matching.found]
    return float(np.sqrt(((said - true) ** 2).sum() / (true**2).sum()))
