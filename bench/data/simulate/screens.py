"""The embedded data set: a Perturb-seq screen drawn from a sparse causal gene network, with its truth kept.

A perturbed gene acts through a directed acyclic network whose edges lie inside co-expression modules, and
on a stress regulator that answers to any effective perturbation. Cells differ by module activity, library
size and batch; counts are gamma-Poisson. The parts follow published simulators in spirit only (network and
steady state: SERGIO, Dibaeinia and Sinha 2020; sparse shifts of latent programs: sVAE+, Lopez et al. 2023;
negative-binomial counts: Hafemeister and Satija 2019). The numbers of `SIMULATED` and `SIMULATED_HARD` are
fitted to the ratios of real strong and weak screens; `tests/data/test_simulate.py` measures them on the
cells.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import ndtri

from bench.core.typing import Floats

Bools = NDArray[np.bool_]

Strings = NDArray[np.str_]

GENERATOR_VERSION = 1
"""Raise it with any change that alters a count for the same parameters: part of the identity of the data."""

SCALE = 1e4
"""Fixed total of the normalisation of the true shifts: x = log1p(SCALE * counts / ncounts)."""


@dataclass(frozen=True)
class SimulationParameters:
    """Every number of the generator. Log means natural log; fold changes are of a gene's mean count."""

    seed: int = 0
    # Design
    n_genes: int = 500  # measured genes
    n_singles: int = 80  # perturbed genes, each alone in one condition
    n_doubles: int = 100  # pairs of them
    cells_per_condition: int = 60  # mean; uniform on +- cells_spread
    cells_spread: float = 0.15  # share of cells_per_condition
    n_controls: int = 1000  # cells
    # Measurement
    n_batches: int = 4
    batch_library_sd: float = 0.1  # log, between batches
    batch_gene_sd: float = 0.06  # log, per gene between batches
    library_median: float = 13_000.0  # UMIs per cell, unmeasured genes included
    library_sd: float = 0.36  # log, within a batch
    gene_median: float = 0.15  # UMIs of the median gene in a cell of median library
    gene_sd: float = 1.0  # log, between genes
    target_quantile: float = 0.6  # perturbed genes are drawn above this quantile of mean expression
    dispersion: float = 2.0  # negative-binomial size r: variance = mean + mean^2 / r
    # Modules of co-expressed genes
    n_modules: int = 8
    second_module: float = 0.4  # share of genes that load on a second module, at half weight
    negative_share: float = 0.35  # share of loadings that are negative
    activity_sd: float = 0.8  # log change of a gene of loading 1, between cells, per module
    # Network and effects
    edge_density: float = 0.8  # share of the genes of its modules that a regulator acts on
    cascade_density: float = 0.1  # share of later regulators that a regulator acts on
    cascade_weight: float = 0.15  # log change of the regulated regulator per log change of the regulator
    inert_share: float = 0.12  # share of singles that change no gene but themselves
    effect_scale: float = 0.5  # log change per log change of a regulator of median strength, at loading 1
    effect_sd: float = 1.4  # log-normal spread of regulator strengths
    stress_share: float = 0.3  # share of genes that the stress program moves
    stress_scale: float = 0.17  # log change at weight 1 per log change of the stress regulator
    own_effect: float = -1.8  # log change of the perturbed gene itself (a knock-down to a sixth)
    saturation: float = 3.8  # no gene changes by more than this (log, tanh)
    # Interactions
    epistatic_share: float = 0.3  # share of doubles of two effective genes
    epistasis: float = 0.8  # norm of the interaction / geometric mean norm of the two singles (log)
    # Truth and feature tables
    de_threshold: float = 0.25  # abs log change from which a gene counts as truly changed
    view_width: int = 16  # columns of each feature table
    view_noise: float = 0.5  # noise SD / signal SD of a feature table

    def __post_init__(self) -> None:
        pairs = self.n_singles * (self.n_singles - 1) // 2
        room = self.n_genes - int(self.target_quantile * self.n_genes) - 1
        if not 1 <= self.n_singles <= room:
            raise ValueError(f"n_singles = {self.n_singles}: expected 1 to {room} of {self.n_genes} genes")
        if not 0 <= self.n_doubles <= pairs // 2:
            raise ValueError(f"n_doubles = {self.n_doubles}: expected 0 to {pairs // 2}, half of all pairs")


