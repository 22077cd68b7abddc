"""Bootstraps of the reference controls in a file: for each owner, scope, metric and answer a row of ``B`` changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.core.typing import Floats
from bench.results.tables import as_stored

#: Who moves, in the file of one record.
OWN, TASK = "own", "task"
_WORDS = ("owner", "scope", "metric", "answer")


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
    values = np.stack(blocks) if blocks else np.zeros((0, 0), np.float16)
    for b in range(values.shape[1]):
        columns[f"draw{b:02d}"] = pa.array(np.ascontiguousarray(values[:, b]), pa.float16())
    return pa.table(columns)


def unstacked(table: pa.Table) -> dict[str, dict[tuple[str, str, str], Floats]]:
    """What :func:`stacked` was given; keys without an answer have an empty one."""
    words = [table.column(name).to_pylist() for name in _WORDS]
    blocks = [
        np.asarray(table.column(name).to_numpy(), dtype=np.float64) for name in table.column_names if name not in _WORDS
    ]
    values = np.stack(blocks, axis=1) if blocks else np.zeros((table.num_rows, 0))
    out: dict[str, dict[tuple[str, str, str], Floats]] = {}
    for owner, scope, metric, answer, row in zip(*words, values, strict=True):
        out.setdefault(owner, {})[scope, metric, answer] = row
    return out


def own(found: Mapping[tuple[str, str, str], Floats]) -> dict[tuple[str, str], Floats]:
    """Those of a record: by scope and metric."""
    return {(scope, metric): row for (scope, metric, _), row in found.items()}
