"""How many dimensions latents use, and how alike they are: of cells, not of tokens."""

from __future__ import annotations

import numpy as np

from bench.core.typing import Floats
from bench.training.embedding import Singles

#: Added to every share of RankMe and LiDAR. Source: Garrido et al. 2023, eq. 3; Thilak et al. 2024.
EPSILON = 1e-7
#: Ridge of LiDAR's covariance within classes. Source: Thilak et al. 2024.
RIDGE = 1e-4


def effective_rank(z: Singles) -> float:
    """Exponential of the entropy of the normalised singular values of centred latents ``[N, D]``; 1 to D.

    Source: Roy and Vetterli 2007.
    """
    s = np.linalg.svd(z.astype(np.float64) - z.mean(axis=0), compute_uv=False)
    if s.sum() <= 1e-12:
        return 1.0
    p = s / s.sum()
    return float(np.exp(-(p * np.log(np.maximum(p, 1e-300))).sum()))


def rankme(z: Singles) -> float:
    """RankMe of latents ``[N, D]``: exponential of the entropy of the singular values' shares, the mean not removed.

    It differs from :func:`effective_rank` in just that, and in an epsilon on every share: latents with a large mean in
    common have a smaller RankMe. It needs ``N`` well above ``D``.

    Source: Garrido et al. 2023, equations 2 and 3.
    """
    return _exponential_entropy(np.linalg.svd(z.astype(np.float64), compute_uv=False))


def lidar(views: Singles) -> float:
    """LiDAR: effective rank of what tells cells apart in latents, beside what changes between views of one cell.

    With the covariances ``B`` of the cells' means and ``W`` within cells (plus a ridge), the exponential of the entropy
    of the shares of the eigenvalues of ``W^(-1/2) B W^(-1/2)``. At most ``min(D, C - 1)``; a dimension that differs
    between views as much as between cells hardly counts, which RankMe cannot see.

    Args:
        views: Latents of views of cells ``[C, Q, D]``; a cell is a class.

    Returns:
        At least 1; 1 if all cells are alike.

    Source: Thilak et al. 2024 (arXiv 2312.04000), section 4.
    """
    z = views.astype(np.float64)
    classes, each, width = z.shape
    mean = z.mean(axis=1)
    apart = mean - mean.mean(axis=0)
    within = (z - mean[:, None]).reshape(-1, width)
    between = apart.T @ apart / max(classes - 1, 1)
    variance, axes = np.linalg.eigh(within.T @ within / max(classes * (each - 1), 1) + RIDGE * np.eye(width))
    whiten = axes / np.sqrt(variance)  # any square root of the inverse gives the same eigenvalues
    return _exponential_entropy(np.maximum(np.linalg.eigvalsh(whiten.T @ between @ whiten), 0))


def _exponential_entropy(sizes: Floats) -> float:
    if sizes.sum() <= 1e-12:
        return 1.0
    p = sizes / sizes.sum() + EPSILON
    return float(np.exp(-(p * np.log(p)).sum()))


def mean_cosine(z: Singles) -> float:
    """Mean cosine between different cells' latents ``[N, D]``; 1 = all cells look alike."""
    unit = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
    n = len(unit)
    return float(((unit.sum(axis=0, dtype=np.float64) ** 2).sum() - n) / max(n * (n - 1), 1))
