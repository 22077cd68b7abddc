"""The halves of the test conditions: how their cells are drawn, and what is measured of each half."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.core.typing import Floats
from bench.data.dataset import Dataset
from bench.stats.halved import Halved, Sides
from bench.stats.shifts import dense_blocks


def draw(dataset: Dataset, names: Sequence[str], halvings: int, seed: int) -> Sides:
    """Cut the cells of each condition in halves, several times.

    Returns:
        The half (0 or 1) of each cell of the data, by halving ``[H, cells]``; 0 for cells of no such condition. The
        first half has the odd cell.
    """
    side = np.zeros((halvings, len(dataset.condition)), dtype=np.uint8)
    for repeat in range(halvings):
        rng = np.random.default_rng([seed, repeat, 0x4A1F])
        for name in names:
            side[repeat, rng.permutation(dataset.cells_of[name])[1::2]] = 1
    return side


def halved(dataset: Dataset, names: Sequence[str], side: Sides) -> Halved:
    """Cells of the conditions, condition after condition, with their halves ``[H, cells]``."""
    rows = np.concatenate([dataset.cells_of[name] for name in names])
    group = np.repeat(np.arange(len(names)), [len(dataset.cells_of[name]) for name in names])
    return Halved(rows, group, side[:, rows], len(names))


def half_means(dataset: Dataset, tested: Halved) -> tuple[Floats, Floats]:
    """Mean expression of each half, and how far its cells spread about it.

    Args:
        dataset: The cells.
        tested: From :func:`halved`: K conditions, H halvings.

    Returns:
        ``(means [2 H, K, G], mean over genes of the variance, ddof 0 [2 H, K])``; zeros for an empty half.
    """
    n_genes = dataset.x.shape[1]
    means = np.zeros((2 * len(tested.side), tested.n_groups, n_genes))
    length = np.empty((len(tested.rows), 1))
    for part, block in dense_blocks(dataset.x, tested.rows):
        group = tested.group[part]
        first, last = int(group[0]), int(group[-1]) + 1
        here = Halved(tested.rows[part], group - first, tested.side[:, part], last - first)
        means[:, first:last] += here.unfold(here.members() @ block)[1:]
        length[part, 0] = np.einsum("ng,ng->n", block, block)
    cells = np.maximum(tested.sizes()[1:], 1)
    means /= cells[..., None]
    # Summed over genes before the squared mean is taken off: squares by half and gene would be as large as the means.
    squares = tested.unfold(tested.members() @ length)[1:, :, 0]
    spread = squares / cells - np.einsum("hkg,hkg->hk", means, means)
    return means, np.where(cells > 1, np.maximum(spread, 0) / n_genes, 0.0)
