"""The space in which samples of cells are compared: principal components of train cells, own targets left out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]

#: Principal components (Peidli et al. 2024, scPerturb).
COMPONENTS = 50
#: Cells of a condition that are compared; the rest of a larger condition is not looked at.
MAX_CELLS = 128


def principal_axes(x: NDArray[Any], k: int = COMPONENTS) -> tuple[Singles, Singles]:
    """Mean and leading principal axes of cells.

    Args:
        x: Expression ``[N, G]``.
        k: How many axes.

    Returns:
        ``(mean [G], axes [min(k, N, G), G])``, axes orthonormal, most variance first; signs are arbitrary.

    Source: Pearson 1901; by the smaller of the two Gram matrices, which is exact and needs no random start.
    """
    from scipy.linalg import eigh

    values = np.array(x, dtype=np.float64)
    mean = values.mean(axis=0)
    values -= mean
    wide = values.shape[0] < values.shape[1]
    gram = values @ values.T if wide else values.T @ values
    # Only the leading eigenvectors: half the time of all of them, and no second matrix of the Gram matrix's size.
    last = len(gram) - 1
    _, vectors = eigh(gram, subset_by_index=[max(0, last - k + 1), last], overwrite_a=True, check_finite=False)
    top = vectors[:, ::-1]
    axes = (values.T @ top if wide else top).T
    length = np.linalg.norm(axes, axis=1, keepdims=True)
    kept = axes / np.where(length > 1e-12 * max(1.0, float(length.max(initial=0.0))), length, np.inf)
    return mean.astype(np.float32), kept.astype(np.float32)


def project(cells: NDArray[Any], mean: Singles, axes: Singles, own: NDArray[np.bool_]) -> Singles:
    """Scores of cells on the axes ``[n, K]``, with the condition's own targets held at the mean.

    Args:
        cells: Expression ``[n, G]``.
        mean: ``[G]``.
        axes: ``[K, G]``.
        own: Genes that are perturbed in the condition ``[G]``: their knock-down is given, not predicted.
    """
    centred = np.asarray(cells, dtype=np.float32) - mean
    centred[:, own] = 0.0
    return np.asarray(centred @ axes.T, dtype=np.float32)