SIMULATED = SimulationParameters()
"""The default data set `simulated`: ratios of a strong screen."""

SIMULATED_HARD = replace(
    SIMULATED, effect_scale=0.105, effect_sd=0.6, inert_share=0.4, stress_share=1.0, stress_scale=0.42
)
"""A weak screen: most conditions are lost in the noise of their 60 cells. What remains is mostly the common
stress response, so that `train_mean` does about as well as a replicate, and skill should come out null."""


@dataclass(frozen=True)
class SimulationTruth:
    """What the generator planted. Rows of [conditions, genes] arrays follow `conditions`."""

    conditions: Strings  # [conditions], singles first
    network: sp.csr_matrix  # [genes, genes], (effect, cause): log change per log change
    modules: Floats  # [genes, modules], loadings
    network_features: Floats  # [genes, modules + 1]: total effect of a gene on each module and on stress
    log_fold_changes: Floats  # [conditions, genes], log change of the mean count
    shifts: Floats  # [conditions, genes], change of E[x], x = log1p(1e4 counts / ncounts)
    de: Bools  # [conditions, genes], truly changed genes (own targets included)
    without_effect: Bools  # [conditions], nothing but the own targets changes
    epistatic: Bools  # [conditions], doubles with a planted interaction
    interactions: Floats  # [conditions, genes], part of `shifts` that is due to it


@dataclass(frozen=True)
class Simulation:
    """Cells of one context in random order, and their truth."""

    counts: sp.csr_matrix  # [cells, genes], int32
    ncounts: NDArray[np.int64]  # [cells], UMIs of the whole cell, unmeasured genes included
    genes: Strings  # [genes]
    barcodes: Strings  # [cells], unique
    condition: Strings  # [cells], GEARS names: ctrl, G012+ctrl, G034+G012
    context: Strings  # [cells]
    batch: Strings  # [cells]
    truth: SimulationTruth
    feature_tables: dict[str, Floats]  # noisy views of the network, [genes, view_width] each


def evenly_spread(n: int, rng: np.random.Generator) -> Floats:
    """Shuffled standard-normal quantiles [n]: for a few numbers that would rule a data set if drawn."""
    return np.asarray(ndtri((rng.permutation(n) + 0.5) / n))


def draw_modules(p: SimulationParameters, rng: np.random.Generator) -> Floats:
    """Signed loadings [genes, modules]: every gene on one module, some on a second at half weight."""
    loadings = np.zeros((p.n_genes, p.n_modules))
    rows = np.arange(p.n_genes)
    first = rng.permutation(rows) % p.n_modules
    second = (first + rng.integers(1, max(p.n_modules, 2), p.n_genes)) % p.n_modules
    signs = np.where(rng.random((2, p.n_genes)) < p.negative_share, -1.0, 1.0)
    sizes = signs * rng.uniform(0.5, 1.5, (2, p.n_genes))
    loadings[rows, second] = 0.5 * sizes[1] * (rng.random(p.n_genes) < p.second_module)
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


def draw_doubles(p: SimulationParameters, rng: np.random.Generator) -> NDArray[np.int64]:
    """Pairs of singles [doubles, 2], none twice in either order, in arbitrary order within the pair.

    Whole shuffles of all singles are cut into pairs, so that each gene is in about as many doubles and
    every subgroup of the GEARS split gets some.
    """
    pairs: dict[frozenset[int], tuple[int, int]] = {}
    while len(pairs) < p.n_doubles:
        shuffled = rng.permutation(p.n_singles).tolist()
        for a, b in zip(shuffled[::2], shuffled[1::2], strict=False):
            if len(pairs) < p.n_doubles:
                pairs.setdefault(frozenset((a, b)), (a, b))
    return np.array(list(pairs.values()), dtype=np.int64).reshape(-1, 2)


