"""The truth of a screen in many contexts: shifts of its units, and state and expected response of single cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

from bench.core.typing import Floats
from bench.data.simulate.base import Cells, Strings
from bench.data.simulate.contexts.cells import States, cells_with_states, conditions, log_changes
from bench.data.simulate.contexts.design import ContextGenes, Contexts, draw_contexts, draw_genes
from bench.data.simulate.contexts.parameters import SIMULATED_CONTEXTS, ContextParameters
from bench.data.simulate.contexts.states import gates, module_expression
from bench.data.simulate.expectation import expected_on_grid, normal_nodes

POINTS = 256
"""States over which a unit's truth is averaged: a scrambled Sobol sequence, the same for control and perturbed."""


@dataclass(frozen=True)
class ContextTruth:
    """What the generator planted. Rows of [units, genes] arrays follow ``conditions`` and ``contexts``.

    Attributes:
        parameters: Of the generator.
        genes: Programs, what drives them, modules.
        made: The contexts.
        states: Of each cell: perturbation, context, batch, activities.
        gates: How far each program answers in each cell, perturbed or not ``[cells, programs]``.
        conditions: GEARS name of each unit ``[units]``.
        contexts: Context of each unit ``[units]``.
        shifts: Change of E[x], x = log1p(1e4 counts / ncounts), over the cells of a context ``[units, genes]``.
        log_fold_changes: Log change of the mean count ``[units, genes]``.
    """

    parameters: ContextParameters
    genes: ContextGenes
    made: Contexts
    states: States
    gates: Floats
    conditions: Strings
    contexts: Strings
    shifts: Floats
    log_fold_changes: Floats

    def expected_response(
        self, rows: np.typing.NDArray[np.int64], perturbation: np.typing.NDArray[np.int64] | None = None
    ) -> Floats:
        """Change of E[x] that perturbations cause in cells of given states ``[rows, genes]``; of controls: 0.

        Args:
            rows: Cells whose context and state are taken.
            perturbation: Number of each one's perturbation, as in ``genes.targets``; absent = the one that it got.
        """
        p, states = self.parameters, self.states
        activities = states.activities[rows]
        before = self.made.base[states.context[rows]] + module_expression(p, activities, self.genes.loadings)
        change = log_changes(
            p, self.genes, activities, states.perturbation[rows] if perturbation is None else perturbation
        )
        expected = Expected(p)
        return expected(before + change) - expected(before)


@dataclass(frozen=True)
class ContextSimulation(Cells):
    """The cells, and their truth down to single cells."""

    truth: ContextTruth


class Expected:
    """E[x] of a gene as a function of its log mean count at the median library: depths and batches averaged over."""

    def __init__(self, p: ContextParameters) -> None:
        nodes, weights = normal_nodes()
        center = np.log(p.gene_median)
        self.grid = np.linspace(center - 14.0, center + 14.0, 1200)
        depth_sd = float(np.hypot(p.library_sd, p.batch_library_sd))
        plain = expected_on_grid(self.grid, p.library_median, depth_sd, p.dispersion)
        moved = [np.interp(self.grid + p.batch_gene_sd * node, self.grid, plain) for node in nodes]
        self.values = np.asarray(weights @ np.stack(moved))

    def __call__(self, log_means: Floats) -> Floats:
        """Return E[x] for log mean counts of any shape."""
        return np.asarray(np.interp(log_means, self.grid, self.values))


def unit_truth(p: ContextParameters, points: int = POINTS) -> tuple[Floats, Floats]:
    """True shifts and log fold changes ``[contexts x perturbations, genes]``, context by context.

    Averages over cells' activities by quasi-Monte Carlo; 256 points leave an error of the shifts under 1% of their
    size (measured in the tests).
    """
    genes, made, expected = draw_genes(p), draw_contexts(p), Expected(p)
    cube = qmc.Sobol(p.n_modules, seed=0).random(points)
    noise = p.cell_activity_sd * ndtri(cube)
    shifts = np.zeros((p.n_contexts, p.n_perturbations, p.n_genes))
    folds = np.zeros_like(shifts)
    drives = genes.outgoing[genes.targets]
    # A perturbation moves itself and the genes of the programs that it drives: no other gene is worth the time.
    moved = (drives != 0) @ (genes.programs != 0)
    moved[np.arange(p.n_perturbations), genes.targets] = True
    for c in range(p.n_contexts):
        activities = made.activities[c] + noise
        before = made.base[c] + module_expression(p, activities, genes.loadings)
        without, mean = expected(before).mean(axis=0), np.exp(before).mean(axis=0)
        for i in range(p.n_perturbations):
            here = np.flatnonzero(moved[i])
            change = log_changes(p, genes, activities, np.full(points, i))[:, here]
            after = before[:, here] + change
            shifts[c, i, here] = expected(after).mean(axis=0) - without[here]
            folds[c, i, here] = np.log(np.exp(after).mean(axis=0) / mean[here])
    return shifts.reshape(-1, p.n_genes), folds.reshape(-1, p.n_genes)


def simulate_contexts(parameters: ContextParameters = SIMULATED_CONTEXTS) -> ContextSimulation:
    """Draw the data set with its truth; the same parameters give the same counts."""
    p = parameters
    cells, states = cells_with_states(p)
    genes, made = draw_genes(p), draw_contexts(p)
    shifts, folds = unit_truth(p)
    truth = ContextTruth(
        parameters=p,
        genes=genes,
        made=made,
        states=states,
        gates=gates(p, states.activities),
        conditions=np.tile(conditions(genes)[:-1], p.n_contexts),
        contexts=np.repeat(made.names, p.n_perturbations),
        shifts=shifts,
        log_fold_changes=folds,
    )
    return ContextSimulation(**vars(cells), truth=truth)
