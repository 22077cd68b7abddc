"""Files as biologists bring them: drawn cells under the column names, labels and values of many houses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from screens import GENES, SINGLES, tiny_counts, write_h5ad

from bench.core.conditions import constituents
from bench.data.values import normalise

COUNTS, OBS = tiny_counts(cells=12, controls=60)
LOG = normalise(COUNTS)
#: The perturbed genes of each cell, none for controls.
MEMBERS = [constituents(name) for name in OBS["condition"]]
ALONE = np.array([len(genes) < 2 for genes in MEMBERS])


def labels(separator: str = "+", control: str | Callable[[int], str] = "control") -> np.ndarray:
    """A label for every cell, without anything that fills up singles; a control may be named by the cell's number."""
    name = control if callable(control) else lambda _: control
    return np.array([separator.join(genes) or name(i) for i, genes in enumerate(MEMBERS)], dtype=object)


def obs(**columns: object) -> pd.DataFrame:
    """A table of cells with these columns and a cell type."""
    return pd.DataFrame({**columns, "cell_type": "K562"}, index=OBS.index)


def write(folder: Path, table: pd.DataFrame, x: object = LOG, **extra: object) -> Path:
    """Write the cells of a table."""
    kept = OBS.index.get_indexer(table.index)
    return write_h5ad(folder / "mine.h5ad", x[kept], table, GENES, **extra)  # type: ignore[index]


def card(folder: Path, text: str) -> Path:
    """Write a card for the file of :func:`write`."""
    path = folder / "mine.yaml"
    path.write_text(f"source: mine.h5ad\n{text}\n", encoding="utf-8")
    return path


__all__ = ["ALONE", "COUNTS", "GENES", "LOG", "MEMBERS", "OBS", "SINGLES", "card", "labels", "obs", "write"]
