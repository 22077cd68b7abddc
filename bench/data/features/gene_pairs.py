"""Gene-gene pair tables (STRING, SIGNOR, Reactome, ...) as features of their genes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.core.door.tables import read_csv
from bench.core.errors import BenchError
from bench.data.features.bank import FeatureBank, shorten
from bench.data.features.make.graph import embed_pairs

PAIR_SUFFIXES = (".csv", ".csv.gz")
PAIR_COLUMNS = ("entity1", "entity2")


def read_pairs(path: Path, name: str) -> FeatureBank:
    """Embed the genes of a gene-gene pair table by the spectrum of its graph.

    Every pair counts alike, see :func:`bench.data.features.make.graph.embed_pairs`. The order of the rows does not
    matter.

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
    return embed_pairs(genes, a, b, np.ones(len(a)), name, str(path))
