"""The contrastive loss of SimCLR (Chen et al. 2020)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.objectives.precision import at_least_float32


def nt_xent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross entropy: every view looks for the other view of its cell among all others.

    With ``z`` the ``2N`` views: the mean over ``i`` of ``-log(exp(cos(z_i, z_j) / temperature) / sum over k != i of
    exp(cos(z_i, z_k) / temperature))``, ``j`` being the other view of ``i``'s cell.

    Args:
        a: First views ``[N, K]``.
        b: Second views of the same cells ``[N, K]``.
        temperature: Positive.

    Returns:
        Scalar; ``ln(2N - 1)`` when nothing is told apart.

    Source: Chen et al. 2020, equation 1 and algorithm 1.
    """
    n = len(a)
    z = F.normalize(torch.cat([at_least_float32(a), at_least_float32(b)]), dim=1)
    with torch.autocast(z.device.type, enabled=False):
        logits = z @ z.T / temperature
    logits = logits.masked_fill(torch.eye(2 * n, dtype=torch.bool, device=z.device), -torch.inf)
    other = torch.arange(2 * n, device=z.device).roll(n)
    return F.cross_entropy(logits, other)
