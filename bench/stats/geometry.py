"""How an embedding lies in space: silhouettes, neighbours, effective rank."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.stats.intervals import nanmean

Codes = NDArray[np.int64]

#: Cells in one draw, and draws, of the silhouette.
MAX_CELLS = 5_000
DRAWS = 5
#: Neighbours of a cell.
NEIGHBOURS = 15
#: Cosines closer than this are tied.
TIE = 1e-10
_BLOCK = 512


def silhouettes(z: Floats, label: Codes) -> Floats:
    """Silhouette of each cell with cosine distance ``[N]``.

    Cells that are embedded alike (by a constant encoder, say) differ by rounding only: such distances count as 0, and
    a cell whose distances to its own and to the nearest cluster are both 0 has silhouette 0. So has a cell
    that is alone in its cluster.

    Args:
        z: Unit-length embeddings ``[N, D]``; rows of zeros are at distance 1 from everything else.
        label: ``0 .. K-1`` of each cell, K > 1, none empty ``[N]``.

    Source: Rousseeuw 1987.
    """
    from sklearn.metrics import silhouette_samples
    from sklearn.metrics.pairwise import cosine_distances

    if label.max() + 1 == len(label):
        return np.zeros(len(label))
    distance = cosine_distances(z)
    distance[distance < TIE] = 0.0
    return np.asarray(silhouette_samples(distance, label, metric="precomputed"), dtype=np.float64)


def label_silhouettes(z: Floats, label: Codes, seed: int) -> Floats:
    """Mean silhouette of the cells of each label, averaged over draws of at most :data:`MAX_CELLS` cells.

    Args:
        z: Unit-length embeddings ``[N, D]``.
        label: ``0 .. K-1`` of each cell ``[N]``.
        seed: Seed of the draws.

    Returns:
        ``[K]``; NaN for labels that no draw holds, and for all where there is one label.
    """
    n = int(label.max()) + 1
    rng = np.random.default_rng([seed, 0xB1])
    whole = len(label) <= MAX_CELLS
    drawn = []
    for _ in range(1 if whole else DRAWS):
        rows = np.arange(len(label)) if whole else np.sort(rng.choice(len(label), MAX_CELLS, replace=False))
        codes = np.unique(label[rows], return_inverse=True)[1]
        if codes.max() > 0:
            drawn.append(group_means(silhouettes(z[rows], codes), label[rows], n))
    return nanmean(np.stack(drawn)) if drawn else np.full(n, np.nan)


def knn_purity(z: Floats, unit: Codes, batch: Codes, seed: int, k: int = NEIGHBOURS) -> tuple[Floats, Floats]:
    """Share of a cell's neighbours that are of its unit, averaged over the cells of each unit.

    Cells of the query's own batch are no neighbours; with one batch, only the cell itself is none. Tied cells count
    by their expected share. At most :data:`MAX_CELLS` cells, drawn by seed.

    Args:
        z: Unit-length embeddings ``[N, D]``.
        unit: ``0 .. U-1`` of each cell ``[N]``.
        batch: ``[N]``.
        seed: Seed of the draw.
        k: Neighbours.

    Returns:
        ``(purity, chance)``, each ``[U]``: chance is the unit's share of the cells that could be neighbours. NaN for
        units none of whose cells is drawn, or could have a neighbour.
    """
    n = int(unit.max()) + 1
    if len(z) > MAX_CELLS:
        rows = np.sort(np.random.default_rng([seed, 0xB2]).choice(len(z), MAX_CELLS, replace=False))
        z, unit, batch = z[rows], unit[rows], batch[rows]
    several = len(np.unique(batch)) > 1
    purity, expected = np.full(len(z), np.nan), np.full(len(z), np.nan)
    for start in range(0, len(z), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(z)))
        allowed = batch[rows][:, None] != batch[None] if several else rows[:, None] != np.arange(len(z))[None]
        same = (unit[rows][:, None] == unit[None]) & allowed
        candidates = allowed.sum(axis=1)
        if not candidates.all():
            rows, allowed, same = (array[candidates > 0] for array in (rows, allowed, same))
            candidates = candidates[candidates > 0]
        score = np.where(allowed, z[rows] @ z.T, -np.inf)
        wanted = np.minimum(k, candidates)
        last = np.partition(score, len(z) - min(k, len(z)), axis=1)[:, len(z) - min(k, len(z))]
        short = candidates < k  # the k-th place is empty: all candidates are neighbours
        last[short] = score.min(axis=1, where=allowed, initial=np.inf)[short]
        above = score > last[:, None] + TIE
        tied = allowed & (np.abs(score - last[:, None]) <= TIE)
        share = (same & tied).sum(axis=1) / tied.sum(axis=1)
        purity[rows] = ((same & above).sum(axis=1) + (wanted - above.sum(axis=1)) * share) / wanted
        expected[rows] = same.sum(axis=1) / candidates
    known = np.isfinite(purity)
    return group_means(purity[known], unit[known], n), group_means(expected[known], unit[known], n)


def effective_rank(z: Floats) -> float | None:
    """Exponential of the entropy of the singular values' shares; ``None`` for an embedding of zeros.

    Args:
        z: Embeddings ``[N, D]``.

    Source: Roy and Vetterli 2007.
    """
    singular = np.linalg.svd(z, compute_uv=False) if len(z) < z.shape[1] else _singular(z)
    if not singular.sum() > 0:
        return None
    share = singular / singular.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def _singular(z: Floats) -> Floats:
    """Singular values of a tall matrix, by QR: exact also for the small ones, unlike by the Gram matrix."""
    return np.linalg.svd(np.linalg.qr(z, mode="r"), compute_uv=False)


def group_means(values: Floats, group: Codes, n: int) -> Floats:
    """Mean of the values of each of the groups ``0 .. n-1`` ``[n]``; NaN for empty ones."""
    count = np.bincount(group, minlength=n)
    sums = np.bincount(group, values, minlength=n)
    return np.asarray(np.divide(sums, count, out=np.full(n, np.nan), where=count > 0))
