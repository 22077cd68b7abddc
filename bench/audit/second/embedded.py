"""Embeddings that follow from cells, split and seed alone, computed a second time."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from bench.audit.second.asked_cells import Rows, Screen, some

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
#: Expression of cells ``[n, G]``, singles, to latents ``[n, D]``.
Embedder = Callable[[Singles], Floats]

#: Axes of the references; cells that the reference's axes are of, and those of the encoder of that name.
WIDTH, PCA_CELLS, ENCODER_CELLS = 50, 5_000, 4_000
#: Latents of noise where nothing else is said; spread below this share of its mean is rounding.
NOISE_WIDTH, ROUNDING = 128, 1e-5


def nothing() -> Embedder:
    """One latent, the same for all cells."""
    return lambda cells: np.zeros((len(cells), 1))


def expression() -> Embedder:
    """The genes themselves."""
    return lambda cells: cells.astype(np.float64)


def random_axes(genes: int, seed: int) -> Embedder:
    """Products with directions drawn at random."""
    axes = np.random.default_rng([seed, 0xD2]).normal(0, WIDTH**-0.5, (WIDTH, genes)).astype(np.float32)
    return _along(np.zeros(genes, dtype=np.float32), axes)


def noise(seed: int, width: int = NOISE_WIDTH) -> Embedder:
    """Normal numbers of each cell, drawn by a hash of its expression that is keyed by the seed."""
    key = seed.to_bytes(8, "little", signed=True)

    def embed(cells: Singles) -> Floats:
        found = np.zeros((len(cells), width))
        for i, cell in enumerate(cells):
            plain = np.where(cell == 0, np.float32(0), cell)  # zero has two signs
            number = int.from_bytes(blake2b(plain.tobytes(), digest_size=16, key=key).digest(), "little")
            drawn = np.random.Generator(np.random.PCG64(number)).standard_normal(width, dtype=np.float32)
            found[i] = drawn
        return found

    return embed


def reference_axes(screen: Screen) -> Embedder:
    """Principal components of train cells; with held-out contexts, of the controls that models see too."""
    rows = screen.train_rows
    if screen.apart:
        rows = np.union1d(rows, np.concatenate(list(screen.inputs)))
    return _components(screen, some(rows, PCA_CELLS, np.random.default_rng([screen.seed, 0xD1])), WIDTH)


def encoder_axes(screen: Screen, seed: int, width: int) -> Embedder:
    """The same of everything that a representation may be learned from, by the seed of its training."""
    rows = np.unique(np.concatenate([screen.train_rows, *screen.inputs, screen.unlabelled]))
    if len(rows) > ENCODER_CELLS:
        rows = np.sort(np.random.default_rng([seed, 0x5CA1E]).permutation(rows)[:ENCODER_CELLS])
    return _components(screen, rows, width)


def _components(screen: Screen, rows: Rows, width: int) -> Embedder:
    cells = screen.x[rows].toarray().astype(np.float64)
    mean = cells.mean(axis=0)
    _, size, axes = np.linalg.svd(np.linalg.qr(cells - mean, mode="r"), full_matrices=False)
    kept = np.where(size[:width, None] > 1e-12 * max(1.0, float(size[0])), axes[:width], 0.0)
    return _along(mean.astype(np.float32), kept.astype(np.float32))


def _along(mean: Singles, axes: Singles) -> Embedder:
    """Coordinates along axes, in the precision in which models hold latents."""

    def embed(cells: Singles) -> Floats:
        return ((cells - mean) @ axes.T).astype(np.float64)

    return embed


def standardised(z: Floats, by: Floats) -> Floats:
    """Less the mean of some cells, by their spread; 0 where these do not vary ``[n, D]``."""
    mean, spread = by.mean(axis=0), by.std(axis=0)
    varies = spread > ROUNDING * np.abs(mean)
    return np.asarray(np.where(varies, (z - mean) / np.where(varies, spread, 1.0), 0.0))


def unit_length(z: Floats) -> Floats:
    """Rows at length 1; rows without length stay."""
    size = np.sqrt((z**2).sum(axis=1, keepdims=True))
    return np.asarray(z / np.where(size > 0, size, 1.0))
