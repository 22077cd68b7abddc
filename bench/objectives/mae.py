"""The loss of masked autoencoding on expression."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.objectives.precision import at_least_float32


def masked_mse(
    values: Tensor, target: Tensor, hidden: Tensor | None = None, zero_weight: float | None = None
) -> Tensor:
    """Mean squared error over hidden genes.

    Args:
        values: Predicted log-expression ``[B, G]`` (or ``[B, M]``, of the hidden genes only).
        target: Measured log-expression, of the same shape.
        hidden: Entries that count, bool, of the same shape; all if not given.
        zero_weight: If given, the mean over entries measured as zero has this weight and the mean over the others has
            one minus it; an empty group contributes nothing. Most genes of a cell are zero and would fill the mean.

    Returns:
        Scalar in squared log1p units; 0 if no entry counts.

    Source: He et al. 2022 (loss on masked patches only).
    """
    error = (at_least_float32(values) - at_least_float32(target)).square()
    if zero_weight is None:
        return error.mean() if hidden is None else _mean(error, hidden)
    zero = target == 0
    counts = torch.ones_like(zero) if hidden is None else hidden
    return zero_weight * _mean(error, counts & zero) + (1 - zero_weight) * _mean(error, counts & ~zero)


def _mean(error: Tensor, entries: Tensor) -> Tensor:
    return (error * entries).sum() / entries.sum().clamp(min=1)
