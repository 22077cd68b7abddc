"""Expected log1p expression of a gene whose counts are negative binomial and whose cells differ in depth."""

from __future__ import annotations

import numpy as np

from bench.core.typing import Floats

SCALE = 1e4
"""Fixed total of the normalisation of the true shifts: x = log1p(SCALE * counts / ncounts)."""


def normal_nodes() -> tuple[Floats, Floats]:
    """Nodes and weights [9] of Gauss-Hermite quadrature over a standard normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    return nodes, weights / weights.sum()


def expected_on_grid(grid: Floats, library_median: float, library_sd: float, dispersion: float) -> Floats:
    """E[log1p(SCALE C / N)] for log mean counts at the median library, [points].

    C is negative binomial of the given size (``dispersion``), N log-normal between cells. Uses Frullani's integral,
    log(1+y) = int_0^inf exp(-t) (1 - exp(-t y)) / t dt, and E[exp(-s C)] = (1 + m (1 - exp(-s)) / r)^-r for a
    negative binomial of mean m and size r.
    """
    nodes, weights = normal_nodes()
    library = np.exp(library_sd * nodes)[:, None]
    u = np.linspace(-14.0, 4.0, 181)  # t = exp(u): the trapezoid rule converges fast on this scale
    transform = 1.0 - np.exp(-np.exp(u) * SCALE / (library_median * library))
    rates = np.exp(grid)[:, None, None] * library
    inner = np.exp(-np.exp(u)) * (1.0 - (1.0 + rates * transform / dispersion) ** -dispersion)
    return np.asarray(inner.sum(axis=2) @ weights * (u[1] - u[0]))
