"""Feature tables that users bring (ESM-2, GenePT, GO, ...): one row of numbers per gene."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.door.arrays import Pickled, read_npz
from bench.core.door.tables import first_bytes, read_csv, read_parquet
from bench.core.errors import BenchError
from bench.data.features.bank import FeatureBank, shorten

if TYPE_CHECKING:
    import pandas as pd

TABLE_SUFFIXES = (".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".npz")


def _gene_names(names: pd.Series[Any], path: Path, what: str) -> tuple[str, ...]:
    """Gene names as clean strings.

    Raises:
        BenchError: They are numbers, or some are empty.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(names.dtype) and names.notna().any():
        raise BenchError(
            f"{path}: {what} holds numbers ({names.iloc[0]}, ...) where gene names are expected. "
            f"Put gene names into the first column (pandas: to_csv(..., index=False), or genes as the index)."
        )
    # In lists: categories and nullable strings each refuse something of what follows.
    plain = [name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names.tolist()]
    clean = tuple("" if pd.isna(name) else str(name).strip() for name in plain)
    if empty := clean.count(""):
        raise BenchError(f"{path}: {empty:,} rows have no gene name, first: data row {clean.index('') + 1}.")
    return clean


def _check_header(names: Sequence[str], path: Path) -> None:
    """Refuse a csv without a header, whose first gene would be lost; whole numbers are how pandas names columns.

    Raises:
        BenchError: Its first line holds fractions.
    """
    for name in names:
        if re.fullmatch(r"[-+]?\d*\.\d+(e[-+]?\d+)?", name.strip(), re.IGNORECASE):
            raise BenchError(f"{path}: its first line holds the number {name}. Expected a line of column names first.")


def _numeric(table: pd.DataFrame, genes: tuple[str, ...], path: Path) -> tuple[np.ndarray[Any, Any], tuple[str, ...]]:
    """The numeric columns of a table ``[N, F]``, and notes on those left out.

    Raises:
        BenchError: There are none, a value is missing or infinite, or a column holds text among its numbers.
    """
    import pandas as pd

    is_number = np.array([pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes], dtype=np.bool_)
    for name in table.columns[~is_number]:
        text = table[name]
        if text.map(lambda cell: isinstance(cell, list | np.ndarray)).any():
            raise BenchError(
                f"{path}: column '{name}' holds lists. Store one column per feature, "
                f"or an npz with 'genes' and 'values' (np.stack of the lists)."
            )
        if not (pd.api.types.is_object_dtype(text.dtype) or pd.api.types.is_string_dtype(text.dtype)):
            continue  # dates and categories are no slips
        parsed = pd.to_numeric(text, errors="coerce")
        wrong = np.flatnonzero((parsed.isna() & text.notna()).to_numpy())
        if len(wrong) < parsed.notna().sum():  # numbers with a slip among them, not text
            raise BenchError(
                f"{path}: column '{name}', gene '{genes[wrong[0]]}': {text.iloc[wrong[0]]!r} is no number."
                if len(wrong)
                else f"{path}: column '{name}' holds numbers stored as text. Store them as numbers."
            )
    if not is_number.any():
        others = shorten([*map(str, table.columns)], 5) or "none"
        raise BenchError(
            f"{path}: no numeric column beside the gene names (other columns: {others}). "
            f"Expected one row per gene: its name, then numbers."
        )
    left_out = [str(name) for name in table.columns[~is_number]]
    numbers = table.loc[:, is_number]
    try:
        values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:  # complex numbers
        raise BenchError(f"{path}: columns that are no real numbers ({error}).") from error
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        kind = "missing" if np.isnan(values[row, column]) else "infinite"
        raise BenchError(
            f"{path}: {len(bad):,} values are missing or infinite, first: gene '{genes[row]}', column "
            f"'{numbers.columns[column]}' ({kind}). Leave out genes without features, and rows that are too short."
        )
    note = f"left out, as they hold no numbers: {shorten(left_out, 3)}"
    return values, (note,) if left_out else ()


def _read_npz(path: Path) -> tuple[tuple[str, ...], np.ndarray[Any, Any]]:
    expected = "Expected arrays 'genes' (strings [N]) and 'values' (numbers [N, F])."
    first_bytes(path)
    try:
        arrays = read_npz(path, "a readable npz file", expected)
    except Pickled as error:
        raise BenchError(
            f"{error} Store gene names as strings: np.savez(..., genes=np.array(genes, dtype=str), values=values)."
        ) from error
    absent = [name for name in ("genes", "values") if name not in arrays]
    if absent:
        held = shorten(sorted(arrays), 5) or "nothing"
        raise BenchError(f"{path}: no array '{absent[0]}', only {held}. {expected}")
    genes, values = arrays["genes"], arrays["values"]
    if genes.dtype.kind == "S":
        genes = np.char.decode(genes, "utf-8", "replace")
    if genes.ndim != 1 or genes.dtype.kind != "U":
        raise BenchError(f"{path}: 'genes' is {genes.dtype} of shape {genes.shape}. {expected}")
    if values.ndim != 2 or values.dtype.kind not in "fiub":
        raise BenchError(f"{path}: 'values' is {values.dtype} of shape {values.shape}. {expected}")
    return tuple(gene.strip() for gene in genes.tolist()), values


def read_table(path: Path, name: str) -> FeatureBank:
    """Read a user's feature table.

    Args:
        path: ``.parquet``, ``.csv``, ``.tsv``, also gzipped (gene names in the index or the first column, the numeric
            columns are features) or ``.npz`` (arrays ``genes [N]`` and ``values [N, F]``; pickled objects are refused).
        name: The bank's name.

    Raises:
        BenchError: Anything that makes it unusable, with the file and the column, gene or value.
    """
    import pandas as pd

    if path.name.endswith(".npz"):
        return FeatureBank(name, *_read_npz(path), source=str(path))
    if path.suffix == ".parquet":
        table = read_parquet(path)
    else:
        table = read_csv(path)
        _check_header([str(column) for column in table.columns], path)
    if not len(table):
        raise BenchError(f"{path}: no rows. Expected one row per gene: its name, then numbers.")
    if table.index.nlevels > 1:
        raise BenchError(f"{path}: an index of {table.index.nlevels} levels. Expected gene names alone in the index.")
    what = "its index"
    if isinstance(table.index, pd.RangeIndex) and table.columns.size:  # no index was stored
        what = f"its first column '{table.columns[0]}'"
        names, table = table.iloc[:, 0], table.iloc[:, 1:]
    else:
        names = table.index.to_series()
    genes = _gene_names(names, path, what)
    values, notes = _numeric(table, genes, path)
    return FeatureBank(name, genes, values, str(path), notes)
