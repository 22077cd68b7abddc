"""A variational autoencoder of two latents: one that perturbations leave alone, one that a causal model moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.nn.causal_prior import CausalPrior, Mechanism
from bench.nn.initialise import linear

#: Log variances of posteriors end here.
_LOG_VARIANCE = (-10.0, 5.0)


class Normal(NamedTuple):
    """A diagonal Gaussian.

    Attributes:
        mean: ``[B, D]``.
        log_variance: ``[B, D]``.
    """

    mean: Tensor
    log_variance: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """Draw from it with standard normal noise ``[B, D]``."""
        return self.mean + torch.exp(0.5 * self.log_variance) * noise

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw from it with noise of a generator, which is on the CPU wherever the Gaussian is."""
        return self.draw(torch.randn(self.mean.shape, generator=generator).to(self.mean.device))


class MLP(nn.Module):
    """``n_in - hidden - hidden - n_out`` with GELU."""

    def __init__(self, n_in: int, hidden: int, n_out: int) -> None:
        super().__init__()
        self.first, self.second, self.out = linear(n_in, hidden), linear(hidden, hidden), linear(hidden, n_out)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, n_in] -> [B, n_out]``."""
        out: Tensor = self.out(F.gelu(self.second(F.gelu(self.first(x)))))
        return out


class Posterior(MLP):
    """A diagonal Gaussian from an MLP."""

    def __init__(self, n_in: int, hidden: int, width: int) -> None:
        super().__init__(n_in, hidden, 2 * width)

    def read(self, x: Tensor) -> Normal:
        """Posterior of each row."""
        mean, log_variance = self(x).chunk(2, dim=-1)
        return Normal(mean, log_variance.clamp(*_LOG_VARIANCE))


@dataclass(frozen=True)
class Shape:
    """Sizes of the network.

    Attributes:
        genes: ``G``.
        targets: Perturbed genes of the train conditions ``K``.
        invariant: Width of ``z_i``; 0 = there is one block, the perturbed one.
        perturbed: Width of ``z_v``.
        hidden: Width of the MLPs.
        causal: Whether the prior of ``z_v`` has edges.
    """

    genes: int
    targets: int
    invariant: int
    perturbed: int
    hidden: int
    causal: bool = True


class SplitVAE(nn.Module):
    """``q(z_i | x) q(z_v | x, u)``, decoder ``g(z_i, z_v)`` and causal prior ``p(z_v | z_i, u)``.

    Args:
        shape: Sizes.
        gene_mean: What the decoder says of each gene before anything is learned ``[G]``.

    Source: notes on PerturbedVAE (arXiv 2605.19343).
    """

    def __init__(self, shape: Shape, gene_mean: Tensor | None = None) -> None:
        super().__init__()
        self.shape = shape
        self.invariant = Posterior(shape.genes, shape.hidden, shape.invariant) if shape.invariant else None
        self.perturbed = Posterior(shape.genes + shape.targets, shape.hidden, shape.perturbed)
        self.prior = CausalPrior(shape.perturbed, shape.invariant, shape.causal)
        self.decoder = MLP(shape.invariant + shape.perturbed, shape.hidden, shape.genes)
        #: Log variance (Gaussian) or log size (negative binomial) of each gene.
        self.noise = nn.Parameter(torch.zeros(shape.genes))
        if gene_mean is not None:
            with torch.no_grad():
                self.decoder.out.bias.copy_(gene_mean)

    def read_invariant(self, x: Tensor) -> Normal | None:
        """``q(z_i | x)``; ``None`` where there is one block."""
        return None if self.invariant is None else self.invariant.read(x)

    def read_perturbed(self, x: Tensor, u: Tensor, mechanism: Mechanism) -> Normal:
        """``q(z_v | x, u)``, ``u`` multi-hot ``[B, K]``, written as a deviation from ``b(u)`` in units of the prior."""
        log_scale = self.prior.log_scale
        deviation = self.perturbed.read(torch.cat([x, u], dim=1))
        return Normal(mechanism.shift + torch.exp(log_scale) * deviation.mean, 2 * log_scale + deviation.log_variance)

    def decode(self, invariant: Tensor | None, perturbed: Tensor) -> Tensor:
        """``g`` ``[B, G]``: expected log1p expression, or log of the expected normalised counts."""
        both = perturbed if invariant is None else torch.cat([invariant, perturbed], dim=1)
        out: Tensor = self.decoder(both)
        return out

    def respond(self, invariant: Tensor | None, eps: Tensor, mechanism: Mechanism) -> Tensor:
        """Decode a draw of the prior under a perturbation ``[B, G]``."""
        return self.decode(invariant, self.prior.draw(eps, mechanism, invariant))


def widened(shape: Shape, wanted: int, count: Callable[[Shape], int]) -> Shape:
    """Choose the hidden width by which a network comes closest to a number of parameters.

    Args:
        shape: Its other sizes.
        wanted: Parameters.
        count: Parameters of a whole model of that shape; grows with the hidden width.
    """
    low, high = 1, 2
    while count(replace(shape, hidden=high)) < wanted:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(replace(shape, hidden=middle)) < wanted else (low, middle)
    options = [replace(shape, hidden=h) for h in (low, high)]
    return min(options, key=lambda each: abs(count(each) - wanted))
