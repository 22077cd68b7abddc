"""What stands beside every encoder: principal components, a random projection, and labels that mean nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.core.units import Unit
from bench.data.heldout import held_out_contexts, subsample
from bench.data.task import Task
from bench.stats.cellspace import principal_axes

Singles = NDArray[np.float32]

#: Names of the reference rows; ``shuffled`` is ``pca`` with condition labels permuted within batch.
PCA, RANDOM, SHUFFLED = "pca", "random", "shuffled"
NAMES = (PCA, RANDOM, SHUFFLED)
#: Width of both embeddings.
WIDTH = 50
#: Widths of principal components that validation contexts choose among, where contexts are held out.
WIDTHS = (5, 10, 20, 50)
#: Train cells that the components are fitted on, at most.
MAX_CELLS = 5_000


@dataclass(frozen=True)
class Projection:
    """A linear embedding: ``(cells - mean) @ axes.T``.

    Attributes:
        mean: ``[G]``.
        axes: ``[D, G]``.
        fitted_on: Conditions whose cells it has seen; units, where the split is of units.
    """

    mean: Singles
    axes: Singles
    fitted_on: tuple[str | Unit, ...] = ()

    def __call__(self, cells: Singles) -> Singles:
        """Embed cells: ``[n, G] -> [n, D]``."""
        return np.asarray((cells - self.mean) @ self.axes.T, dtype=np.float32)


def pca(task: Task, seed: int, width: int = WIDTH) -> Projection:
    """Principal components of cells of train conditions (at most :data:`MAX_CELLS`, drawn by seed).

    Where contexts are held out, of input controls too: the controls of a target context are all that is seen of it.
    """
    rows = task.rows("train")
    if held_out_contexts(task):
        index = task.dataset.barcode_index
        controls = {b for pool in task.split.input_controls.values() for b in pool}
        rows = np.union1d(rows, np.array([index[b] for b in controls], dtype=np.int64))
    rows = subsample(rows, MAX_CELLS, np.random.default_rng([seed, 0xD1]))
    mean, axes = principal_axes(task.dataset.x[rows].toarray(), width)
    return Projection(mean, axes, task.split.train if task.split.units is None else task.split.units["train"])


def truncated(projection: Projection, width: int) -> Projection:
    """The first ``width`` components."""
    return Projection(projection.mean, projection.axes[:width], projection.fitted_on)


def random_projection(genes: int, seed: int, width: int = WIDTH) -> Projection:
    """A Gaussian random projection, entries of variance 1/width.

    Source: Johnson and Lindenstrauss 1984: it nearly keeps the distances between cells, noise included.
    """
    axes = np.random.default_rng([seed, 0xD2]).normal(0, width**-0.5, (width, genes))
    return Projection(np.zeros(genes, dtype=np.float32), axes.astype(np.float32))


def shuffle_within(label: NDArray[np.int64], batch: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Permute labels within each batch ``[N]``."""
    rng = np.random.default_rng([seed, 0xD3])
    shuffled = np.empty_like(label)
    order = np.argsort(batch, kind="stable")
    shuffled[order] = label[np.lexsort((rng.random(len(label)), batch))]
    return shuffled
