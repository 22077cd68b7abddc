"""The embedded data set: a Perturb-seq screen drawn from a sparse causal gene network, with its truth kept.

A perturbed gene acts through a directed acyclic network whose edges lie inside co-expression modules, and
on a stress regulator that answers to any effective perturbation. Cells differ by module activity, library
size and batch; counts are gamma-Poisson. The parts follow published simulators in spirit only (network and
steady state: SERGIO, Dibaeinia and Sinha 2020; sparse shifts of latent programs: sVAE+, Lopez et al. 2023;
negative-binomial counts: Hafemeister and Satija 2019). The numbers of `SIMULATED` and `SIMULATED_HARD` are
fitted to the ratios of real strong and weak screens; `tests/data/test_simulate.py` measures them on the
cells.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.data.simulate.base import Bools, Cells, Strings
from bench.data.simulate.expectation import expected_on_grid, normal_nodes
from bench.data.simulate.genes import draw_genes, evenly_spread, streams
from bench.data.simulate.parameters import SIMULATED, SIMULATED_HARD, SimulationParameters

__all__ = ["SIMULATED", "SIMULATED_HARD", "Simulation", "SimulationParameters", "SimulationTruth", "simulate"]

GENERATOR_VERSION = 1
"""Raise it with any change that alters a count for the same parameters: part of the identity of the data."""


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
    base: Floats  # [genes], log mean count of controls at the median library
    without_effect: Bools  # [conditions], nothing but the own targets changes
    epistatic: Bools  # [conditions], doubles with a planted interaction
    interactions: Floats  # [conditions, genes], part of `shifts` that is due to it
    activities: Floats  # [cells, modules], state of a cell before its perturbation acts: standard normal

    def expected_response(self, p: SimulationParameters, condition: NDArray[np.int64], states: Floats) -> Floats:
        """Change of E[x] that perturbations cause in cells of given states ``[cells, genes]``.

        Args:
            p: Of the generator.
            condition: Row of :attr:`conditions` of each cell ``[cells]``.
            states: Module activities ``[cells, modules]``.
        """
        loadings = p.activity_sd * self.modules
        before = self.base + states @ loadings.T - (loadings**2).sum(axis=1) / 2
        batch = np.full(p.n_genes, p.batch_gene_sd)
        both = np.stack([before, before + self.log_fold_changes[condition]])
        # Batches' gene effects have no correction of their mean in the counts: + half a variance, as E[] takes it off.
        without, after = expected_expression(p, both + batch**2 / 2, batch)
        return np.asarray(after - without)


@dataclass(frozen=True)
class Simulation(Cells):
    """Cells of one context in random order, and their truth."""

    truth: SimulationTruth
    feature_tables: dict[str, Floats]  # noisy views of the network, [genes, view_width] each


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
    """E[log1p(1e4 C / N)] over cells, for genes of log mean count at the median library [..., genes].

    `cell_sd` [genes] is the SD of a gene's log rate between cells.
    """
    nodes, weights = normal_nodes()
    grid = np.linspace(log_means.min() - 4.0, log_means.max() + 4.0, 400)
    library_sd = float(np.hypot(p.library_sd, p.batch_library_sd))
    expected = expected_on_grid(grid, p.library_median, library_sd, p.dispersion)
    at_nodes = [np.interp(log_means + cell_sd * z - cell_sd**2 / 2, grid, expected) for z in nodes]
    return np.asarray(np.tensordot(weights, np.stack(at_nodes), axes=1))


def draw_cells(
    p: SimulationParameters, log_means: Floats, loadings: Floats, rng: np.random.Generator
) -> tuple[sp.csr_matrix, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Floats]:
    """Counts [cells, genes], full libraries, batches and rows of `log_means` [cells each], module activities
    [cells, modules]; random order.

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
    activities = rng.standard_normal((len(row), p.n_modules))
    log_rate += activities @ cell_loadings.T
    noise = rng.standard_gamma(p.dispersion, log_rate.shape) / p.dispersion
    counts = sp.csr_matrix(rng.poisson(np.exp(log_rate) * noise).astype(np.int32))
    # The unmeasured genes fill the library up to the cell's sequencing depth, which no perturbation changes.
    unmeasured = np.maximum(p.library_median - np.exp(log_means).sum(axis=1), 0.0)
    rest = rng.poisson(unmeasured[row] * np.exp(log_library))
    return counts, rest + np.asarray(counts.sum(axis=1)).ravel().astype(np.int64), batch, row, activities


def simulate(parameters: SimulationParameters = SIMULATED) -> Simulation:
    """Draw the data set; the same parameters give the same counts. Each part has its own random stream."""
    p = parameters
    _, _, design_rng, epistasis_rng, cell_rng, _ = streams(p)
    made = draw_genes(p)
    genes, loadings, base, targets, total, inert = (
        made.genes, made.loadings, made.base, made.targets, made.total, made.inert
    )  # fmt: skip

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
    counts, ncounts, batch, row, activities = draw_cells(p, log_means, loadings, cell_rng)

    truth = SimulationTruth(
        conditions=conditions,
        network=sp.csr_matrix(made.network),
        modules=loadings,
        network_features=made.outgoing,
        log_fold_changes=log_fold,
        shifts=expected[:-1] - expected[-1],
        de=np.abs(log_fold) >= p.de_threshold,
        base=base,
        without_effect=np.asarray(~(members & ~inert).any(axis=1)),
        epistatic=np.append(np.zeros(p.n_singles, dtype=np.bool_), epistatic & (p.epistasis != 0)),
        interactions=expected[:-1] - without,
        activities=activities,
    )

    return Simulation(
        counts=counts,
        ncounts=ncounts,
        genes=genes,
        barcodes=np.array([f"C{i:06d}-{b + 1}" for i, b in enumerate(batch)]),
        condition=np.append(conditions, "ctrl")[row],
        context=np.full(len(row), "simulated"),
        batch=np.array([f"batch{b + 1}" for b in range(p.n_batches)])[batch],
        truth=truth,
        feature_tables=made.feature_tables,
    )
