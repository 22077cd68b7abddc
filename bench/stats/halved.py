"""Groups of cells that are cut in halves several times, and sums over all of these at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.typing import Floats

Rows = NDArray[np.int64]
Sides = NDArray[np.uint8]


@dataclass(frozen=True)
class Halved:
    """Disjoint groups of cells, and H ways to cut each of them in two.

    Attributes:
        rows: Rows of the cells ``[N]``, group after group.
        group: Group of each cell ``[N]``, ascending.
        side: Half (0 or 1) in which each cell is ``[H, N]``.
        n_groups: Number of groups ``K``.
    """

    rows: Rows
    group: Rows
    side: Sides
    n_groups: int

    def take(self, cells: NDArray[np.bool_]) -> Halved:
        """Some of the cells, in the same groups."""
        return Halved(self.rows[cells], self.group[cells], self.side[:, cells], self.n_groups)

    def members(self) -> sp.csr_matrix:
        """Indicator ``[K x (1 + H), N]`` of each group, then of the first half of each of its halvings.

        The second halves are what the first ones leave.
        """
        step = 1 + len(self.side)
        cuts, cells = np.nonzero(self.side == 0)
        row = np.concatenate([self.group * step, self.group[cells] * step + 1 + cuts])
        column = np.concatenate([np.arange(len(self.rows)), cells])
        return sp.csr_matrix((np.ones(len(row)), (row, column)), shape=(self.n_groups * step, len(self.rows)))

    def unfold(self, sums: Floats) -> Floats:
        """Sums by :meth:`members` ``[K x (1 + H), B]`` -> of groups, then of halves ``[1 + 2 H, K, B]``."""
        whole, first = np.split(sums.reshape(self.n_groups, -1, sums.shape[-1]).transpose(1, 0, 2), [1])
        out = np.empty((1 + 2 * len(first), *whole.shape[1:]))
        out[0], out[1::2], out[2::2] = whole[0], first, whole - first
        return out

    def sizes(self) -> Floats:
        """Cells of the groups, then of the halves ``[1 + 2 H, K]``."""
        ones = np.ones((len(self.rows), 1))
        return self.unfold(self.members() @ ones)[..., 0]
