"""Every number of the simulator, and the two sets of them that are shipped as data sets."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.core.arguments import NonNegativeInt


@dataclass(frozen=True)
class SimulationParameters:
    """Every number of the generator. Log means natural log; fold changes are of a gene's mean count."""

    seed: NonNegativeInt = 0
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
