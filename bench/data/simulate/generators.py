"""The generators, by the name that a card's ``source`` calls them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bench.data.simulate import genes, screens
from bench.data.simulate.base import Cells, DrawnGenes
from bench.data.simulate.contexts import cells as contexts
from bench.data.simulate.contexts import design
from bench.data.simulate.contexts.parameters import SIMULATED_CONTEXTS
from bench.data.simulate.latents import truth as latents
from bench.data.simulate.latents.parameters import G1
from bench.data.simulate.parameters import SIMULATED

P = TypeVar("P")


@dataclass(frozen=True)
class Generator(Generic[P]):
    """One way to make a data set up.

    Attributes:
        defaults: Its parameters, a frozen dataclass; a card changes single ones.
        version: Raised with any change that alters a count for the same parameters.
        genes: Draws the genes and their feature tables, without cells.
        cells: Draws the cells.
    """

    defaults: P
    version: int
    genes: Callable[[P], DrawnGenes]
    cells: Callable[[P], Cells]


GENERATORS: dict[str, Generator[Any]] = {
    "simulated": Generator(SIMULATED, screens.GENERATOR_VERSION, genes.draw_genes, screens.simulate),
    "simulated_contexts": Generator(
        SIMULATED_CONTEXTS, contexts.GENERATOR_VERSION, design.draw_genes, contexts.draw_cells
    ),
    "latents": Generator(G1, latents.GENERATOR_VERSION, latents.draw_genes, latents.simulate_latents),
}
