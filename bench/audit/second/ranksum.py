"""Wilcoxon rank-sum z of groups of cells and of their halves against reference cells: gene by gene, from sorted values.

Source: Mann and Whitney 1947; tie correction: Lehmann 1975.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def z_scores(cells: Floats, group: NDArray[np.int64], side: NDArray[np.int64], reference: Floats) -> Floats:
    """Z of each group, and of halves 2i (side 0) and 2i + 1 (side 1) of halving i.

    Args:
        cells: Expression ``[N, G]``, group after group.
        group: Group of each cell ``[N]``, ascending from 0.
        side: Half of each cell, by halving ``[H, N]``.
        reference: Expression of the reference cells ``[R, G]``.

    Returns:
        ``[1 + 2 H, K, G]``, positive where the group is higher; 0 where all values tie or a half is empty.
    """
    n_ref, genes = reference.shape
    begins = np.searchsorted(group, np.arange(int(group[-1]) + 1))
    halves = [side[i // 2] == i % 2 for i in range(2 * len(side))]
    masks = np.stack([np.ones(len(group)), *halves]).astype(np.float64)  # [1 + 2 H, N]
    out = np.empty((len(masks), len(begins), genes))
    sizes = np.add.reduceat(masks, begins, axis=1)
    for g in range(genes):
        ordered = np.sort(reference[:, g])
        value = cells[:, g]
        left, right = np.searchsorted(ordered, value, "left"), np.searchsorted(ordered, value, "right")
        same = (right - left).astype(np.float64)
        above = (left + right) / 2.0
        # A cell alone in its tie adds (t + 1)^3 - (t + 1) - (t^3 - t) to those of the t reference cells.
        alone = 3.0 * same * (same + 1.0)
        zero = value == 0
        per_cell = np.stack([above, np.where(zero, 0.0, alone), zero.astype(np.float64)], axis=1)
        sums = np.add.reduceat(masks[:, :, None] * per_cell[None], begins, axis=1)  # [1 + 2 H, K, 3]
        _add_shared(sums[:, :, 1], value, same, group, masks)
        u, ties, zeros = np.moveaxis(sums, 2, 0)
        runs = np.unique(ordered[ordered != 0], return_counts=True)[1].astype(np.float64)
        none = float((ordered == 0).sum())
        t = none + zeros
        ties = ties + (runs**3 - runs).sum() + t**3 - t
        total = sizes + n_ref
        variance = sizes * n_ref / 12.0 * (total + 1.0 - ties / np.maximum(total * (total - 1.0), 1.0))
        sd = np.sqrt(np.maximum(variance, 0.0))
        out[:, :, g] = np.where(sd > 0, (u - sizes * n_ref / 2.0) / np.where(sd > 0, sd, 1.0), 0.0)
    return out


def _add_shared(ties: Floats, value: Floats, same: Floats, group: NDArray[np.int64], masks: Floats) -> None:
    """Correct tie sums for values that several cells of one group share.

    m cells among t reference cells add m (m - 1) (3 t + m + 1) more than m cells that are alone.
    """
    order = np.lexsort((value, group))
    v, k = value[order], group[order]
    again = np.concatenate([[False], (v[1:] == v[:-1]) & (k[1:] == k[:-1]) & (v[1:] != 0)])
    if not again.any():
        return
    run = np.cumsum(~again) - 1
    several = np.isin(run, run[again])
    cells, run = order[several], np.unique(run[several], return_inverse=True)[1]
    first = np.searchsorted(run, np.arange(int(run[-1]) + 1))
    counts = np.add.reduceat(masks[:, cells], first, axis=1)
    t, of = same[cells[first]], group[cells[first]]
    for row, m in zip(ties, counts, strict=True):
        np.add.at(row, of, m * (m - 1.0) * (3.0 * t + m + 1.0))
