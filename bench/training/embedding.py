"""Embeddings of cells by a frozen encoder, their scale, and the linear map back to genes: the same for every one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.stats.shifts import row_mean

Rows = NDArray[np.int64]
Singles = NDArray[np.float32]
#: Latents ``[N, D]`` and expression ``[N, G]`` of some cells.
Cells = tuple[Singles, sp.csr_matrix]
#: ``[B, G] -> [B, D]``: the pooled vector of each cell.
Embed = Callable[[torch.Tensor], torch.Tensor]
#: Cells from which scale and decoder are taken; more would not change them visibly.
MAX_CELLS = 8_192
#: Ridge of the decoder, as a share of the number of cells (latents have unit variance).
RIDGE = 0.01
_BLOCK = 512


@torch.no_grad()
def embed_rows(embed: Embed, x: sp.csr_matrix, rows: Rows) -> Singles:
    """Embed some cells ``[N, D]``, in blocks."""
    blocks = [
        embed(torch.from_numpy(x[rows[i : i + _BLOCK]].toarray())).float().cpu().numpy()
        for i in range(0, len(rows), _BLOCK)
    ]
    return np.concatenate(blocks)


def spread_rows(rows: Rows, n: int, seed: int) -> Rows:
    """At most ``n`` of some rows, drawn by seed, in their order."""
    if len(rows) <= n:
        return rows
    return np.sort(np.random.default_rng([seed, 0x5CA1E]).permutation(rows)[:n])


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of latents over train cells ``[D]``; a latent that never moves stays 0."""

    mean: Singles
    sd: Singles

    def __call__(self, z: Singles) -> Singles:
        """Standardise ``[N, D]``."""
        return np.asarray((z - self.mean) / self.sd, dtype=np.float32)


def scale_of(z: Singles) -> Scale:
    """Scale of latents of train cells ``[N, D]``."""
    sd = z.std(axis=0, dtype=np.float64)
    # What rounding alone moves is constant: dividing by it would make noise as loud as signal.
    constant = sd <= 1e-6 * np.maximum(1e-6, np.abs(z).max(axis=0))
    return Scale(z.mean(axis=0, dtype=np.float64).astype(np.float32), np.where(constant, np.inf, sd).astype(np.float32))


def linear_decoder(z: Singles, x: sp.csr_matrix) -> tuple[Floats, Floats]:
    """Ridge regression of expression on standardised latents.

    Args:
        z: ``[N, D]``, standardised.
        x: Expression of the same cells ``[N, G]``.

    Returns:
        Weights ``[G, D]`` and intercept ``[G]``, which is the mean expression.
    """
    zd = z.astype(np.float64)
    mean = row_mean(x, np.arange(x.shape[0]))
    gram = zd.T @ zd + RIDGE * len(zd) * np.eye(zd.shape[1])
    cross = (x.astype(np.float64).T @ zd) - np.outer(mean, zd.sum(axis=0))
    return np.linalg.solve(gram, cross.T).T, mean


@dataclass(frozen=True)
class Decoded:
    """What a linear decoder finds in latents of held-out conditions.

    Attributes:
        by_shift: ``1 - sum of squared errors / sum of squares`` of the conditions' mean shifts from control.
        by_cell: The same of the cells' deviations from the mean; negative = worse than predicting none.
        shifts: Decoded mean shifts ``[T, G]``.
        true_shifts: What they should be ``[T, G]``.
    """

    by_shift: float
    by_cell: float
    shifts: Floats
    true_shifts: Floats


def decodable(
    fit: Cells, control: Cells, held: Cells, condition: Rows, start: tuple[Rows, Rows] | None = None
) -> Decoded:
    """How much of held-out conditions' shifts, and of held-out cells, a linear decoder finds in the latents.

    The first is the most that a response could predict through these latents, and what every objective's pretraining
    step is chosen by: an objective's own loss says little of that, and favours whoever minimises it.

    Args:
        fit: Latents ``[N, D]`` and expression ``[N, G]`` of the cells that scale and decoder are fitted on.
        control: The same of control cells.
        held: The same of cells of other conditions.
        condition: Condition of each of those, numbered from 0 without gaps.
        start: Group of each held cell and of each control cell, where shifts start from the controls of their own
            group; a condition lies in one. Absent = from all controls.

    Returns:
        Both shares, and the shifts.
    """
    scale = scale_of(fit[0])
    weights, mean = linear_decoder(scale(fit[0]), fit[1])
    latents = scale(held[0]).astype(np.float64)
    cells = held[1].toarray().astype(np.float64) - mean
    by_cell = 1 - ((cells - latents @ weights.T) ** 2).sum() / max((cells**2).sum(), 1e-12)
    member = np.zeros((int(condition.max()) + 1, len(condition)))
    member[condition, np.arange(len(condition))] = 1
    size = member.sum(axis=1, keepdims=True)
    own, theirs = start or (np.zeros(len(condition), np.int64), np.zeros(len(control[0]), np.int64))
    groups, group_of = np.unique(own[np.unique(condition, return_index=True)[1]], return_inverse=True)
    rows = [np.flatnonzero(theirs == group) for group in groups]
    z = scale(control[0])
    latent_start = np.stack([z[of].mean(axis=0, dtype=np.float64) for of in rows])
    shift_start = np.stack([row_mean(control[1], of) for of in rows]) - mean
    shift = (member @ cells) / size - shift_start[group_of]
    moved = (member @ latents) / size - latent_start[group_of]
    decoded = moved @ weights.T
    by_shift = 1 - ((shift - decoded) ** 2).sum() / max((shift**2).sum(), 1e-12)
    return Decoded(float(by_shift), float(by_cell), decoded, shift)
