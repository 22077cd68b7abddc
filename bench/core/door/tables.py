"""Tables that users bring (CSV, gzipped or not; parquet): what is no table is said so, and nothing is executed."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from bench.core.door.limits import check_unpacked, most_bytes, size_of
from bench.core.errors import BenchError
from bench.core.text import amount

if TYPE_CHECKING:
    import pandas as pd

#: Columns of a table.
_COLUMNS = 200_000
#: Of pandas' parsers of numbers, the one that no long exponent ends the process of.
PRECISE: Literal["round_trip"] = "round_trip"
_LONG_EXPONENT, _BLOCK = re.compile(rb"[eE][+-]?[0-9]{4}"), 1 << 22
#: A folder, no permission, no gzip, a broken one; pandas' own errors are ValueErrors.
_UNREADABLE = (OSError, EOFError, zlib.error, ValueError)


def first_bytes(path: Path) -> bytes:
    """Return the first bytes of a file's text, decompressed.

    Raises:
        BenchError: It cannot be read, is empty, or is a web page or a placeholder in place of the table.
    """
    size_of(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as handle:
            head = handle.read(512)
    except _UNREADABLE as error:
        raise BenchError(f"{path}: cannot be read ({error}). Is it whole? Get or write the file again.") from error
    if not head.strip():
        raise BenchError(f"{path}: an empty file. Get or write it again.")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise BenchError(f"{path}: a web page (HTML), not a table; the download failed. Get the file itself.")
    if start.startswith(b"version https://git-lfs"):
        raise BenchError(f"{path}: a Git LFS pointer, not the table. Fetch the file itself (git lfs pull).")
    return head


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """Read a csv, or a tsv, gzipped or not, with pandas' options.

    Raises:
        BenchError: It is no comma-separated table, or too large a one.
    """
    import pandas as pd

    head = first_bytes(path).split(b"\n")[0]
    if path.name.removesuffix(".gz").endswith(".tsv"):
        options = {"sep": "\t", **options}
    separator = str(options.get("sep", ",")).encode()
    if "sep" not in options and b"," not in head and (b"\t" in head or b";" in head):
        raise BenchError(f"{path}: its first line holds no comma but tabs or semicolons. Separate columns by commas.")
    try:
        with _unpacked(path) as text:
            first = text.readline()
            if (columns := first.count(separator) + 1) > _COLUMNS:
                raise BenchError(f"{path}: {columns:,} columns, and at most {_COLUMNS:,} are read.")
            text.seek(0)
            if options.get("nrows") != 0 and _has_long_exponent(text):
                options = {"float_precision": PRECISE, **options}
            table: pd.DataFrame = pd.read_csv(text, low_memory=False, **options)
    except (*_UNREADABLE, OverflowError, MemoryError) as error:
        reason = " ".join(str(error).split())
        raise BenchError(
            f"{path}: not a readable csv ({reason}). Every row needs as many columns as the first; "
            f"if the file is cut off, get it again."
        ) from error
    return table


def _has_long_exponent(text: IO[bytes]) -> bool:
    """Whether something looks like a number with an exponent of four digits or more; back at the beginning after that.

    pandas' quick reader of numbers counts exponents without a bound, and some end the process, such as
    0.891e99903973877515601.
    Its slow one is Python's own.
    """
    last, found = b"", False
    while not found and (block := text.read(_BLOCK)):
        found = _LONG_EXPONENT.search(last + block) is not None
        last = block[-8:]
    text.seek(0)
    return found


def _unpacked(path: Path) -> IO[bytes]:
    """The bytes of a file, which can be read twice.

    Raises:
        BenchError: More than are read, packed or not.
    """
    size = size_of(path)
    if path.suffix != ".gz":
        check_unpacked(path, size)
        return open(path, "rb")
    most = most_bytes(size)
    with gzip.open(path) as packed:
        blob = packed.read(most + 1)
    check_unpacked(path, len(blob), size)
    return io.BytesIO(blob)


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a parquet table.

    Raises:
        BenchError: It is none, or too large a one.
    """
    first_bytes(path)
    try:
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            check_parquet(path, file.metadata, size_of(path))
            frame: pd.DataFrame = file.read().to_pandas()
    except BenchError:
        raise
    except Exception as error:  # pyarrow's errors share no base but Exception
        text = " ".join(str(error).split())[:200]
        raise BenchError(f"{path}: not a readable parquet table ({text}). Get or write the file again.") from error
    return frame


def check_parquet(path: Path | str, metadata: Any, size: int) -> None:
    """Refuse a parquet file, by what it says of itself, before its columns are unpacked.

    Args:
        path: The file.
        metadata: ``pyarrow.parquet.FileMetaData``.
        size: Bytes of the file.

    Raises:
        BenchError: More columns than are read; or rows that take far more than the file holds, as one value repeated.
    """
    if metadata.num_columns > _COLUMNS:
        raise BenchError(f"{path}: {metadata.num_columns:,} columns, and at most {_COLUMNS:,} are read.")
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    packed = sum(group.total_byte_size for group in groups)
    if packed < 0 or metadata.num_rows < 0:
        raise BenchError(f"{path}: damaged: it says that it holds {amount(packed)} in {metadata.num_rows:,} rows.")
    check_unpacked(path, max(packed, 8 * metadata.num_rows * metadata.num_columns), size)
