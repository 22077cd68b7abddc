"""Cells of a predictions file, read when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Rows per unit from which a file holds a sample of cells; fewer are repeats of a mean.
MIN_CELLS = 10


@dataclass(frozen=True, eq=False)
class PredictedCells(Sequence[NDArray[np.float32]]):
    """Predicted cells of the evaluated units, made dense when they are asked for.

    Attributes:
        x: All rows of the file ``[rows, genes of the file]``, dense or sparse.
        rows: Rows of each unit.
        columns: Columns of the task's genes ``[G]``.
    """

    x: Any
    rows: tuple[NDArray[np.int64], ...]
    columns: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: Any) -> Any:
        """Cells of unit ``i``: ``[n, G]``."""
        block = self.x[np.sort(self.rows[i])]
        return np.asarray(block.todense() if hasattr(block, "todense") else block, dtype=np.float32)[:, self.columns]
