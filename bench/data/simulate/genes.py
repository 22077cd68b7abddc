"""The genes of a simulated screen: their modules, the network that perturbations act through, and tables of features.

They are drawn before any cell, from random streams of their own: features of genes can be had without the cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from bench.core.typing import Floats
from bench.data.simulate.base import Bools, DrawnGenes, gene_names, noisy_view
from bench.data.simulate.parameters import SimulationParameters


@dataclass(frozen=True)
class Regulation(DrawnGenes):
    """What is fixed before a condition or a cell is drawn.

    Here ``outgoing [G, M + 1]`` is the total effect of a gene on every module and on the stress program, in log change
    per log change; ``view_a`` is a noisy view of it and ``view_b`` of the loadings.

    Attributes:
        loadings: Of genes on modules ``[G, M]``.
        base: Log mean count at the median library ``[G]``.
        targets: The perturbed genes ``[singles]``.
        network: Direct effects ``[G, G]`` (effect, cause).
        inert: Targets that change no gene but themselves ``[singles]``.
        total: Total effects ``[G, G]``: the inverse of one minus the network.
    """

    loadings: Floats
    base: Floats
    targets: NDArray[np.int64]
    network: Floats
    inert: Bools
    total: Floats


def streams(p: SimulationParameters) -> list[np.random.Generator]:
    """One random stream for each part: genes, network, design, epistasis, cells, views."""
    return [np.random.default_rng(s) for s in np.random.SeedSequence(p.seed).spawn(6)]


@lru_cache(maxsize=8)
def draw_genes(p: SimulationParameters) -> Regulation:
    """Draw the genes of a screen; the same parameters give the same ones. Nobody may change what is returned."""
    gene_rng, network_rng, *_, view_rng = streams(p)
    loadings = draw_modules(p.n_genes, p.n_modules, p.second_module, p.negative_share, gene_rng)
    base = np.log(p.gene_median) + p.gene_sd * gene_rng.standard_normal(p.n_genes)
    candidates = np.flatnonzero(base > np.quantile(base, p.target_quantile))
    targets = gene_rng.permutation(candidates)[: p.n_singles]
    network, program, inert = draw_network(p, targets, loadings, network_rng)
    total = np.asarray(np.linalg.inv(np.eye(p.n_genes) - network), dtype=np.float64)
    programs = np.column_stack([loadings, program])
    outgoing = (total - np.eye(p.n_genes)).T @ (programs / np.linalg.norm(programs, axis=0))

    tables = {
        name: noisy_view(features, p.view_width, p.view_noise, view_rng)
        for name, features in (("view_a", outgoing), ("view_b", loadings))
    }
    return Regulation(gene_names(p.n_genes), outgoing, tables, loadings, base, targets, network, inert, total)


def evenly_spread(n: int, rng: np.random.Generator) -> Floats:
    """Shuffled standard-normal quantiles [n]: for a few numbers that would rule a data set if drawn."""
    return np.asarray(ndtri((rng.permutation(n) + 0.5) / n))


def draw_modules(
    n_genes: int, n_modules: int, second_share: float, negative_share: float, rng: np.random.Generator
) -> Floats:
    """Signed loadings [genes, modules]: every gene on one module, a share of them on a second at half weight."""
    loadings = np.zeros((n_genes, n_modules))
    rows = np.arange(n_genes)
    first = rng.permutation(rows) % n_modules
    second = (first + rng.integers(1, max(n_modules, 2), n_genes)) % n_modules
    signs = np.where(rng.random((2, n_genes)) < negative_share, -1.0, 1.0)
    sizes = signs * rng.uniform(0.5, 1.5, (2, n_genes))
    loadings[rows, second] = 0.5 * sizes[1] * (rng.random(n_genes) < second_share)
    loadings[rows, first] = sizes[0]
    return loadings


def draw_network(
    p: SimulationParameters, targets: NDArray[np.int64], loadings: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats, Bools]:
    """Direct effects [genes, genes] (effect, cause), stress program [genes], inert targets [singles].

    Only perturbed genes and one further gene, the stress regulator, have outgoing edges. Regulators act in a
    fixed order, so that the network has no cycles and its total effect is a finite sum.
    """
    n, k = p.n_genes, len(targets)
    inert = rng.permutation(k) < np.ceil(p.inert_share * k)
    strength = np.zeros(k)
    strength[~inert] = np.exp(p.effect_sd * evenly_spread(int((~inert).sum()), rng))
    affinity = loadings @ loadings[targets].T
    edges = (affinity != 0) & (rng.random((n, k)) < p.edge_density)
    direct = p.effect_scale * strength * affinity * edges * rng.gamma(4.0, 0.25, (n, k))
    # Among regulators: a weak cascade along the order of `targets`, whatever the modules.
    later = np.tri(k, k=-1) * (rng.random((k, k)) < p.cascade_density) * (strength > 0)
    direct[targets] = p.cascade_weight * later * rng.choice([-1.0, 1.0], (k, k))
    stress_gene = int(rng.choice(np.setdiff1d(np.arange(n), targets)))
    program = (rng.random(n) < p.stress_share) * rng.normal(0.5, 1.0, n)
    program[np.append(targets, stress_gene)] = 0.0
    network = np.zeros((n, n))
    network[:, targets] = direct
    network[stress_gene, targets] = -strength * p.effect_scale  # a knock-down raises the stress regulator
    network[:, stress_gene] = p.stress_scale * program
    return network, program, inert
