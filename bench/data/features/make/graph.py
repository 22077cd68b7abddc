"""Weighted pairs of genes -> features of the genes."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.data.features.bank import FeatureBank
from bench.data.features.gene_embedding import WIDTH, largest_component, spectral_embedding

Indices = NDArray[np.int64]


def embed_pairs(
    genes: NDArray[Any], a: Indices, b: Indices, weight: Floats, name: str, source: str, width: int = WIDTH
) -> FeatureBank:
    """Embed the genes of some pairs by the spectrum of their graph.

    Pairs have no direction; of repeated ones the largest weight counts; pairs of a gene with itself are dropped. Only
    genes of the largest connected component are described: every other component would take a dimension for itself, in
    which all its genes are one and the same. How many are left out is a note of the bank.

    Args:
        genes: Names ``[N]``, unique.
        a: First gene of each pair ``[P]``.
        b: Second gene ``[P]``.
        weight: Above 0 ``[P]``.
        name: The bank's name.
        source: Where the pairs come from.
        width: Dimensions.

    Raises:
        BenchError: No pair of two different genes.
    """
    apart = a != b
    if not apart.any():
        raise BenchError(f"{source}: no pair of two different genes in {len(a):,} rows.")
    first, second, weight = np.minimum(a, b)[apart], np.maximum(a, b)[apart], weight[apart]
    order = np.lexsort((-weight, second, first))
    first, second, weight = first[order], second[order], weight[order]
    new = np.ones(len(first), dtype=np.bool_)
    new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    half = sp.csr_matrix((weight[new], (first[new], second[new])), shape=(len(genes), len(genes)))
    adjacency = sp.csr_matrix(half + half.T)
    largest, components = largest_component(adjacency)
    values = spectral_embedding(adjacency[largest][:, largest], width)
    described = values.any(axis=1)
    note = f"{half.nnz:,} pairs of {len(genes):,} genes"
    if components > 1:
        note += (
            f"; only the largest connected part is described ({len(largest):,} genes), "
            f"not the {len(genes) - len(largest):,} genes in {components - 1:,} separate parts"
        )
    if not described.all():
        note += f"; {int((~described).sum()):,} genes on the fringe of the graph are not described either"
    names = tuple(genes[largest[described]].tolist())
    return FeatureBank(name, names, values[described].astype(np.float32), source, (note,))
