"""How an embedding lies in space: silhouettes, neighbours, effective rank."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.typing import Floats

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

    Args:
        z: Unit embeddings ``[N, D]``; rows of zeros are at distance 1 from everything else.
        label: ``0 .. K-1`` of each cell, K > 1 ``[N]``.

    Source: Rousseeuw 1987. 1 - cosine is linear in the other cell, so that mean distances need the clusters' sums only.
    """
    n = int(label.max()) + 1
    sizes = np.bincount(label, minlength=n)
    pick = sp.csr_matrix((np.ones(len(label)), (label, np.arange(len(label)))), shape=(n, len(label)))
    far = sizes - z @ (pick @ z).T  # [N, K]: summed distance of each cell to each cluster
    rows = np.arange(len(label))
    own = far[rows, label] - (1 - np.einsum("nd,nd->n", z, z))  # less the cell itself
    a = own / np.maximum(sizes[label] - 1, 1)
    mean = far / np.maximum(sizes, 1)
    mean[:, sizes == 0] = np.inf
    mean[rows, label] = np.inf
    b = mean.min(axis=1)
    widest = np.maximum(a, b)
    # Identical cells have distances of rounding size, which say nothing.
    value = np.divide(b - a, widest, out=np.zeros_like(a), where=widest > TIE)
    return np.where(sizes[label] > 1, value, 0.0)


def macro_silhouette(z: Floats, label: Codes, seed: int) -> float | None:
    """Mean silhouette over labels, each label counting once, averaged over draws of at most 5,000 cells.

    Returns:
        ``None`` with fewer than two labels.
    """
    if label.max() < 1:
        return None
    rng = np.random.default_rng([seed, 0xB1])
    whole = len(label) <= MAX_CELLS
    drawn = []
    for _ in range(1 if whole else DRAWS):
        rows = np.arange(len(label)) if whole else np.sort(rng.choice(len(label), MAX_CELLS, replace=False))
        codes = np.unique(label[rows], return_inverse=True)[1]
        if codes.max() > 0:
            drawn.append(group_mean(silhouettes(z[rows], codes), codes))
    return float(np.mean(drawn)) if drawn else None


def knn_purity(z: Floats, condition: Codes, batch: Codes, seed: int, k: int = NEIGHBOURS) -> tuple[float, float] | None:
    """Share of a cell's neighbours that are of its condition, over conditions.

    Cells of the query's own batch are no neighbours; with one batch, only the cell itself is none. Tied cells count
    by their expected share. At most 5,000 cells, drawn by seed.

    Args:
        z: Unit embeddings ``[N, D]``.
        condition: ``[N]``.
        batch: ``[N]``.
        seed: Seed of the draw.
        k: Neighbours.

    Returns:
        ``(purity, chance)``, chance being the condition's share of the cells that could be neighbours; ``None`` where
        nothing could.
    """
    if len(z) > MAX_CELLS:
        rows = np.sort(np.random.default_rng([seed, 0xB2]).choice(len(z), MAX_CELLS, replace=False))
        z, condition, batch = z[rows], condition[rows], batch[rows]
    several = len(np.unique(batch)) > 1
    purity, expected = np.full(len(z), np.nan), np.full(len(z), np.nan)
    for start in range(0, len(z), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(z)))
        allowed = batch[rows][:, None] != batch[None] if several else rows[:, None] != np.arange(len(z))[None]
        same = (condition[rows][:, None] == condition[None]) & allowed
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
    if not known.any():
        return None
    codes = np.unique(condition[known], return_inverse=True)[1]
    return group_mean(purity[known], codes), group_mean(expected[known], codes)


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


def group_mean(values: Floats, code: Codes) -> float:
    """Mean over groups of the mean within each; groups are ``0 .. K-1``, none empty."""
    return float((np.bincount(code, values) / np.bincount(code)).mean())
