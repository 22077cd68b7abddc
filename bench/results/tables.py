"""``record.parquet``: one row per condition, metric and scope; written by scoring, read by boards and comparisons."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench.core.conditions import constituents
from bench.core.errors import BenchError
from bench.core.typing import Floats

ALL = "all"
#: Tertiles of effect strength, by how well a replicate predicts the condition.
EFFECTS = ("effect_low", "effect_mid", "effect_high")
#: Numbers of a row: against all cells, and averaged over half truths.
FIELDS = ("value", "floor", "half_value", "half_floor", "half_replicate")
_LABELS = ("scope", "metric", "condition", "subgroup", "effect")
_NUMBERS = (*FIELDS, "fallbacks")

Places = NDArray[np.int64]
#: A column of labels: the different ones, and the index of each row's as bytes of int32.
Codes = tuple[tuple[str, ...], bytes]


@dataclass(frozen=True)
class Layout:
    """Where the numbers of a file stand. Records of one task share it: it depends on the labels alone.

    Attributes:
        metrics: Metric names ``[M]``.
        conditions: Condition identities, as canonical strings, by scope.
        places: By scope, the row of the file that holds a condition's number for a metric ``[n, M]``.
        missing: By scope, where no row does ``[n, M]``; absent where none is missing.
        any_place: By scope, a row of the file that is about the condition ``[n]``.
    """

    metrics: tuple[str, ...]
    conditions: dict[str, tuple[str, ...]]
    places: dict[str, Places]
    missing: dict[str, NDArray[np.bool_]]
    any_place: dict[str, Places]


@dataclass(frozen=True)
class Table:
    """The per-condition numbers of one record.

    Attributes:
        layout: Where they stand.
        numbers: Each of :data:`FIELDS`, and the constituents that fell back, by row of the file.
    """

    layout: Layout
    numbers: dict[str, Floats]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metric names ``[M]``."""
        return self.layout.metrics

    @property
    def conditions(self) -> dict[str, tuple[str, ...]]:
        """Condition identities, as canonical strings, by scope."""
        return self.layout.conditions

    def field(self, scope: str, name: str) -> Floats:
        """One of :data:`FIELDS` ``[n, M]``; NaN = undefined. A scope that the record lacks has no conditions."""
        return self._take(scope, name, slice(None))

    def column(self, scope: str, name: str, metric: int) -> Floats:
        """One metric's column of a field ``[n]``."""
        return self._take(scope, name, metric)

    def fallbacks(self, scope: str) -> Floats:
        """Constituents that fell back ``[n]``."""
        return self.numbers["fallbacks"][self.layout.any_place.get(scope, np.empty(0, dtype=np.int64))]

    def _take(self, scope: str, name: str, metric: int | slice) -> Floats:
        if scope not in self.layout.places:
            return np.empty((0, len(self.metrics)))[:, metric]
        found = np.asarray(self.numbers[name].take(self.layout.places[scope][:, metric]))
        if scope in self.layout.missing:
            found[self.layout.missing[scope][:, metric]] = np.nan
        return found


@functools.lru_cache(maxsize=1 << 14)
def identity_name(condition: str) -> str:
    """Write a condition's identity as one string: its constituents sorted."""
    return "+".join(sorted(set(constituents(condition))))


def read(path: Path, metrics: Sequence[str]) -> Table:
    """Read a record's table.

    Args:
        path: The parquet file.
        metrics: Metrics wanted, in this order; one that the table lacks is undefined throughout.

    Raises:
        BenchError: If the file is damaged.
    """
    try:
        # Read at once: pyarrow's own reads of a small file, column by column, take as long as decoding it.
        source = pa.BufferReader(path.read_bytes())
        with pq.ParquetFile(source, read_dictionary=list(_LABELS)) as file:  # labels are stored as codes; keep them so
            return arrange(file.read(columns=[*_LABELS, *_NUMBERS], use_threads=False), metrics)
    except (OSError, KeyError, pa.ArrowException, ValueError) as error:
        raise BenchError(f"{path}: not a readable table ({error}). Delete the record and run again.") from error


def arrange(raw: pa.Table, metrics: Sequence[str]) -> Table:
    """Arrange rows by scope, condition and metric.

    Args:
        raw: Rows as in the parquet file.
        metrics: See :func:`read`.
    """
    numbers = {
        name: raw.column(name).combine_chunks().to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        for name in _NUMBERS
    }
    return Table(_layout(tuple(metrics), *(_codes(raw, name) for name in _LABELS)), numbers)


def _codes(table: pa.Table, name: str) -> Codes:
    encoded = table.column(name).combine_chunks()
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    indices = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int32)
    return tuple(encoded.dictionary.to_pylist()), indices.tobytes()


@functools.lru_cache(maxsize=64)
def _layout(
    metrics: tuple[str, ...], scopes: Codes, measured: Codes, tested: Codes, subgroups: Codes, effects: Codes
) -> Layout:
    """Find the rows of every scope, condition and metric.

    A metric with a gallery has rows of its own for a subgroup; the others share the rows over all conditions.
    """
    scope, metric, condition, subgroup, effect = (
        np.frombuffer(codes, dtype=np.int32) for _, codes in (scopes, measured, tested, subgroups, effects)
    )
    position = {name: i for i, name in enumerate(metrics)}
    column = np.array([position.get(name, -1) for name in measured[0]], dtype=np.int64)[metric]
    whole = scope == scopes[0].index(ALL)
    members: dict[str, NDArray[np.bool_]] = {ALL: whole}
    for (names, _), codes in ((subgroups, subgroup), (effects, effect)):
        members.update({name: whole & (codes == i) for i, name in enumerate(names) if name})
    out = Layout(metrics, {}, {}, {}, {})
    for name, shared in sorted(members.items()):
        present = np.unique(condition[shared])
        row_of = np.full(len(tested[0]), -1)
        row_of[present] = np.arange(len(present))
        places = np.full((len(present), len(metrics)), -1)
        own = scope == scopes[0].index(name) if name in scopes[0] else np.zeros_like(whole)
        for rows in (np.flatnonzero(shared & (column >= 0)), np.flatnonzero(own & (column >= 0))):
            places[row_of[condition[rows]], column[rows]] = rows
        about = np.flatnonzero(shared)
        any_place = np.zeros(len(present), dtype=np.int64)
        any_place[row_of[condition[about]]] = about
        out.conditions[name] = tuple(identity_name(tested[0][i]) for i in present)
        if (places < 0).any():
            out.missing[name] = places < 0
        out.places[name], out.any_place[name] = np.maximum(places, 0), any_place
    return out
