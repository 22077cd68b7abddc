"""Opening files of features that users bring: what is no table is said so, and nothing in a file is executed."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd


#: A folder, no permission, no gzip, a broken one; pandas' own errors are ValueErrors.
_UNREADABLE = (OSError, EOFError, zlib.error, ValueError)


def first_bytes(path: Path) -> bytes:
    """Return the first bytes of a file's text, decompressed.

    Raises:
        BenchError: It cannot be read, is empty, or is a web page or a placeholder in place of the table.
    """
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
        BenchError: It is no comma-separated table.
    """
    import pandas as pd

    head = first_bytes(path).split(b"\n")[0]
    if path.name.removesuffix(".gz").endswith(".tsv"):
        options = {"sep": "\t", **options}
    elif b"," not in head and (b"\t" in head or b";" in head):
        raise BenchError(f"{path}: its first line holds no comma but tabs or semicolons. Separate columns by commas.")
    try:
        table: pd.DataFrame = pd.read_csv(path, low_memory=False, **options)
    except _UNREADABLE as error:
        text = " ".join(str(error).split())
        raise BenchError(
            f"{path}: not a readable csv ({text}). Every row needs as many columns as the first; "
            f"if the file is cut off, get it again."
        ) from error
    return table


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a parquet table.

    Raises:
        BenchError: It is none.
    """
    import pandas as pd

    first_bytes(path)
    try:
        return pd.read_parquet(path)
    except Exception as error:  # pyarrow's errors share no base but Exception
        text = " ".join(str(error).split())[:200]
        raise BenchError(f"{path}: not a readable parquet table ({text}). Get or write the file again.") from error
