"""Bootstraps of the reference controls in a file: for each owner, scope, metric and answer a row of ``B`` changes.

A row's changes are float16, their high bytes side by side in one column, their low bytes in another. Apart, and row by
row, they take a quarter less than a column for each bootstrap: of two rows that are the same, which is every fourth,
one is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.results.tables import as_stored

#: Who moves, in the file of one record.
OWN, TASK = "own", "task"
_WORDS = ("owner", "scope", "metric", "answer")
_BYTES = ("high", "low")


def beside(path: Path) -> Path:
    """The file of draws that belongs to a file of values."""
    return path.with_name(f"{path.stem}.draws.parquet")


def stacked(found: Mapping[str, Mapping[Any, Floats]]) -> pa.Table:
    """One row per owner and key.

    Args:
        found: Draws ``[B]`` by owner, then by (scope, metric) or, of a task, (scope, metric, answer).
    """
    rows = [(owner, *key, *[""] * (3 - len(key))) for owner, some in sorted(found.items()) for key in sorted(some)]
    blocks = [as_stored(some[key]) for _, some in sorted(found.items()) for key in sorted(some)]
    words = zip(*rows, strict=True) if rows else [()] * len(_WORDS)
    columns = {name: pa.array(list(column), pa.string()) for name, column in zip(_WORDS, words, strict=True)}
    values = np.stack(blocks).view("<u2") if blocks else np.zeros((0, 0), "<u2")
    for name, part in zip(_BYTES, (values >> 8, values & 0xFF)):
        cells = [row.tobytes() for row in part.astype(np.uint8)]
        columns[name] = pa.array(cells, pa.binary(values.shape[1]))
    return pa.table(columns)


def unstacked(table: pa.Table) -> dict[str, dict[tuple[str, str, str], Floats]]:
    """What :func:`stacked` was given; keys without an answer have an empty one.

    Raises:
        KeyError: A column is missing.
    """
    words = [table.column(name).to_pylist() for name in _WORDS]
    values = _values(table)
    out: dict[str, dict[tuple[str, str, str], Floats]] = {}
    for owner, scope, metric, answer, row in zip(*words, values, strict=True):
        out.setdefault(owner, {})[scope, metric, answer] = row
    return out


def _values(table: pa.Table) -> Floats:
    if columns := [name for name in table.column_names if name.startswith("draw")]:
        # Runs of earlier versions have a column for each bootstrap: they are not made again for that.
        return np.stack([np.asarray(table.column(name).to_numpy(), np.float64) for name in columns], axis=1)
    high, low = (_bytes(table.column(name)).astype("<u2") for name in _BYTES)
    return np.asarray((high << 8 | low).view("<f2"), dtype=np.float64)


def _bytes(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(column.to_pylist()), np.uint8).reshape(len(column), -1)


def own(found: Mapping[tuple[str, str, str], Floats]) -> dict[tuple[str, str], Floats]:
    """Those of a record: by scope and metric."""
    return {(scope, metric): row for (scope, metric, _), row in found.items()}