def expected_expression(p: SimulationParameters, log_means: Floats, cell_sd: Floats) -> Floats:
    """E[log1p(SCALE C / N)] over cells, for genes of log mean count at the median library [..., genes].

    `cell_sd` [genes] is the SD of a gene's log rate between cells. Uses Frullani's integral,
    log(1+y) = int_0^inf exp(-t) (1 - exp(-t y)) / t dt, and E[exp(-s C)] = (1 + m (1 - exp(-s)) / r)^-r for a
    negative binomial of mean m and size r.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    weights = weights / weights.sum()
    library = np.exp(np.hypot(p.library_sd, p.batch_library_sd) * nodes)[:, None]
    u = np.linspace(-14.0, 4.0, 181)  # t = exp(u): the trapezoid rule converges fast on this scale
    grid = np.linspace(log_means.min() - 4.0, log_means.max() + 4.0, 400)
    transform = 1.0 - np.exp(-np.exp(u) * SCALE / (p.library_median * library))
    rates = np.exp(grid)[:, None, None] * library
    inner = np.exp(-np.exp(u)) * (1.0 - (1.0 + rates * transform / p.dispersion) ** -p.dispersion)
    expected = inner.sum(axis=2) @ weights * (u[1] - u[0])
    at_nodes = [np.interp(log_means + cell_sd * z - cell_sd**2 / 2, grid, expected) for z in nodes]
    return np.asarray(np.tensordot(weights, np.stack(at_nodes), axes=1))


def draw_cells(
    p: SimulationParameters, log_means: Floats, loadings: Floats, rng: np.random.Generator
) -> tuple[sp.csr_matrix, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Counts [cells, genes], full libraries, batches and rows of `log_means` [cells each]; random order.

    The last row of `log_means` [conditions + 1, genes] is the control.
    """
    low, high = (round(p.cells_per_condition * (1 + s * p.cells_spread)) for s in (-1, 1))
    n_cells = np.append(rng.integers(low, high + 1, len(log_means) - 1), p.n_controls)
    row = rng.permutation(np.repeat(np.arange(len(log_means)), n_cells))
    batch = rng.integers(0, p.n_batches, len(row))
    batch_library = p.batch_library_sd * evenly_spread(p.n_batches, rng)
    batch_gene = p.batch_gene_sd * rng.standard_normal((p.n_batches, p.n_genes))
    log_library = batch_library[batch] + p.library_sd * rng.standard_normal(len(row))
    cell_loadings = p.activity_sd * loadings
    log_rate = log_means[row] + batch_gene[batch] + log_library[:, None] - (cell_loadings**2).sum(axis=1) / 2
    log_rate += rng.standard_normal((len(row), p.n_modules)) @ cell_loadings.T
    noise = rng.standard_gamma(p.dispersion, log_rate.shape) / p.dispersion
    counts = sp.csr_matrix(rng.poisson(np.exp(log_rate) * noise).astype(np.int32))
    # The unmeasured genes fill the library up to the cell's sequencing depth, which no perturbation changes.
    unmeasured = np.maximum(p.library_median - np.exp(log_means).sum(axis=1), 0.0)
    rest = rng.poisson(unmeasured[row] * np.exp(log_library))
    return counts, rest + np.asarray(counts.sum(axis=1)).ravel().astype(np.int64), batch, row


