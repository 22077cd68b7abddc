"""Temporary files beside what they become: held by who writes them, removed once nobody does.

A process that is killed leaves its temporary file behind, as large as what it was writing. Whether somebody still
writes one is asked of the system, by its lock, never of a clock: clocks are set back, and writing may take hours.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

#: Locks may hold on one machine only, so that the files of others are left to them.
_HERE = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
_OURS = re.compile(rf"\..*\.{_HERE}\.[^.]+\.tmp", re.DOTALL)
#: Folders that this process has looked through.
_seen: set[str] = set()


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Make an empty file beside a path, hold it, and remove it at the end if it is still there.

    The first time in a folder, what killed processes left there is removed.

    Raises:
        OSError: The folder cannot be written.
    """
    folder = str(path.parent.resolve())
    if folder not in _seen:
        _seen.add(folder)
        sweep(path.parent)
    descriptor, name = _made(path)
    try:
        yield name
    finally:
        name.unlink(missing_ok=True)
        if descriptor is not None:
            os.close(descriptor)


def _made(path: Path) -> tuple[int | None, Path]:
    """The file, and what holds it; ``None`` where there are no locks of files."""
    while True:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.{_HERE}.", suffix=".tmp")
        if not _lock(descriptor, wait=True):
            os.close(descriptor)
            return None, Path(name)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(name), os.fstat(descriptor)):
                return descriptor, Path(name)
        os.close(descriptor)  # swept between its making and its lock


def sweep(folder: Path) -> list[Path]:
    """Remove temporary files in a folder that no process of this machine holds; return which."""
    gone = []
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for path in [Path(each.path) for each in found if _OURS.fullmatch(each.name)]:
            with contextlib.suppress(OSError), open(path, "rb+") as file:
                if _lock(file.fileno(), wait=False):
                    path.unlink()
                    gone.append(path)
    return gone


def _lock(descriptor: int, wait: bool) -> bool:
    """Hold a file until it is closed; return whether it is held.

    By a lock of the open file description, which Linux has: HDF5 locks what it opens by ``flock``, and would find its
    file taken.
    """
    try:
        import fcntl

        kind = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
        fcntl.fcntl(descriptor, kind, struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except (ImportError, AttributeError, OSError):  # other systems, some network disks; another process holds it
        return False
    return True
