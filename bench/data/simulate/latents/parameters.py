"""Every number of the generators of latents, and the three sets of them that are shipped as ``g1``, ``g2``, ``g3``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from bench.core.arguments import NonNegativeInt

#: Which latent of the perturbed block causes which: none another, each the next, or earlier ones later ones at random.
Graph = Literal["none", "chain", "random"]


@dataclass(frozen=True)
class LatentParameters:
    """A screen with ``d_v`` latents that perturbations shift and ``d_i`` that they do not.

    Every latent has unit noise in every cell. The defaults are ``g1``, after the simulator of sVAE (Lopez et al. 2023):
    sparse shifts, an injective mixing, Poisson counts. What the others change breaks one assumption of a claim of
    identifiability at a time.
    """

    seed: NonNegativeInt = 0
    # Design
    perturbations: int = 100
    cells: int = 500  # of each perturbation
    controls: int = 2_000
    doubles: int = 0  # pairs of perturbations; no model learns from them
    # Latents
    d_v: int = 10
    d_i: int = 20
    min_hits: int = 1  # latents that a perturbation shifts, at least
    max_hits: int = 3  # and at most
    magnitude: float = 5.0  # mean size of a shift, in standard deviations of a latent's noise; its sign is random
    magnitude_sd: float = 0.1  # of that size, as a share of it
    strength_sd: float = 0.0  # log, between perturbations: unequal strengths
    rho: float = 0.0  # mean cosine of two perturbations' shifts: all of them move the first latent alike
    graph: Graph = "none"
    edge: float = 1.0  # size of a direct effect of one latent on another
    relu: bool = False  # whether a cause acts by its positive part only
    ratio: float = 0.0  # variance of the background over that of the response; 0 = as the latents' units give
    # Mixing
    genes: int = 100
    layers: int = 2  # orthogonal maps, a leaky ReLU after each but the last
    slope: float = 0.2  # of a leaky ReLU below zero
    gain: float = 1.0  # log change of counts per unit of what the mixing gives
    # Measurement
    library_median: float = 13_000.0  # UMIs per cell, unmeasured genes included
    library_sd: float = 0.36  # log
    gene_median: float = 10.0  # UMIs of the median gene in a cell of median library: one of the most expressed hundred
    gene_sd: float = 1.0  # log, between genes
    dispersion: float = 0.0  # negative-binomial size; 0 = Poisson
    noise: float = 0.0  # log, per cell and gene: changes of expression that no latent explains
    n_batches: int = 4
    batch_sd: float = 0.0  # log, per gene between batches

    def __post_init__(self) -> None:
        for name in ("perturbations", "controls", "d_v", "layers", "n_batches"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: expected 1 or more")
        if self.cells < 10:
            raise ValueError(f"cells = {self.cells}: expected 10 or more, as a fifth of them is held out")
        if self.d_i < 0:
            raise ValueError(f"d_i = {self.d_i}: expected 0 or more")
        if not 1 <= self.min_hits <= self.max_hits <= self.d_v:
            raise ValueError(
                f"min_hits = {self.min_hits}, max_hits = {self.max_hits}: expected 1 to {self.d_v} (d_v), in order"
            )
        if self.genes < self.d_v + self.d_i:
            least = self.d_v + self.d_i
            raise ValueError(f"genes = {self.genes}: expected {least} (d_v + d_i) or more, or no mixing can be undone")
        if not 0 <= self.rho < 1:
            raise ValueError(f"rho = {self.rho}: expected 0 to under 1")
        if not 0 < self.slope <= 1:
            raise ValueError(f"slope = {self.slope}: expected above 0, up to 1: at 0 a mixing cannot be undone")
        pairs = self.perturbations * (self.perturbations - 1) // 2
        if not 0 <= self.doubles <= pairs:
            raise ValueError(f"doubles = {self.doubles}: expected 0 to {pairs}, the pairs of {self.perturbations}")
        if self.graph not in get_args(Graph):
            raise ValueError(f"graph = {self.graph}: expected {', '.join(get_args(Graph))}")
        if self.ratio and not self.d_i:
            raise ValueError(f"ratio = {self.ratio}: without a background (d_i = 0) there is no such ratio")
        for name in ("magnitude", "magnitude_sd", "strength_sd", "ratio", "gain", "library_sd", "gene_sd", "dispersion",
                     "noise", "batch_sd"):  # fmt: skip
            if getattr(self, name) < 0:
                raise ValueError(f"{name} = {getattr(self, name)}: expected 0 or more")


G1 = LatentParameters()
"""Sparse shifts of independent latents: the assumptions hold."""

G2 = replace(
    G1, perturbations=5, cells=500, controls=500, doubles=10, d_v=5, d_i=0, max_hits=1, graph="chain", genes=10,
    gene_median=40.0, gene_sd=0.5, gain=0.4,
)  # fmt: skip
"""A chain of five latents, a perturbation of each, all pairs held out; after discrepancy-VAE (Zhang et al. 2023)."""

G3 = replace(G1, ratio=1.0, magnitude=2.0, dispersion=2.0, gene_median=3.0, batch_sd=0.06)
"""As ``g1`` with counts like a real screen's and as much background as response: where assumptions are broken."""
