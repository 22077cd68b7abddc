"""Cells of a screen in many contexts: their states are drawn first, then their counts, in blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from bench.core.conditions import CONTROL
from bench.core.typing import Floats
from bench.data.simulate.base import Cells, Codes, Strings
from bench.data.simulate.contexts.design import ContextGenes, Contexts, draw_contexts, draw_genes, streams
from bench.data.simulate.contexts.parameters import ContextParameters
from bench.data.simulate.contexts.states import gates, module_expression, response

GENERATOR_VERSION = 1
"""Raise it with any change that alters a count for the same parameters: part of the identity of the data."""

BLOCK = 2048
"""Cells whose counts are drawn at once: what a block needs fits a processor's cache or nearly so."""


@dataclass(frozen=True)
class States:
    """Of each cell: context, perturbation (the last number = control), batch within its pool, depth, activities."""

    context: Codes  # [cells]
    perturbation: Codes  # [cells]
    batch: Codes  # [cells]
    log_library: Floats  # [cells]
    activities: Floats  # [cells, modules]


def conditions(genes: ContextGenes) -> Strings:
    """GEARS names of the perturbations, and of the control as the last ``[perturbations + 1]``."""
    return np.array([*(f"{name}+{CONTROL}" for name in genes.genes[genes.targets]), CONTROL])


def draw_states(p: ContextParameters, made: Contexts, rng: np.random.Generator) -> States:
    """Draw which cells there are, in random order, and the state of each."""
    mean = np.where(made.deep, p.deep_cells, p.cells)[:, None]
    low, high = (np.rint(mean * (1 + sign * p.cells_spread)).astype(np.int64) for sign in (-1, 1))
    perturbed = rng.integers(low, high + 1, (p.n_contexts, p.n_perturbations))
    numbers = np.column_stack([perturbed, np.where(made.deep, p.deep_controls, p.controls)])
    unit = rng.permutation(np.repeat(np.arange(numbers.size), numbers.ravel()))
    context, perturbation = np.divmod(unit, p.n_perturbations + 1)
    batch = rng.integers(0, p.n_batches, len(unit))
    log_library = made.batch_library[made.pool[context], batch] + p.library_sd * rng.standard_normal(len(unit))
    noise = rng.standard_normal((len(unit), p.n_modules))
    return States(context, perturbation, batch, log_library, made.activities[context] + p.cell_activity_sd * noise)


def log_changes(p: ContextParameters, genes: ContextGenes, activities: Floats, perturbation: Codes) -> Floats:
    """Log change of each gene that a perturbation causes in cells of these activities ``[cells, genes]``."""
    drives = np.vstack([genes.outgoing[genes.targets], np.zeros(p.n_modules)])
    change = response(p, drives[perturbation] * gates(p, activities), genes.programs)
    cells = np.flatnonzero(perturbation < p.n_perturbations)
    change[cells, genes.targets[perturbation[cells]]] = p.own_effect
    return change


def draw_counts(
    p: ContextParameters, genes: ContextGenes, made: Contexts, states: States, rng: np.random.Generator
) -> tuple[sp.csr_matrix, Codes]:
    """Counts ``[cells, genes]``, gamma-Poisson, and full libraries ``[cells]``.

    The unmeasured genes fill the library up to the cell's sequencing depth, which no state and no perturbation changes.
    """
    blocks: list[sp.csr_matrix] = []
    rests = []
    for start in range(0, len(states.context), BLOCK):
        rows = slice(start, start + BLOCK)
        context, perturbation = states.context[rows], states.perturbation[rows]
        activities, pool = states.activities[rows], made.pool[context]
        log_mean = made.base[context] + module_expression(p, activities, genes.loadings)
        log_mean += log_changes(p, genes, activities, perturbation)
        library = np.exp(states.log_library[rows])
        rests.append(rng.poisson(np.maximum(p.library_median - np.exp(log_mean).sum(axis=1), 0.0) * library))
        log_mean += made.batch_gene[pool, states.batch[rows]]
        if made.wells is not None:
            log_mean += made.wells[pool, perturbation]
        noise = rng.standard_gamma(p.dispersion, log_mean.shape) / p.dispersion
        drawn = rng.poisson(np.exp(log_mean) * library[:, None] * noise)
        blocks.append(sp.csr_matrix(drawn.astype(np.int32)))
    counts = sp.vstack(blocks, format="csr")
    return counts, np.concatenate(rests) + np.asarray(counts.sum(axis=1)).ravel().astype(np.int64)


def draw_cells(p: ContextParameters) -> Cells:
    """Draw the data set without its truth; the same parameters give the same counts."""
    return cells_with_states(p)[0]


def cells_with_states(p: ContextParameters) -> tuple[Cells, States]:
    """Draw the data set, and the state of each of its cells."""
    rng = streams(p)[-1]
    genes, made = draw_genes(p), draw_contexts(p)
    states = draw_states(p, made, rng)
    counts, ncounts = draw_counts(p, genes, made, states, rng)
    cells = Cells(
        counts=counts,
        ncounts=ncounts,
        genes=genes.genes,
        barcodes=np.array([f"C{i:06d}" for i in range(len(ncounts))]),
        condition=conditions(genes)[states.perturbation],
        context=made.names[states.context],
        batch=made.batches[made.pool[states.context], states.batch],
    )
    return cells, states
