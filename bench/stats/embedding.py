"""From cells to embeddings: in blocks, checked, standardised as the train cells are, on the unit sphere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.errors import BenchError
from bench.core.typing import Floats

#: Dense expression ``[n, G]``, log1p, float32 -> pooled embeddings ``[n, D]``.
Embedder = Callable[[NDArray[np.float32]], NDArray[np.float32]]

#: Cells that are made dense at once.
BLOCK = 1_024
#: Spread below this share of its mean is a dimension's rounding, not its signal: float32 holds 7 digits.
ROUNDING = 1e-5


def embed_rows(x: sp.csr_matrix, rows: NDArray[np.int64], embed: Embedder) -> Floats:
    """Embed some cells.

    Args:
        x: Expression ``[cells, G]``, CSR.
        rows: Which ``[n]``.
        embed: The encoder.

    Returns:
        ``[n, D]``, float64.

    Raises:
        BenchError: The encoder's output is not ``[n, D]`` or not finite.
    """
    blocks: list[NDArray[np.float32]] = []
    for start in range(0, len(rows), BLOCK):
        cells = np.asarray(x[rows[start : start + BLOCK]].toarray(), dtype=np.float32)
        block = np.asarray(embed(cells))
        width = blocks[0].shape[1] if blocks else None
        if block.ndim != 2 or len(block) != len(cells) or block.shape[1] != (width or block.shape[1]):
            raise BenchError(
                f"the encoder gave an array of shape {block.shape} for {len(cells)} cells; expected [cells, width]"
                + (f" = [{len(cells)}, {width}]." if width else ".")
            )
        bad = ~np.isfinite(block).all(axis=1)
        if bad.any():
            raise BenchError(
                f"the encoder's embedding of {int(bad.sum())} of {len(cells)} cells is not finite (NaN or infinite). "
                f"Its training probably diverged: lower its learning rate and train it again."
            )
        blocks.append(block.astype(np.float32, copy=False))
    if not blocks:
        raise BenchError("no cells to embed.")
    return np.concatenate(blocks).astype(np.float64)


def standardise(z: Floats, train: Floats) -> Floats:
    """Standardise embeddings by mean and standard deviation of the train cells.

    Args:
        z: Embeddings ``[n, D]``.
        train: Embeddings of train cells ``[m, D]``.

    Returns:
        ``[n, D]``; dimensions that are constant on the train cells are 0, whatever held-out cells do there.
    """
    mean, spread = train.mean(axis=0), train.std(axis=0)
    alive = spread > ROUNDING * np.abs(mean)
    return np.asarray((z - mean) * np.divide(1.0, spread, out=np.zeros_like(spread), where=alive))


def normalise(z: Floats) -> Floats:
    """Scale rows to length 1 ``[n, D]``; rows of zeros (a constant encoder's) stay zeros, with cosine 0 to all."""
    length = np.linalg.norm(z, axis=1, keepdims=True)
    return np.asarray(z / np.where(length > 0, length, 1.0))
