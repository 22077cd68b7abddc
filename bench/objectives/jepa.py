"""The loss of joint-embedding prediction, and what its collapse terms act on."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from bench.objectives.precision import at_least_float32
from bench.objectives.vicreg import covariance, variance


class Regulariser(NamedTuple):
    """Collapse terms.

    Attributes:
        variance: Hinge on standard deviations, scalar.
        covariance: Squared off-diagonal covariance, scalar.
    """

    variance: Tensor
    covariance: Tensor


def latent_l1(predicted: Tensor, target: Tensor, hidden: Tensor | None = None) -> Tensor:
    """Mean absolute difference between predicted and teacher latents, over positions and width.

    Args:
        predicted: ``[B, M, D]``.
        target: ``[B, M, D]``; no gradient flows into it.
        hidden: Positions that count, bool ``[B, M]``; all if not given.

    Returns:
        Scalar; 0 if no position counts.

    Source: BioJEPAC report v0.4, eq. 5, and its code (its eq. 7 says MSE).
    """
    gap = (at_least_float32(predicted) - at_least_float32(target.detach())).abs()
    if hidden is None:
        return gap.mean()
    # Weighting instead of indexing: picking rows by a boolean costs a scatter in the backward pass.
    return (gap.mean(-1) * hidden).sum() / hidden.sum().clamp(min=1)


def report_regulariser(tokens: Tensor) -> Regulariser:
    """Collapse terms as published: on the tokens of all cells, flattened to ``[B * T, D]``.

    Differences between genes satisfy the hinge, so cells that are all alike go unnoticed (defect A-2).

    Args:
        tokens: Student tokens ``[B, T, D]``.

    Source: BioJEPAC report v0.4.
    """
    flat = tokens.reshape(-1, tokens.shape[-1])
    return Regulariser(variance(flat), covariance(flat))


def pooled_regulariser(pooled: Tensor) -> Regulariser:
    """Collapse terms across cells: on one vector per cell ``[B, D]``, which A-2 asks for."""
    return Regulariser(variance(pooled), covariance(pooled))
