"""Gene-gene pair tables (STRING, SIGNOR, Reactome, ...) as features of their genes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp

from bench.core.door.tables import read_csv
from bench.core.errors import BenchError
from bench.data.features.bank import FeatureBank, shorten
from bench.data.features.gene_embedding import largest_component, spectral_embedding

PAIR_SUFFIXES = (".csv", ".csv.gz")
PAIR_COLUMNS = ("entity1", "entity2")


def read_pairs(path: Path, name: str) -> FeatureBank:
    """Embed the genes of a gene-gene pair table by the spectrum of its graph.

    Pairs have no direction; pairs of a gene with itself and repeated pairs are dropped. Only genes of the largest
    connected component are described: every other component would take a dimension for itself, in which all its genes
    are one and the same. How many are left out is a note of the bank. The order of the rows does not matter.

    Args:
        path: ``.csv`` or ``.csv.gz`` with columns ``entity1`` and ``entity2``.
        name: The bank's name.

    Raises:
        BenchError: Not such a table, or nothing left in it.
    """
    table = read_csv(path, dtype=str, keep_default_na=False)
    absent = [column for column in PAIR_COLUMNS if column not in table]
    if absent:
        raise BenchError(
            f"{path}: no column '{absent[0]}' (columns: {shorten([*map(str, table.columns)], 5)}). "
            f"A pair table has columns entity1 and entity2, a gene name in each."
        )
    first, second = (table[column].str.strip() for column in PAIR_COLUMNS)
    empty = np.flatnonzero(((first == "") | (second == "")).to_numpy())
    if len(empty):
        raise BenchError(f"{path}: {len(empty):,} pairs lack a gene name, first: data row {empty[0] + 1}.")
    genes, codes = np.unique(np.concatenate([first.to_numpy(str), second.to_numpy(str)]), return_inverse=True)
    a, b = codes[: len(table)], codes[len(table) :]
    apart = a != b
    if not apart.any():
        raise BenchError(f"{path}: no pair of two different genes in {len(table):,} rows.")
    ends = np.concatenate([a[apart], b[apart]]), np.concatenate([b[apart], a[apart]])
    adjacency = sp.csr_matrix((np.ones(len(ends[0])), ends), shape=(len(genes), len(genes)))
    adjacency.data[:] = 1.0  # repeated pairs were summed
    largest, components = largest_component(adjacency)
    values = spectral_embedding(adjacency[largest][:, largest])
    described = values.any(axis=1)
    note = f"{adjacency.nnz // 2:,} pairs of {len(genes):,} genes"
    if components > 1:
        note += (
            f"; only the largest connected part is described ({len(largest):,} genes), "
            f"not the {len(genes) - len(largest):,} genes in {components - 1:,} separate parts"
        )
    if not described.all():
        note += f"; {int((~described).sum()):,} genes on the fringe of the graph are not described either"
    names = tuple(genes[largest[described]].tolist())
    return FeatureBank(name, names, values[described].astype(np.float32), str(path), (note,))
