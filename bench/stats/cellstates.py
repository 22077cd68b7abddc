"""States of cells: clusters in the principal components of some cells, to which other cells are assigned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.stats.cellspace import principal_axes

Codes = NDArray[np.int64]

#: Principal components in which cells are clustered.
COMPONENTS = 10
#: Depth strata: thirds of the cells on which states are fitted.
STRATA = 3
#: Random starts of k-means, of which the best is kept.
_STARTS = 10


@dataclass(frozen=True, eq=False)
class CellStates:
    """K states in D components of some genes.

    Attributes:
        genes: Columns that are looked at ``[G']``.
        mean: Of these genes ``[G']``.
        axes: Principal axes ``[D, G']``.
        cuts: Log depths that part the strata ``[S - 1]``.
        centre: Mean score of each stratum ``[S, D]``.
        spread: SD of the scores about it, over components' own spread ``[S, D]``.
        centres: Centres of the states ``[K, D]``, that of most cells first.
    """

    genes: Codes
    mean: Floats
    axes: Floats
    cuts: Floats
    centre: Floats
    spread: Floats
    centres: Floats

    def stratum(self, library: Floats) -> Codes:
        """Depth stratum of cells ``[N]``."""
        return np.asarray(np.searchsorted(self.cuts, np.log(library)), dtype=np.int64)

    def assign(self, x: sp.csr_matrix, library: Floats) -> Codes:
        """The nearest state of cells ``[N]``.

        Args:
            x: Expression ``[N, G]``.
            library: Depth ``[N]``.
        """
        scores = _levelled(_scores(x, self), self.stratum(library), self.centre, self.spread)
        distance = ((scores[:, None] - self.centres) ** 2).sum(axis=2)
        return np.asarray(distance.argmin(axis=1), dtype=np.int64)


def fit(x: sp.csr_matrix, library: Floats, genes: Codes, k: int, seed: int) -> CellStates:
    """Cluster cells by k-means on their principal components.

    Scores are standardised within strata of depth first: else the first thing that cells differ by is how deep they
    were sequenced, and a state would be a depth.

    Args:
        x: Expression ``[N, G]``, N at least k.
        library: Depth ``[N]``.
        genes: Columns to look at.
        k: Number of states.
        seed: Seed of the starts.
    """
    from sklearn.cluster import KMeans

    mean, axes = principal_axes(x[:, genes].toarray(), COMPONENTS)
    cuts = np.quantile(np.log(library), np.arange(1, STRATA) / STRATA)
    bare = CellStates(genes, mean.astype(np.float64), axes.astype(np.float64), cuts, *(np.empty(0),) * 3)
    scores, stratum = _scores(x, bare), bare.stratum(library)
    everyone = scores.std(axis=0)
    centre, spread = np.zeros((STRATA, len(axes))), np.ones((STRATA, len(axes)))
    for s in range(STRATA):
        here = scores[stratum == s]
        if len(here) > 1:
            centre[s] = here.mean(axis=0)
            # In units of the component's own spread: components keep their weights.
            spread[s] = np.where(everyone > 0, here.std(axis=0) / np.where(everyone > 0, everyone, 1.0), 1.0)
    spread = np.where(spread > 0, spread, 1.0)
    found = KMeans(k, n_init=_STARTS, random_state=seed).fit(_levelled(scores, stratum, centre, spread))
    order = np.argsort(-np.bincount(found.labels_, minlength=k), kind="stable")
    return CellStates(genes, bare.mean, bare.axes, cuts, centre, spread, found.cluster_centers_[order])


def _scores(x: sp.csr_matrix, states: CellStates) -> Floats:
    return np.asarray(x[:, states.genes] @ states.axes.T - states.axes @ states.mean)


def _levelled(scores: Floats, stratum: Codes, centre: Floats, spread: Floats) -> Floats:
    return np.asarray((scores - centre[stratum]) / spread[stratum])


def composition_change(tested: Floats, reference: Floats) -> Floats:
    """Estimate what share of cells is in another state than it would be without a perturbation ``[T]``.

    The root of half the squared differences of the shares of states, less what the sampling of cells adds to these;
    negative where sampling alone would give more. With two states this is their total variation distance. What comes
    and goes in equal numbers is not seen.

    Args:
        tested: Cells by unit and state ``[T, K]``.
        reference: Cells by state ``[K]``.
    """
    n, m = np.maximum(tested.sum(axis=1), 2.0), max(float(reference.sum()), 2.0)
    p, r = tested / n[:, None], reference / m
    noise = (p * (1 - p)).sum(axis=1) / (n - 1) + (r * (1 - r)).sum() / (m - 1)
    square = (((p - r) ** 2).sum(axis=1) - noise) / 2
    return np.asarray(np.sign(square) * np.sqrt(np.abs(square)))
