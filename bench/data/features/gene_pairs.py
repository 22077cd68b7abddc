"""Gene-gene pair tables (STRING, SIGNOR, Reactome, ...) as features of their genes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.core.door.tables import read_csv
from bench.core.errors import BenchError
from bench.data.features.bank import FeatureBank, shorten
from bench.data.features.make.graph import embed_pairs

if TYPE_CHECKING:
    import pandas as pd

PAIR_SUFFIXES = (".csv", ".csv.gz")
PAIR_COLUMNS = ("entity1", "entity2")


def _columns(path: Path) -> tuple[pd.Series[str], pd.Series[str]]:
    """Both columns of a pair table, without spaces around the names.

    Raises:
        BenchError: Not such a table, or a name is missing.
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
    return first, second


def pair_names(path: Path) -> list[tuple[str, str]]:
    """The pairs of a gene-gene pair table.

    Raises:
        BenchError: Not such a table, or a name is missing.
    """
    first, second = _columns(path)
    return list(zip(first.tolist(), second.tolist(), strict=True))


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
    first, second = _columns(path)
    genes, codes = np.unique(np.concatenate([first.to_numpy(str), second.to_numpy(str)]), return_inverse=True)
    a, b = codes[: len(first)], codes[len(first) :]
    return embed_pairs(genes, a, b, np.ones(len(a)), name, str(path))
