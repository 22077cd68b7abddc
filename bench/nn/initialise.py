"""How weights start."""

from __future__ import annotations

from torch import Tensor, nn


def truncated_normal(weight: Tensor, fan_in: int, scale: float = 1.0) -> None:
    """Fill a weight in place from a normal with std ``scale / sqrt(fan_in)``, cut at two standard deviations.

    Source: BioJEPAC report v0.4 (truncated normal, std 1/sqrt(fan_in)).
    """
    std = scale * fan_in**-0.5
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def linear(n_in: int, n_out: int, *, bias: bool = True, zero: bool = False) -> nn.Linear:
    """Make a linear layer: truncated normal weights (or zeros), zero bias.

    Args:
        n_in: Input width.
        n_out: Output width.
        bias: Whether it has a bias.
        zero: Start at zero, for branches that must not act before they have learned.
    """
    layer = nn.Linear(n_in, n_out, bias=bias)
    if zero:
        nn.init.zeros_(layer.weight)
    else:
        truncated_normal(layer.weight, n_in)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer
