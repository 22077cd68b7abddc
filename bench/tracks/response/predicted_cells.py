"""Cells of a predictions file, read when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats

#: Rows per condition (and context) from which a file holds a sample of cells; fewer are repeats of a mean.
MIN_CELLS = 10


@dataclass(frozen=True, eq=False)
class PredictedCells(Sequence[NDArray[np.float32]]):
    """Predicted cells of the evaluated conditions, made dense when they are asked for.

    Attributes:
        x: All rows of the file ``[rows, genes of the file]``, dense or sparse.
        rows: Rows of each condition, contexts in the proportions of the condition's test cells.
        columns: Columns of the task's genes ``[G]``.
    """

    x: Any
    rows: tuple[NDArray[np.int64], ...]
    columns: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: Any) -> Any:
        """Cells of condition ``i``: ``[n, G]``."""
        block = self.x[np.sort(self.rows[i])]
        return np.asarray(block.todense() if hasattr(block, "todense") else block, dtype=np.float32)[:, self.columns]


def in_proportion(
    rows: NDArray[np.int64], where: NDArray[np.str_], contexts: Sequence[str], weights: Floats
) -> NDArray[np.int64]:
    """As many rows as there are, contexts in the proportions ``weights``; none if a context has under 10 rows."""
    parts = [(rows[where == c], w) for c, w in zip(contexts, weights.tolist(), strict=True) if w > 0]
    if min(len(part) for part, _ in parts) < MIN_CELLS:
        return np.empty(0, dtype=np.int64)
    total = min(len(part) / w for part, w in parts)
    return np.concatenate([part[: round(total * w)] for part, w in parts])
