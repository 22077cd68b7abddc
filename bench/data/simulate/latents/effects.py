"""What perturbations do to the latents: which are hit, by how much, and which latent passes a shift on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.core.typing import Floats
from bench.data.simulate.base import Bools, Codes
from bench.data.simulate.latents.parameters import LatentParameters


@dataclass(frozen=True)
class Effects:
    """The perturbations of a screen.

    Attributes:
        mask: Which latents each hits itself ``[P, d_v]``.
        shifts: By how much, 0 where it does not ``[P, d_v]``.
        graph: Direct effects of latents on each other (effect, cause), strictly lower-triangular ``[d_v, d_v]``.
        pairs: The two perturbations of each double ``[doubles, 2]``.
    """

    mask: Bools
    shifts: Floats
    graph: Floats
    pairs: Codes

    @property
    def members(self) -> Floats:
        """Which perturbations each condition holds, singles, doubles, then the control ``[P + doubles + 1, P]``."""
        n = len(self.mask)
        out = np.zeros((n + len(self.pairs) + 1, n))
        out[:n] = np.eye(n)
        out[n + np.arange(len(self.pairs))[:, None], self.pairs] = 1.0
        return out


def draw_effects(p: LatentParameters, rng: np.random.Generator) -> Effects:
    """Draw what each perturbation hits; latents take turns, so that enough perturbations hit all of them."""
    n = p.perturbations
    first = np.concatenate([rng.permutation(p.d_v) for _ in range(-(-n // p.d_v))])[:n]
    hits = rng.integers(p.min_hits, p.max_hits + 1, n)
    order = rng.random((n, p.d_v))
    order[np.arange(n), first] = -1.0  # always among those that are hit
    mask = np.argsort(np.argsort(order, axis=1), axis=1) < hits[:, None]
    size = p.magnitude * np.maximum(1 + p.magnitude_sd * rng.standard_normal(mask.shape), 0)
    shifts = mask * size * rng.choice([-1.0, 1.0], mask.shape)
    shifts *= np.exp(p.strength_sd * rng.standard_normal((n, 1)))
    if p.rho:
        # One latent that everything moves alike, like a response to stress: shifts stay sparse, their cosine is rho.
        common = np.sqrt(p.rho / (1 - p.rho) * (shifts[:, 1:] ** 2).sum(axis=1).mean()) if p.d_v > 1 else p.magnitude
        shifts[:, 0], mask[:, 0] = common, True
    every = np.stack(np.triu_indices(n, 1), axis=1)
    pairs = every[np.sort(rng.permutation(len(every))[: p.doubles])]
    return Effects(mask, shifts, _draw_graph(p, rng), pairs.astype(np.int64))


def _draw_graph(p: LatentParameters, rng: np.random.Generator) -> Floats:
    if p.graph == "none":
        return np.zeros((p.d_v, p.d_v))
    if p.graph == "chain":
        return p.edge * np.eye(p.d_v, k=-1)
    chosen = np.tri(p.d_v, k=-1) * (rng.random((p.d_v, p.d_v)) < 2 / p.d_v)  # about one cause each
    return np.asarray(p.edge * chosen * rng.choice([-1.0, 1.0], chosen.shape))


def settle(exogenous: Floats, graph: Floats, relu: bool) -> Floats:
    """Latents ``[N, d_v]`` of exogenous parts ``[N, d_v]``: each adds what its causes pass on, in their order."""
    z = exogenous.copy()
    for j in range(z.shape[1]):
        causes = np.maximum(z[:, :j], 0) if relu else z[:, :j]
        z[:, j] += causes @ graph[j, :j]
    return z
