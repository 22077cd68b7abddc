"""Likelihood of a latent under a predicted Gaussian."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.objectives.precision import at_least_float32


def gaussian_nll(
    mean: Tensor, target: Tensor, logvar: Tensor, hidden: Tensor | None = None, beta: float = 0.0
) -> Tensor:
    """Negative log likelihood of a diagonal Gaussian, without its constant: ``(logvar + (target - mean)^2 / var) / 2``.

    Averaged over positions and width (the report's eq. 11 sums over width; its code averages).

    Args:
        mean: Predicted mean ``[..., D]``.
        target: ``[..., D]``; no gradient flows into it.
        logvar: Predicted log variance ``[..., D]``.
        hidden: Positions that count, bool ``[...]``; all if not given.
        beta: Each term is weighted by its own variance to this power, through which no gradient flows. At 0 what hardly
            varies rules; at 1 the mean's gradient is that of the squared error.

    Returns:
        Scalar; 0 if no position counts.

    Source: Nix and Weigend 1994; BioJEPAC report v0.4, eq. 12; ``beta``: Seitzer et al. 2022, eq. 5.
    """
    mean, target, logvar = at_least_float32(mean), at_least_float32(target.detach()), at_least_float32(logvar)
    loss = 0.5 * (logvar + (target - mean).square() * torch.exp(-logvar))
    if beta:
        loss = loss * (beta * logvar.detach()).exp()
    if hidden is None:
        return loss.mean()
    return (loss.mean(-1) * hidden).sum() / hidden.sum().clamp(min=1)
