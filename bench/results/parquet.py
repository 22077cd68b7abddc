"""Tables in parquet: one row per unit, a column ``<field>.<metric>`` for each number that is defined somewhere.

Floats are kept exactly. A file holds a hash of its content, so that a changed byte is not taken for another number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench.core.door.tables import check_parquet
from bench.core.errors import BenchError
from bench.core.files import atomic, sha256_json
from bench.core.track import Track
from bench.core.typing import Floats
from bench.results import draws
from bench.results.tables import (
    BLIND,
    GROUPS,
    KEYS,
    OWN_FIELDS,
    TASK_FIELDS,
    Rows,
    Table,
    TaskTable,
    Words,
    all_metrics,
)

_HASH = b"content"
_FLAG = "degenerate"
#: 5% smaller than zstd at its best, twice as long to write and as fast to read. The highest level, 11, takes five times
#: as long for another percent.
_COMPRESSION, _LEVEL = "brotli", 10


def own_columns(table: Table) -> pa.Table:
    """A record's own numbers."""
    words = {name: table.task.words[name] for name in KEYS}
    return _columns(words, {"fallbacks": table.fell_back}, table.task.metrics, table.numbers)


def task_columns(task: TaskTable) -> pa.Table:
    """A task's units, floor and replicate."""
    return _columns(task.words, {"cells": task.cells}, task.metrics, task.numbers)


def _columns(
    words: Mapping[str, Words], counts: Mapping[str, Rows], metrics: tuple[str, ...], numbers: Mapping[str, Floats]
) -> pa.Table:
    out = {name: pa.array(column, pa.string()).dictionary_encode() for name, column in words.items()}
    out |= {name: pa.array(column, pa.int64()) for name, column in counts.items()}
    for field, block in numbers.items():
        for m, metric in enumerate(metrics):
            column = np.ascontiguousarray(block[:, m])
            if (column if column.dtype == np.bool_ else np.isfinite(column)).any():
                out[f"{field}.{metric}"] = pa.array(column)
    return pa.table(out)


def stack(parts: Sequence[pa.Table]) -> pa.Table:
    """Put tables one below the other; a column that some lack is undefined there."""
    return pa.concat_tables(parts, promote_options="default").combine_chunks().unify_dictionaries()


def pack(table: pa.Table, old: bytes | None = None) -> bytes:
    """A table as the bytes of a file, with the hash of its content.

    Args:
        table: The table.
        old: A file that may hold the same content: then it is returned, so that what did not change stays the same
            bytes, whichever version of pyarrow wrote them.
    """
    floats = [field.name for field in table.schema if pa.types.is_floating(field.type)]
    words = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
    plain = table.cast(pa.schema([pa.field(f.name, pa.string() if f.name in words else f.type) for f in table.schema]))
    content = _content(plain)
    if old is not None and _holds(old, content):
        return old
    whole = pa.BufferOutputStream()
    with pq.ParquetWriter(
        whole,
        plain.schema,
        compression=_COMPRESSION,
        compression_level=_LEVEL,
        use_dictionary=words,
        use_byte_stream_split=floats,
        write_statistics=False,
        write_page_checksum=True,
        store_schema=False,  # what parquet itself says of its columns is enough
    ) as writer:
        writer.write_table(plain)
        writer.add_key_value_metadata({_HASH: content})
    found: bytes = whole.getvalue().to_pybytes()
    return found


def _holds(blob: bytes, content: bytes) -> bool:
    """Whether a file is whole, and its content has this hash."""
    try:
        found = read("", blob)
    except BenchError:
        return False
    return bool(found.schema.metadata[_HASH] == content)


def write(path: Path, table: pa.Table) -> None:
    """Write a file atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(pack(table))


def read(path: Path | str, blob: bytes | None = None) -> pa.Table:
    """Read a file and compare its content with its hash.

    Args:
        path: The file, or what a message should call it where its bytes are given.
        blob: Its bytes, where they were read already.

    Raises:
        BenchError: Missing, damaged, or not one of ours.
    """
    try:
        # Read at once: pyarrow's own reads of a small file, column by column, take as long as decoding it.
        source = pa.BufferReader(Path(path).read_bytes() if blob is None else blob)
        with pq.ParquetFile(source, page_checksum_verification=True) as file:
            check_parquet(path, file.metadata, source.size())
            found = file.read(use_threads=False)
        if (found.schema.metadata or {}).get(_HASH) != _content(found):
            raise ValueError("its content is not what was written")
        found.validate()
    except FileNotFoundError as error:
        raise BenchError(f"{path}: missing. Run again.") from error
    except BenchError:
        raise
    except Exception as error:  # pyarrow's errors share no base but Exception
        reason = " ".join(str(error).split())[:200]
        raise BenchError(f"{path}: damaged ({reason}). Delete the file and run or publish again.") from error
    return found


def _content(table: pa.Table) -> bytes:
    digest = hashlib.sha256(sha256_json([[field.name, str(field.type)] for field in table.schema]).encode())
    for column in table.columns:
        array = column.combine_chunks()
        if pa.types.is_string(array.type):
            coded = array.dictionary_encode()
            digest.update(sha256_json(coded.dictionary.to_pylist()).encode())
            digest.update(coded.indices.to_numpy(zero_copy_only=False).astype("<i4").tobytes())
        elif pa.types.is_fixed_size_binary(array.type):
            digest.update(b"".join(array.to_pylist()))
        else:
            digest.update(np.ascontiguousarray(_plain(array)).data)
    return digest.hexdigest().encode()


def _plain(array: pa.Array) -> NDArray[Any]:
    """An array's values; null is NaN, or false."""
    if pa.types.is_boolean(array.type):
        return np.asarray(array.fill_null(False).to_numpy(zero_copy_only=False), dtype=np.bool_)
    if pa.types.is_integer(array.type):
        return np.asarray(array.fill_null(0).to_numpy(zero_copy_only=False), dtype="<i8")
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype="<f8")


