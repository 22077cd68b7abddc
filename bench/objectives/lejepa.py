"""The two terms of LeJEPA (Balestriero and LeCun 2025): prediction between views, and SIGReg."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.core.errors import BenchError
from bench.objectives.precision import at_least_float32

#: Knots of the quadrature and how far it reaches. Source: Balestriero and LeCun 2025, section 6.1 and algorithm 1.
KNOTS, REACH = 17, 5.0


def directions(width: int, slices: int, generator: torch.Generator) -> Tensor:
    """Draw unit vectors uniformly from the sphere ``[width, slices]``.

    Args:
        width: Of the embedding ``K``.
        slices: Number of directions.
        generator: Random stream, on the CPU.
    """
    drawn = torch.randn(width, slices, generator=generator)
    return F.normalize(drawn, dim=0)


def sigreg(z: Tensor, along: Tensor, knots: int = KNOTS, reach: float = REACH) -> Tensor:
    """Distance of an embedding from an isotropic Gaussian: the Epps-Pulley statistic along directions, averaged.

    Along one direction, for ``N`` projected samples ``x``: ``N * integral |mean exp(itx) - exp(-t^2/2)|^2 exp(-t^2/2)
    dt``. The integral over ``[-reach, reach]`` is the trapezoidal rule; the integrand is even, so that the knots from 0
    upward are enough. For samples of N(0, I) it is 1.06 on average whatever ``N``; for samples that are all 0, 0.41 N.

    Args:
        z: One row per sample ``[N, K]``.
        along: Unit vectors ``[K, slices]``, see :func:`directions`.
        knots: Knots in ``[-reach, reach]``, an odd number.
        reach: Where the integral ends.

    Returns:
        Scalar, at least 0.

    Raises:
        BenchError: If the number of knots is not odd, or ``z`` is no matrix.

    Source: Balestriero and LeCun 2025, section 4.2 (SIGReg), section 4.2.3 (Epps-Pulley) and algorithm 1; Epps and
    Pulley 1983.
    """
    if knots % 2 == 0 or z.ndim != 2:
        raise BenchError(
            f"SIGReg got {knots} knots and {tuple(z.shape)}; expected an odd number, and [samples, width]."
        )
    z = at_least_float32(z)
    t = torch.linspace(0, reach, knots // 2 + 1, dtype=z.dtype, device=z.device)
    weight = torch.full_like(t, 2 * float(t[1] - t[0]))  # twice: for -t too
    weight[[0, -1]] /= 2
    target = torch.exp(-t.square() / 2)
    with torch.autocast(z.device.type, enabled=False):
        angle = (z @ along.to(z))[:, :, None] * t
        gap = (angle.cos().mean(dim=0) - target).square() + angle.sin().mean(dim=0).square()
        return len(z) * (gap @ (weight * target)).mean()


def prediction(views: Tensor, n_global: int) -> Tensor:
    """Mean squared distance of every view from the mean of its cell's global views, which gets a gradient too.

    Args:
        views: Embeddings ``[V, N, K]``, those of the global views first.
        n_global: Number of global views.

    Returns:
        Scalar: averaged over views, cells and width, as in algorithm 2; equation 7 sums over the width.

    Source: Balestriero and LeCun 2025, equations 5 to 7 and algorithm 2.
    """
    views = at_least_float32(views)
    return (views - views[:n_global].mean(dim=0)).square().mean()
