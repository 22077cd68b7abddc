"""A linear causal model as the prior of a latent: strictly lower-triangular, modulated by the perturbation.

``z_j = b_j(u) + sum_{k<j} A_jk(u) z_k + c_j . w + sigma_j(u) eps_j`` with ``A(u) = A0 + dA(u)`` and
``sigma(u) = exp(s0 + s(u))``; ``w`` is a background that the perturbation does not touch. Without a perturbation
``b = dA = s = 0``. ``I - A`` has a unit diagonal, so the density needs no determinant.

Source: notes on PerturbedVAE (arXiv 2605.19343); linear structural models: Peters et al. 2017.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

#: Standard deviation of the exogenous noise at the start. The scale of the latent is free, but a decoder that first
#: meets shifts drowned in unit noise takes the latent for cells' variation and never learns what perturbations do.
START_SCALE = 0.1
#: Log scales end here, so that no modulation overflows.
MAX_LOG_SCALE = 5.0


class Mechanism(NamedTuple):
    """What a perturbation changes in the causal model.

    Attributes:
        shift: ``b(u)`` ``[B, D]``.
        weights: ``dA(u)`` ``[B, D, D]``, strictly lower-triangular; ``None`` = no edge is changed.
        log_scale: ``s(u)`` ``[B, D]``; ``None`` = no scale is changed.
    """

    shift: Tensor
    weights: Tensor | None = None
    log_scale: Tensor | None = None

    def of(self, rows: Tensor) -> Mechanism:
        """Take some rows, repeated or not."""
        return Mechanism(
            self.shift[rows],
            None if self.weights is None else self.weights[rows],
            None if self.log_scale is None else self.log_scale[rows],
        )


class CausalPrior(nn.Module):
    """``p(z | w, u)``: density, divergence and draws.

    Args:
        width: Latents ``D``, in topological order.
        background: Width ``W`` of ``w``; 0 = none.
        causal: Whether there are edges; without, ``A = 0``.
    """

    def __init__(self, width: int, background: int = 0, causal: bool = True) -> None:
        super().__init__()
        self.causal = causal
        self.edges = nn.Parameter(torch.zeros(width, width)) if causal else None
        self.from_background = nn.Parameter(torch.zeros(width, background)) if background else None
        self.log_scale = nn.Parameter(torch.full((width,), math.log(START_SCALE)))

    def graph(self, mechanism: Mechanism) -> Tensor | None:
        """Weights ``A(u)`` ``[B, D, D]`` (or ``[D, D]`` where no perturbation changes them), strictly lower."""
        if self.edges is None:
            return None
        weights = self.edges if mechanism.weights is None else self.edges + mechanism.weights
        return weights.tril(-1)

    def scale(self, mechanism: Mechanism) -> Tensor:
        """``log sigma(u)`` ``[B, D]`` (or ``[D]``)."""
        log_scale = self.log_scale if mechanism.log_scale is None else self.log_scale + mechanism.log_scale
        return log_scale.clamp(-MAX_LOG_SCALE, MAX_LOG_SCALE)

    def _drive(self, mechanism: Mechanism, background: Tensor | None) -> Tensor:
        if self.from_background is None or background is None:
            return mechanism.shift
        return mechanism.shift + background @ self.from_background.T

    def residual(self, z: Tensor, mechanism: Mechanism, background: Tensor | None = None) -> Tensor:
        """Exogenous part ``z - A z - b - C w`` ``[B, D]``: ``sigma eps``."""
        graph = self.graph(mechanism)
        caused = 0.0 if graph is None else _apply(graph, z)
        return z - caused - self._drive(mechanism, background)

    def log_density(self, z: Tensor, mechanism: Mechanism, background: Tensor | None = None) -> Tensor:
        """``log p(z | w, u)`` ``[B]``, from the residual (the determinant is 1)."""
        log_scale = self.scale(mechanism)
        eps = self.residual(z, mechanism, background) * torch.exp(-log_scale)
        return -(0.5 * eps.square() + log_scale + 0.5 * math.log(2 * math.pi)).sum(dim=-1)

    def draw(self, eps: Tensor, mechanism: Mechanism, background: Tensor | None = None) -> Tensor:
        """Turn standard normal noise ``[B, D]`` into latents ``[B, D]``, by substitution in topological order."""
        exogenous = self._drive(mechanism, background) + torch.exp(self.scale(mechanism)) * eps
        graph = self.graph(mechanism)
        if graph is None:
            return exogenous
        # The diagonal is not read.
        z: Tensor = torch.linalg.solve_triangular(-graph, exogenous.unsqueeze(-1), upper=False, unitriangular=True)
        return z[..., 0]

    def divergence(
        self, mean: Tensor, log_variance: Tensor, mechanism: Mechanism, background: Tensor | None = None
    ) -> Tensor:
        """``KL(N(mean, diag exp(log_variance)) || p(z | w, u))`` ``[B]``, in closed form.

        The expected square of a residual is that of the mean, plus the variances through ``I - A``.
        """
        variance = torch.exp(log_variance)
        graph = self.graph(mechanism)
        through = variance if graph is None else variance + _apply(graph.square(), variance)
        log_scale = self.scale(mechanism)
        square = (self.residual(mean, mechanism, background).square() + through) * torch.exp(-2 * log_scale)
        return (0.5 * (square - 1 - log_variance) + log_scale).sum(dim=-1)


def _apply(matrix: Tensor, z: Tensor) -> Tensor:
    """``A z`` by row, for one matrix or one per row."""
    if matrix.ndim == 2:
        return z @ matrix.T
    return torch.bmm(matrix, z.unsqueeze(-1))[..., 0]
