"""HDF5 files, looked at before they are opened, and sized before they are read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.door import look, watched
from bench.core.door.limits import check_unpacked, size_of
from bench.core.errors import BenchError

if TYPE_CHECKING:
    import h5py


def check(path: Path, vouched: bool = False) -> None:
    """Refuse a file that could harm whoever opens it, or that shows what lies in other files.

    A file can hold links to other files and raw values in them, of which its hash says nothing: both are refused.

    Args:
        path: The file.
        vouched: Whether its bytes were compared with a digest: then this process looks at it itself.

    Raises:
        BenchError: With the reason.
    """
    size_of(path)
    if not vouched and _starts_like_hdf5(path):
        watched.check(path, "hdf5")
        return
    if reason := look.look_here("hdf5", str(path)):
        raise BenchError(f"{path}: {reason}.")


def _starts_like_hdf5(path: Path) -> bool:
    """Whether the signature is where HDF5 looks for it: at 0, 512, 1024, 2048, ..."""
    try:
        size, at = size_of(path), 0
        with open(path, "rb") as handle:
            while at < size:
                handle.seek(at)
                if handle.read(8) == b"\x89HDF\r\n\x1a\n":
                    return True
                at = 2 * at or 512
    except OSError:
        return False  # said by whoever opens it
    return False


def open_hdf5(path: Path, what: str, vouched: bool = False) -> h5py.File:
    """Open a file for reading.

    Args:
        path: The file.
        what: What it should be, for the message: ``an h5ad file``.
        vouched: See :func:`check`.

    Raises:
        BenchError: No such file; not HDF5 (an HTML error page, say); truncated; or refused by :func:`check`.
    """
    import h5py

    if path.is_dir():
        raise BenchError(f"{path}: a folder, not {what}.")
    check(path, vouched)
    try:
        return h5py.File(path, "r")
    except (OSError, RuntimeError, ValueError) as error:
        try:
            with path.open("rb") as stream:
                start = stream.read(60)
        except OSError as reason:
            raise BenchError(f"{path}: cannot be read ({reason.strerror}).") from error
        if not start:
            raise BenchError(f"{path}: an empty file. Download or copy it again.") from error
        if start.startswith(b"\x89HDF"):
            raise BenchError(
                f"{path}: not {what}: damaged or truncated HDF5 file ({error}). Download or copy it again."
            ) from error
        page = (
            " It looks like a web page: the download answered with an error or a log-in page." if b"<" in start else ""
        )
        raise BenchError(f"{path}: not {what}; it begins with {start[:30]!r}.{page}") from error


def check_size(item: h5py.Dataset | h5py.Group, most_depth: int = 8) -> None:
    """Refuse to read what would not fit into the memory, or unpacks to far more than the file holds.

    Args:
        item: An array, or a group of which every array is read.
        most_depth: Levels of groups that are read.

    Raises:
        BenchError: Naming the array.
    """
    import h5py

    if isinstance(item, h5py.Dataset):
        try:
            takes, stored = look.claimed(item), int(item.id.get_storage_size())
        except (TypeError, RuntimeError, OSError, ValueError):
            return  # said by whoever reads it
        # h5py gives bytes where a name is no UTF-8.
        name = item.name.decode(errors="backslashreplace") if isinstance(item.name, bytes) else item.name
        check_unpacked(item.file.filename, takes, stored, f"'{name.lstrip('/')}'")
    elif isinstance(item, h5py.Group) and most_depth:
        for key in item:
            try:
                member = item[key]
            except (KeyError, RuntimeError, OSError, ValueError):
                continue
            check_size(member, most_depth - 1)


def check_utf8(names: Iterable[object], path: object, what: str) -> None:
    """Refuse names with bytes that are no UTF-8, which h5py keeps as halves of characters: nothing can write them.

    Args:
        names: The names.
        path: The file.
        what: What they are names in, for the message.

    Raises:
        BenchError: Naming the first.
    """
    texts = [*map(str, names)]
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        bad = error.object[max(0, error.start - 20) : error.start + 20]
        raise BenchError(f"{path}: {what} has a name with {bad!r}, which is no UTF-8. Write it as UTF-8.") from error
