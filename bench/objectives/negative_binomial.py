"""The negative binomial of counts: likelihood, probabilities of being below, and quantiles."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.objectives.precision import at_least_float32

_TINY = 1e-8


def negative_binomial(counts: Tensor, mean: Tensor, log_size: Tensor) -> Tensor:
    """Log-likelihood of counts with variance ``mean + mean^2 / size``, elementwise.

    Args:
        counts: ``[..., G]``, whole numbers.
        mean: ``[..., G]``, positive.
        log_size: Log of the inverse dispersion ``[G]`` or ``[..., G]``.

    Source: Hilbe 2011, NB2; for single cells Lopez et al. 2018 (scVI).
    """
    counts, mean, log_size = at_least_float32(counts), at_least_float32(mean), at_least_float32(log_size)
    size = torch.exp(log_size)
    log_mean = torch.log(mean + _TINY)
    total = torch.logaddexp(log_size, log_mean)
    return (
        torch.lgamma(counts + size)
        - torch.lgamma(size)
        - torch.lgamma(counts + 1)
        + size * (log_size - total)
        + counts * (log_mean - total)
    )


def place_of(counts: Tensor, mean: Tensor, log_size: Tensor, within: Tensor) -> Tensor:
    """Probability of being below a count, ``within`` (0 to 1) of the count's own probability added ``[..., G]``.

    With ``within`` uniform the place of a draw is uniform (randomised probability integral transform).

    Args:
        counts: ``[..., G]``.
        mean: ``[..., G]``.
        log_size: ``[G]``.
        within: ``[..., G]``.
    """
    mean, log_size = mean.double(), log_size.double()
    place = torch.zeros_like(mean)
    pmf = _at_zero(mean, log_size)
    for k in range(int(counts.max()) + 1):
        place += torch.where(counts > k, pmf, torch.where(counts == k, within * pmf, 0.0))
        pmf = pmf * _ratio(k, mean, log_size)
    return place


def count_at(place: Tensor, mean: Tensor, log_size: Tensor, most: int) -> Tensor:
    """Smallest count whose distribution function reaches a probability ``[..., G]``, ``most`` at most.

    Args:
        place: In (0, 1), ``[..., G]``.
        mean: ``[..., G]``.
        log_size: ``[G]``.
        most: Largest count.
    """
    mean, log_size = mean.double(), log_size.double()
    out = torch.zeros_like(mean)
    pmf = _at_zero(mean, log_size)
    upto = pmf.clone()
    for k in range(most):
        further = upto < place
        if not bool(further.any()):
            break
        out += further
        pmf = pmf * _ratio(k, mean, log_size)
        upto += pmf
    return out


def _at_zero(mean: Tensor, log_size: Tensor) -> Tensor:
    size = torch.exp(log_size)
    return torch.exp(size * (log_size - torch.log(size + mean)))


def _ratio(k: int, mean: Tensor, log_size: Tensor) -> Tensor:
    """``P(k + 1) / P(k)``."""
    size = torch.exp(log_size)
    return (k + size) / (k + 1) * mean / (mean + size)
