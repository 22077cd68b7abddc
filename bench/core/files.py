"""Files between the stages: written whole or not at all, and named by the hash of what they hold."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core import temporaries
from bench.core.errors import BenchError

if TYPE_CHECKING:
    import numpy as np


def canonical_json(value: object) -> str:
    """Serialise to one canonical JSON text: sorted keys, no spaces, no NaN.

    Raises:
        ValueError: If a float is NaN or infinite; an undefined number is ``None`` in our files.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_json(value: object) -> str:
    """Hash a JSON value by its canonical text (64 hex digits)."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """Hash a file's bytes (64 hex digits)."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


_SEAL = b"\nbench-sha256:"
#: Errors of a disk, quota or file size limit that is full, and of one that cannot be written at all.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def seal(path: Path) -> None:
    """Append the hash of a file's bytes to it; formats that know their own length (HDF5) do not mind."""
    digest = sha256_file(path)
    with open(path, "ab") as handle:
        handle.write(_SEAL + digest.encode())


def check_seal(path: Path) -> bool:
    """Compare a file with its seal, if it has one, before a library that trusts its content opens it.

    Returns:
        Whether it has one.

    Raises:
        BenchError: It is not what was sealed.
    """
    length = len(_SEAL) + 64
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        left = handle.seek(0, os.SEEK_END) - length
        if left < 0:
            return False
        handle.seek(left)
        found = handle.read()
        if not found.startswith(_SEAL):
            return False
        handle.seek(0)
        while left and (block := handle.read(min(left, 1 << 20))):
            digest.update(block)
            left -= len(block)
    if found[len(_SEAL) :] != digest.hexdigest().encode():
        raise BenchError(f"{path}: damaged, or changed since it was written. Run again, or write it anew.")
    return True


def sha256_arrays(*arrays: np.ndarray[Any, Any]) -> str:
    """Hash arrays with their dtype and shape (64 hex digits), so that no two lists of arrays collide.

    Unicode arrays are hashed as UTF-8 with their lengths: their padded width is an accident of the longest name.
    """
    import numpy as np  # here, as folders are named by this file too, and 'bench --help' loads nothing slow

    digest = hashlib.sha256()
    for array in arrays:
        if array.dtype.kind in "UO":
            blob = [str(item).encode() for item in array.ravel()]
            digest.update(f"str{array.shape}".encode())
            digest.update(np.array([len(item) for item in blob], dtype="<i8").tobytes())
            digest.update(b"".join(blob))
        else:
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            digest.update(f"{little.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(little).data)
    return digest.hexdigest()


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is synced and renamed onto ``path``, on failure removed.

    A reader therefore sees the old file or the whole new one, also when the writer is killed.

    Raises:
        BenchError: If the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = stack.enter_context(temporaries.beside(path))
        except OSError as error:
            raise BenchError(
                f"cannot write {path}: {error.strerror or error}. Choose a folder you may write to (--out)."
            ) from error
        try:
            yield temporary
            with open(temporary, "rb+") as handle:
                os.fsync(handle.fileno())
            # Temporary files are private; results are meant to be shared like any other file of the user's.
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            os.replace(temporary, path)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise BenchError(
                f"cannot write {path}: {os.strerror(error.errno)}. Make room, or choose another folder (--out)."
            ) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically (UTF-8, ``\\n`` line ends)."""
    with atomic(path) as temporary:
        temporary.write_bytes(text.encode())


def json_text(value: object) -> str:
    """Readable JSON: sorted keys, two spaces, no NaN, a line end."""
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write readable JSON atomically."""
    write_text(path, json_text(value))


def file_part(name: str) -> str:
    """A name of any kind, such as a cell type's, as a part of a file's name: as it is where it can be.

    Example:
        >>> file_part("K562"), file_part("CD4 T cells")
        ('K562', 'CD4_T_cells-7cfa6c')
    """
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}", name):
        return name
    plain = re.sub(r"[^A-Za-z0-9_.+-]+", "_", name).strip("_.")[:50]
    return f"{plain or 'group'}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def board_name(split: str) -> str:
    """What boards and files call a split: ``few_shot_context:k=5`` is ``few_shot_context-k5``."""
    return split.replace(":", "-").replace("=", "").replace(",", "-")


def safe_name(kind: str, name: str) -> str:
    """Return a name that may become part of a path, as it is.

    Args:
        kind: What it names, for the message.
        name: The name.

    Raises:
        BenchError: It could leave its folder, or cannot be the name of a file everywhere.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}", name):
        raise BenchError(
            f"{kind} name {name[:80]!r} cannot be part of a path. "
            f"Use at most 64 letters, digits and . _ + -, beginning with a letter or digit."
        )
    return name


@contextlib.contextmanager
def locked(folder: Path, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold a folder's lock, waiting for other processes that do; the system frees it when a process dies.

    Without it, of two processes that both read records and then write what these give, the one that read first may
    write last. Where there are no file locks (Windows, some network disks), nothing is held.

    Args:
        folder: Made if it is not there.
        waiting: Called once where another process holds the lock, before it is waited for.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, ImportError):
            import fcntl

            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY)  # the folder itself: no file of ours that git would see
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


#: The package ``bench``, in a checkout or where it is installed.
_PACKAGE = Path(__file__).resolve().parents[1]


def _shipped(name: str) -> Path:
    """A folder that is shipped: inside the installed package, or beside it in a checkout."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def cache_dir() -> Path:
    """Folder for what can always be made again: ``$BENCH_CACHE``, else the user's cache folder."""
    if explicit := os.environ.get("BENCH_CACHE"):
        return Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "perturb-ssl-bench"
    except RuntimeError:  # no HOME, and a user whom the system does not know, as in some containers
        return _cache_of_nobody()


@functools.cache
def _cache_of_nobody() -> Path:
    """A folder for temporary files that is this user's alone."""
    folder = Path(tempfile.gettempdir()) / f"perturb-ssl-bench-{os.getuid()}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid == os.getuid() and not folder.is_symlink():
            return folder
    return Path(tempfile.mkdtemp(prefix="perturb-ssl-bench-"))


def configs_dir() -> Path:
    """Folder of the shipped configuration: inside the installed package, or beside it in a checkout."""
    return _shipped("configs")


def published_boards() -> Path:
    """Folder of the published boards: ``$BENCH_LEADERBOARDS``, else those of the installed package or the checkout.

    It is the same from every working directory. A folder that is not there holds no board.
    """
    if explicit := os.environ.get("BENCH_LEADERBOARDS"):
        return Path(explicit)
    return _shipped("leaderboards")


def refuse_installed(folder: Path) -> None:
    """Refuse to write boards into an installed package, which the next installation would overwrite.

    Raises:
        BenchError: The folder is the installed package's own.
    """
    if folder.resolve() == _PACKAGE / "leaderboards":
        raise BenchError(
            f"{folder} belongs to the installed package and is not written to. Choose a folder by --leaderboards or "
            "BENCH_LEADERBOARDS, or work in a checkout."
        )