def simulate(parameters: SimulationParameters = SIMULATED) -> Simulation:
    """Draw the data set; the same parameters give the same counts. Each part has its own random stream."""
    p = parameters
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(p.seed).spawn(6)]
    gene_rng, network_rng, design_rng, epistasis_rng, cell_rng, view_rng = streams
    genes = np.array([f"G{i:0{len(str(p.n_genes - 1))}d}" for i in range(p.n_genes)])
    loadings = draw_modules(p, gene_rng)
    base = np.log(p.gene_median) + p.gene_sd * gene_rng.standard_normal(p.n_genes)
    candidates = np.flatnonzero(base > np.quantile(base, p.target_quantile))
    targets = gene_rng.permutation(candidates)[: p.n_singles]
    network, program, inert = draw_network(p, targets, loadings, network_rng)
    total = np.linalg.inv(np.eye(p.n_genes) - network)

    pairs = draw_doubles(p, design_rng)
    members = np.zeros((p.n_singles + len(pairs), p.n_singles), dtype=np.bool_)
    members[: p.n_singles] = np.eye(p.n_singles, dtype=np.bool_)
    members[p.n_singles + np.arange(len(pairs))[:, None], pairs] = True
    names = genes[targets]
    conditions = np.array([f"{a}+ctrl" for a in names] + [f"{names[a]}+{names[b]}" for a, b in pairs])

    singles = p.own_effect * (total[:, targets] - np.eye(p.n_genes)[:, targets]).T
    additive = members @ singles
    epistatic = (~inert[pairs]).all(axis=1) & (epistasis_rng.random(len(pairs)) < p.epistatic_share)
    two = epistasis_rng.random((len(pairs), p.n_modules)).argsort(axis=1) < 2
    directions = (two * epistasis_rng.choice([-1.0, 1.0], two.shape)) @ loadings.T
    norms = np.linalg.norm(singles, axis=1)[pairs].prod(axis=1) ** 0.5
    unit = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    interaction = np.zeros_like(additive)
    interaction[p.n_singles :] = p.epistasis * (epistatic * norms)[:, None] * unit

    def saturated(change: Floats) -> Floats:
        change = p.saturation * np.tanh(change / p.saturation)
        change[:, targets] = np.where(members, p.own_effect, change[:, targets])
        return np.asarray(change)

    log_fold = saturated(additive + interaction)
    log_means = np.vstack([base + log_fold, base])
    cell_sd = np.hypot(p.activity_sd * np.linalg.norm(loadings, axis=1), p.batch_gene_sd)
    expected = expected_expression(p, log_means, cell_sd)
    without = expected_expression(p, base + saturated(additive), cell_sd)
    counts, ncounts, batch, row = draw_cells(p, log_means, loadings, cell_rng)

    programs = np.column_stack([loadings, program])
    outgoing = (total - np.eye(p.n_genes)).T @ (programs / np.linalg.norm(programs, axis=0))
    truth = SimulationTruth(
        conditions=conditions,
        network=sp.csr_matrix(network),
        modules=loadings,
        network_features=outgoing,
        log_fold_changes=log_fold,
        shifts=expected[:-1] - expected[-1],
        de=np.abs(log_fold) >= p.de_threshold,
        without_effect=np.asarray(~(members & ~inert).any(axis=1)),
        epistatic=np.append(np.zeros(p.n_singles, dtype=np.bool_), epistatic & (p.epistasis != 0)),
        interactions=expected[:-1] - without,
    )

    def noisy_view(features: Floats) -> Floats:
        mixed = features @ view_rng.standard_normal((features.shape[1], p.view_width))
        return np.asarray(mixed + p.view_noise * mixed.std(axis=0) * view_rng.standard_normal(mixed.shape))

    return Simulation(
        counts=counts,
        ncounts=ncounts,
        genes=genes,
        barcodes=np.array([f"C{i:06d}-{b + 1}" for i, b in enumerate(batch)]),
        condition=np.append(conditions, "ctrl")[row],
        context=np.full(len(row), "simulated"),
        batch=np.array([f"batch{b + 1}" for b in range(p.n_batches)])[batch],
        truth=truth,
        feature_tables={"view_a": noisy_view(outgoing), "view_b": noisy_view(loadings)},
    )
