"""The halves of the test units: how their cells are drawn, and what is measured of each half."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.core.typing import Floats
from bench.data.dataset import Dataset
from bench.stats.halved import Halved, Rows, Sides
from bench.stats.shifts import dense_blocks


def draw(groups: Sequence[Rows], cells: int, halvings: int, seed: int) -> Sides:
    """Cut the cells of each unit in halves, several times.

    Args:
        groups: Rows of each unit's cells.
        cells: Cells of the data.
        halvings: How many times ``H``.
        seed: Seed of the draw.

    Returns:
        The half (0 or 1) of each cell of the data, by halving ``[H, cells]``; 0 for cells of no unit. The first half
        has the odd cell.
    """
    side = np.zeros((halvings, cells), dtype=np.uint8)
    for repeat in range(halvings):
        rng = np.random.default_rng([seed, repeat, 0x4A1F])
        for rows in groups:
            side[repeat, rng.permutation(rows)[1::2]] = 1
    return side


def halved(groups: Sequence[Rows], side: Sides) -> Halved:
    """Cells of the units, unit after unit, with their halves ``[H, cells]``."""
    rows = np.concatenate(groups)
    return Halved(rows, np.repeat(np.arange(len(groups)), [len(each) for each in groups]), side[:, rows], len(groups))


def half_means(dataset: Dataset, tested: Halved) -> tuple[Floats, Floats]:
    """Mean expression of each half, and how far its cells spread about it.

    Args:
        dataset: The cells.
        tested: From :func:`halved`: K units, H halvings.

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
