"""``record.parquet``: one row per condition, metric and scope; written by scoring, read by boards and comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench.conditions import constituents
from bench.errors import BenchError
from bench.shifts import Floats

ALL = "all"
#: Tertiles of effect strength, by how well a replicate predicts the condition.
EFFECTS = ("effect_low", "effect_mid", "effect_high")
#: Numbers of a row: against all cells, and averaged over half truths.
FIELDS = ("value", "floor", "half_value", "half_floor", "half_replicate")
_LABELS = ["scope", "metric", "condition", "subgroup", "effect"]


@dataclass(frozen=True)
class Table:
    """The per-condition numbers of one record.

    Attributes:
        metrics: Metric names ``[M]``.
        conditions: Condition identities, as canonical strings, by scope.
        fields: For each scope and each of :data:`FIELDS` an array ``[n, M]``; NaN = undefined.
        fallbacks: Constituents that fell back, by scope ``[n]``.
    """

    metrics: tuple[str, ...]
    conditions: dict[str, tuple[str, ...]]
    fields: dict[str, dict[str, Floats]]
    fallbacks: dict[str, NDArray[np.int64]]


def identity_name(condition: str) -> str:
    """Write a condition's identity as one string: its constituents sorted."""
    return "+".join(sorted(set(constituents(condition))))


def _codes(table: pa.Table, name: str) -> tuple[list[str], NDArray[np.int64]]:
    encoded = table.column(name).combine_chunks()
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def read(path: Path, metrics: Sequence[str]) -> Table:
    """Read a record's table.

    Args:
        path: The parquet file.
        metrics: Metrics wanted, in this order; one that the table lacks is undefined throughout.

    Raises:
        BenchError: If the file is damaged.
    """
    try:
        with pq.ParquetFile(path, read_dictionary=_LABELS) as file:  # strings are stored as codes; keep them so
            return arrange(file.read(columns=[*_LABELS, *FIELDS, "fallbacks"], use_threads=False), metrics)
    except (OSError, KeyError, pa.ArrowException, ValueError) as error:
        raise BenchError(f"{path}: not a readable table ({error}). Delete the record and run again.") from error


def arrange(raw: pa.Table, metrics: Sequence[str]) -> Table:
    """Arrange rows as one array per scope and field.

    A metric with a gallery has rows of its own for a subgroup; the others share the rows over all conditions.

    Args:
        raw: Rows as in the parquet file.
        metrics: See :func:`read`.
    """
    labels = {name: _codes(raw, name) for name in _LABELS}
    numbers: dict[str, Any] = {f: raw.column(f).to_numpy().astype(np.float64) for f in (*FIELDS, "fallbacks")}
    scope_names, scope = labels["scope"]
    metric_names, metric = labels["metric"]
    condition_names, condition = labels["condition"]
    position = {name: i for i, name in enumerate(metrics)}
    column = np.array([position.get(name, -1) for name in metric_names])[metric]
    whole = scope == scope_names.index(ALL)
    scopes: dict[str, NDArray[np.bool_]] = {ALL: whole}
    for kind in ("subgroup", "effect"):
        names, codes = labels[kind]
        scopes.update({name: whole & (codes == i) for i, name in enumerate(names) if name})

    out = Table(tuple(metrics), {}, {}, {})
    for name, shared in sorted(scopes.items()):
        present = np.unique(condition[shared])
        row_of = np.full(len(condition_names), -1)
        row_of[present] = np.arange(len(present))
        rows = np.flatnonzero(shared & (column >= 0))
        gallery = scope == scope_names.index(name) if name != ALL and name in scope_names else np.zeros_like(whole)
        own = np.flatnonzero(gallery & (column >= 0))
        out.fields[name] = {}
        for field in FIELDS:
            array = np.full((len(present), len(metrics)), np.nan)
            array[row_of[condition[rows]], column[rows]] = numbers[field][rows]
            array[row_of[condition[own]], column[own]] = numbers[field][own]
            out.fields[name][field] = array
        count = np.zeros(len(present), dtype=np.int64)
        count[row_of[condition[shared]]] = numbers["fallbacks"][shared].astype(np.int64)
        out.fallbacks[name] = count
        out.conditions[name] = tuple(identity_name(condition_names[i]) for i in present)
    return out