def column(table: pa.Table, name: str) -> NDArray[Any]:
    """One column: words as objects, counts as int64."""
    array = table.column(name).combine_chunks()
    if pa.types.is_string(array.type):
        return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.object_)
    return _plain(array)


class Reader:
    """Numbers of a file's rows by field ``[N, M]``, in the order of a track's metrics."""

    def __init__(self, track: Track, table: pa.Table, others: Sequence[pa.Table] = ()) -> None:
        named = {name.split(".", 1)[1] for part in (table, *others) for name in part.column_names if "." in name}
        self.track, self.table = track, table
        self._held = set(table.column_names)  # pyarrow makes the list anew whenever it is asked
        self.metrics, self.shown, self.gallery = all_metrics(track, sorted(named))

    def block(self, field: str) -> NDArray[Any]:
        """A field's numbers; what the file lacks is NaN, or false."""
        flag = field == _FLAG
        columns: list[NDArray[Any] | None] = [
            column(self.table, f"{field}.{metric}") if f"{field}.{metric}" in self._held else None
            for metric in self.metrics
        ]
        missing, shape = False if flag else np.nan, (self.table.num_rows, len(columns))
        if all(values is None for values in columns):
            return np.broadcast_to(np.array(missing), shape)  # one number, however many are read
        out = np.full(shape, missing)
        for m, values in enumerate(columns):
            if values is not None:
                out[:, m] = values
        return out

    def own(self) -> dict[str, NDArray[Any]]:
        """All numbers of records."""
        return {name: self.block(name) for name in (*OWN_FIELDS, _FLAG)}

    def tasks(self, rows: Mapping[str, slice]) -> dict[str, TaskTable]:
        """The tasks that stand in some rows of a file of tasks each."""
        words = {name: column(self.table, name) for name in (*KEYS, *GROUPS)}
        cells = column(self.table, "cells")
        numbers = {name: self.block(name) for name in (*TASK_FIELDS, *self.blind())}
        return {
            task: TaskTable(
                metrics=self.metrics,
                shown=self.shown,
                gallery=self.gallery,
                words={name: block[own] for name, block in words.items()},
                cells=cells[own],
                numbers={name: block[own] for name, block in numbers.items()},
            )
            for task, own in rows.items()
        }

    def blind(self) -> list[str]:
        """Fields of condition-blind answers that these rows hold."""
        some = {name.split(".", 1)[0] for name in self.table.column_names if name.startswith(BLIND)}
        return sorted(some)


def write_one(path: Path, table: Table) -> None:
    """Write the whole table of one record: its own numbers beside those of its task."""
    both, own = task_columns(table.task), own_columns(table)
    for name in own.column_names:
        if name not in KEYS:
            both = both.append_column(name, own.column(name))
    write(path, both)
    if table.draws or table.task.draws:
        write(draws.beside(path), draws.stacked({draws.OWN: table.draws, draws.TASK: table.task.draws}))


def read_one(track: Track, path: Path) -> Table:
    """Read what :func:`write_one` wrote.

    Raises:
        BenchError: Damaged.
    """
    table = read(path)
    try:
        reader = Reader(track, table)
        beside = draws.beside(path)
        moved = draws.unstacked(read(beside)) if beside.is_file() else {}
        own = reader.tasks({draws.TASK: slice(0, table.num_rows)})[draws.TASK]
        task = replace(own, draws=moved.get(draws.TASK, {}))
        return Table(task, reader.own(), column(table, "fallbacks"), draws.own(moved.get(draws.OWN, {})))
    except KeyError as error:
        raise BenchError(f"{path}: it lacks the column {error}. Delete it and run again.") from error
