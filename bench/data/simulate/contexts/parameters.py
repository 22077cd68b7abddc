"""Every number of the generator of screens in many contexts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.core.arguments import NonNegativeInt


@dataclass(frozen=True)
class ContextParameters:
    """Every number of the generator. Log means natural log; fold changes are of a gene's mean count."""

    seed: NonNegativeInt = 0
    # Design
    n_genes: int = 500  # measured genes
    n_contexts: int = 40
    n_perturbations: int = 24  # perturbed genes, each in every context
    deep_share: float = 0.4  # share of contexts with many cells
    deep_cells: int = 210  # cells per perturbation of a deep context, mean; uniform on +- cells_spread
    deep_controls: int = 600
    cells: int = 25  # cells per perturbation of any other context, mean
    controls: int = 100
    cells_spread: float = 0.05
    # Measurement
    n_batches: int = 2  # of each context, or of each pool of contexts
    batch_library_sd: float = 0.1  # log, between batches
    batch_gene_sd: float = 0.06  # log, per gene between batches
    library_median: float = 13_000.0  # UMIs per cell, unmeasured genes included
    library_sd: float = 0.36  # log, within a batch
    gene_median: float = 0.3  # UMIs of the median gene in a cell of median library
    gene_sd: float = 1.0  # log, between genes
    target_quantile: float = 0.6  # perturbed genes are drawn above this quantile of mean expression
    dispersion: float = 2.0  # negative-binomial size r: variance = mean + mean^2 / r
    # States of cells
    n_modules: int = 8  # of co-expressed genes; each opens the gate of a program
    second_module: float = 0.4  # share of module genes that load on a second module, at half weight
    negative_share: float = 0.35  # share of loadings that are negative
    module_scale: float = 0.6  # log change of a gene of loading 1 per unit of activity
    context_activity_sd: float = 1.2  # of an activity between contexts; those of a context sum to zero
    cell_activity_sd: float = 0.3  # the same, between the cells of a context
    context_gene_sd: float = 0.3  # log, per gene between contexts
    # Responses
    response_share: float = 0.4  # share of genes that are in no module: programs are made of them
    program_share: float = 0.12  # share of all genes that a program moves
    programs_driven: int = 3  # by each perturbation; each program by about as many perturbations
    effect_scale: float = 0.9  # log change at weight 1 of an open program that is driven with median strength
    effect_sd: float = 0.4  # log-normal spread of these strengths
    gate_slope: float = 6.0  # a gate is sigmoid(slope x (activity - threshold))
    gate_threshold: float = 0.25  # a module is active in somewhat less than half of the contexts
    own_effect: float = -1.8  # log change of the perturbed gene itself (a knock-down to a sixth)
    # The nonlinear form
    nonlinear: bool = False  # gates on two activities, switches, modules and responses that saturate
    module_level: float = 1.0  # activity at which a saturating module levels off
    response_level: float = 1.5  # log change at which a saturating response levels off
    # A planted defect
    pool_size: int = 1  # contexts that are grown and measured together, in one well per perturbation
    pool_noise: float = 0.0  # log, per gene between wells: common to a perturbation in all contexts of a pool
    # Feature tables
    view_width: int = 16  # columns of each
    view_noise: float = 0.5  # noise SD / signal SD

    def __post_init__(self) -> None:
        room = self.n_genes - int(self.target_quantile * self.n_genes) - 1
        if not 1 <= self.n_perturbations <= room:
            raise ValueError(f"n_perturbations = {self.n_perturbations}: expected 1 to {room} of {self.n_genes} genes")
        if self.n_modules < 2:
            raise ValueError(f"n_modules = {self.n_modules}: expected 2 or more")
        if not 1 <= self.programs_driven <= self.n_modules:
            raise ValueError(f"programs_driven = {self.programs_driven}: expected 1 to {self.n_modules} (n_modules)")
        if self.program_share > self.response_share:
            raise ValueError(
                f"program_share = {self.program_share}: expected at most {self.response_share} (response_share)"
            )
        for name in ("n_contexts", "n_batches", "pool_size", "cells", "controls", "deep_cells", "deep_controls"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: expected 1 or more")
        if not 0 <= self.deep_share <= 1:
            raise ValueError(f"deep_share = {self.deep_share}: expected 0 to 1")


SIMULATED_CONTEXTS = ContextParameters()
"""The data set `simulated_contexts`: one activity opens one gate, and modules are log-linear."""

SIMULATED_CONTEXTS_NONLINEAR = replace(SIMULATED_CONTEXTS, nonlinear=True, effect_scale=0.75)
"""The same design with gates on two activities, switches, and modules and responses that saturate."""
