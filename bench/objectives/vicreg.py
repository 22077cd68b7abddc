"""The three terms of VICReg (Bardes, Ponce and LeCun 2022)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.core.errors import BenchError
from bench.objectives.precision import at_least_float32

EPSILON = 1e-4


def variance(z: Tensor, eps: float = EPSILON) -> Tensor:
    """Hinge on the standard deviation of each dimension, ``mean_d relu(1 - sqrt(var_d + eps))``.

    Args:
        z: One row per sample ``[N, D]``.
        eps: Keeps the root differentiable at zero variance.

    Returns:
        Scalar in [0, 1): 0 when every dimension has a standard deviation of at least 1.

    Raises:
        BenchError: If there is one sample only.

    Source: Bardes et al. 2022, eq. 1 and 2 (unbiased variance).
    """
    z = _samples(z)
    return torch.relu(1 - torch.sqrt(z.var(dim=0) + eps)).mean()


def covariance(z: Tensor) -> Tensor:
    """Sum of the squared off-diagonal entries of the covariance matrix, divided by the number of dimensions.

    Args:
        z: One row per sample ``[N, D]``.

    Raises:
        BenchError: If there is one sample only.

    Source: Bardes et al. 2022, eq. 3 and 4.
    """
    z = _samples(z)
    z = z - z.mean(dim=0)
    with torch.autocast(z.device.type, enabled=False):
        cov = z.T @ z / (len(z) - 1)
    off_diagonal = cov - torch.diag(cov.diagonal())
    return off_diagonal.square().sum() / z.shape[1]


def invariance(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference between two views ``[N, D]``, over samples and dimensions.

    Bardes et al. 2022, eq. 5, sums over dimensions; their code, like this, averages, and their weights go with that.
    """
    return F.mse_loss(at_least_float32(a), at_least_float32(b))


def _samples(z: Tensor) -> Tensor:
    if z.ndim != 2 or len(z) < 2:
        raise BenchError(f"variance and covariance got {tuple(z.shape)}; expected [samples, width] with >= 2 samples.")
    # Under autocast z may be bf16, whose eight bits cannot hold a variance next to a mean.
    return at_least_float32(z)
