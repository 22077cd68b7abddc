"""Cells of one state, such as a goal to be reached: a file or an object whose labels are not looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.core.conditions import CONTROL
from bench.core.errors import BenchError
from bench.core.text import counted
from bench.data.dataset import Dataset
from bench.data.io.h5ad import open_h5ad, read_frame, read_matrix
from bench.data.task import load_cells

if TYPE_CHECKING:
    from anndata import AnnData

#: With fewer cells a state cannot be told from the noise of which cells they are.
MIN_CELLS = 2


def read_state(source: str | Path | AnnData, what: str) -> Dataset:
    """Read the cells of a state, under the checks that all data are read with; all of them are of the state.

    Args:
        source: An h5ad file, or an AnnData: counts or log1p values in X.
        what: What the state is, for messages: ``target`` or ``start``.

    Raises:
        BenchError: Unreadable, no expression values, or fewer than 2 cells.
    """
    import anndata

    name = str(source) if isinstance(source, str | Path) else what
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.is_file():
            raise BenchError(f"{what}: no such file: {path}. Give an h5ad file with the cells of the state.")
        with open_h5ad(path) as handle:
            index, var, x = read_frame(handle, "obs").index, read_frame(handle, "var"), read_matrix(handle)
    elif isinstance(source, anndata.AnnData):
        index, var, x = source.obs_names, source.var, source.X
    else:
        raise BenchError(f"{what} of type {type(source).__name__}: expected an h5ad file or an AnnData object.")
    cells = index.astype(str)
    if len(cells) < MIN_CELLS:
        raise BenchError(
            f"{name}: {counted(len(cells), 'cell')}: how far a state is cannot be told from one cell. Give the cells "
            f"of the state, 20 or more."
        )
    obs = pd.DataFrame({"condition": np.full(len(cells), CONTROL)}, index=cells)
    plain: Any = anndata.AnnData(x, obs=obs, var=pd.DataFrame(index=var.index.astype(str)))
    try:
        return replace(load_cells(plain), name=name)  # messages about its genes name the file
    except BenchError as error:
        raise BenchError(f"{name}: {str(error).removeprefix('adata: ')}") from error
