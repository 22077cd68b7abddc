"""From latents to log expression: an injective network of orthogonal maps and leaky ReLUs."""

from __future__ import annotations

import numpy as np

from bench.core.typing import Floats

#: Standard deviation of a layer's offsets, which spread the places where its leaky ReLUs bend.
_OFFSET = 0.5

Layer = tuple[Floats, Floats]


def draw_mixing(width: int, genes: int, layers: int, rng: np.random.Generator) -> list[Layer]:
    """Draw weights ``[in, genes]`` with orthonormal rows and offsets ``[genes]`` of each layer; the first widens."""
    made = []
    for i in range(layers):
        n = width if i == 0 else genes
        # The sign makes the draw uniform over orthogonal matrices (Mezzadri 2007).
        q, r = np.linalg.qr(rng.standard_normal((genes, n)))
        made.append(((q * np.sign(np.diag(r))).T, _OFFSET * rng.standard_normal(genes)))
    return made


def mix(z: Floats, mixing: list[Layer], slope: float) -> Floats:
    """Mix latents ``[N, D] -> [N, G]``: no two different latents give the same.

    Args:
        z: Latents.
        mixing: From :func:`draw_mixing`.
        slope: Of the leaky ReLUs below zero, above 0.
    """
    h = z
    for i, (weights, offset) in enumerate(mixing):
        h = h @ weights + offset
        if i < len(mixing) - 1:
            h = np.where(h > 0, h, slope * h)
    return h


def unmix(x: Floats, mixing: list[Layer], slope: float) -> Floats:
    """Undo :func:`mix` ``[N, G] -> [N, D]``: what makes it injective."""
    h = x
    for i, (weights, offset) in reversed(list(enumerate(mixing))):
        if i < len(mixing) - 1:
            h = np.where(h > 0, h, h / slope)
        h = (h - offset) @ weights.T
    return np.asarray(h)
