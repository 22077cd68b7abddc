"""Cells of one file on the genes, and at the scale, of another's: what a model that was fitted elsewhere is given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.data.dataset import Dataset
from bench.data.features.bank import shorten
from bench.data.values import canonical

#: How far the totals of cells may differ, as a share, to count as one.
SAME_TOTAL = 1e-3


def total_of(x: sp.csr_matrix) -> float | None:
    """The total to which cells were normalised over the genes that they have; None = they add up to none.

    Args:
        x: log1p expression ``[cells, G]``. Cells without any value are not looked at.
    """
    sums = totals_of(x)
    sums = sums[sums > 0]
    if not len(sums) or sums.std() >= SAME_TOTAL * sums.mean():
        return None
    return float(np.median(sums))


def on_genes(dataset: Dataset, genes: Sequence[str], total: float | None) -> sp.csr_matrix:
    """Take the genes that a model knows, in its order, and bring the cells to the total of its own.

    Args:
        dataset: Cells of any file, with these genes among its own.
        genes: Genes of the model ``[G]``.
        total: What the model's own cells add up to over its genes; None = nothing in particular, as they were
            normalised over more genes than these: then values stay as they are.

    Returns:
        log1p expression ``[cells, G]``, float32.

    Raises:
        BenchError: Some of the genes are not there.
    """
    absent = [gene for gene in genes if gene not in dataset.gene_index]
    if absent:
        raise BenchError(
            f"{dataset.name}: {len(absent)} of the model's {len(genes)} genes are missing ({shorten(absent, 5)}); its "
            f"genes are called {shorten(dataset.genes.tolist(), 3)}. Give the counts of all of them; of a gene that "
            f"was not measured nothing can be said."
        )
    x = canonical(dataset.x[:, [dataset.gene_index[gene] for gene in genes]])
    if total is None:
        return x
    sums = totals_of(x)
    there = sums > 0
    if not (np.abs(sums[there] / total - 1) > SAME_TOTAL).any():
        return x
    factor = np.divide(total, sums, out=np.ones_like(sums), where=there)
    rates = np.expm1(x.data.astype(np.float64)) * np.repeat(factor, np.diff(x.indptr))
    return sp.csr_matrix((np.log1p(rates).astype(np.float32), x.indices, x.indptr), shape=x.shape)


def totals_of(x: sp.csr_matrix) -> Floats:
    """What each cell adds up to before the log ``[cells]``."""
    rates = sp.csr_matrix((np.expm1(x.data.astype(np.float64)), x.indices, x.indptr), shape=x.shape)
    return np.asarray(rates.sum(axis=1), dtype=np.float64).ravel()
