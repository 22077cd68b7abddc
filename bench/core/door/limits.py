"""How much a file may hold, and how long it may take to open: far above what data are, far below what harms."""

from __future__ import annotations

import math
import os
import stat
from functools import lru_cache
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.text import amount

#: Sets how many GB one file may unpack to, and how many seconds opening it may take.
GIGABYTES, SECONDS = "BENCH_MAX_GB", "BENCH_OPEN_SECONDS"
#: What unpacks to more than so many times its size, and to more than so many bytes, is a trap.
MOST_TIMES, ALWAYS_ALLOWED = 100, 1 << 30
#: Bytes of a YAML file, which people write by hand; of a JSON file.
YAML_BYTES, JSON_BYTES = 1 << 19, 1 << 28
#: Levels of lists and mappings in each other, and of groups in an HDF5 file.
DEPTH = 64
#: Seconds of the processor that opening any file may take, and bytes that may take another.
_BASE_SECONDS, _BYTES_PER_SECOND = 10.0, 20_000_000


def _set(variable: str) -> float | None:
    """A number that the user's environment sets.

    Raises:
        BenchError: It is no number above 0.
    """
    given = os.environ.get(variable)
    if not given:
        return None
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise BenchError(f"{variable} is '{given}'; expected a number above 0.")
    return value


@lru_cache(maxsize=1)
def _memory() -> int:
    """Bytes of memory of this machine, or of the container that this process is in."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return 64 << 30
    for place in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            words = Path(place).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        found = min(found, int(words)) if words.isdecimal() else found
    return found


def most_bytes(stored: int | None = None) -> int:
    """Bytes that a file may unpack to.

    Args:
        stored: Bytes that it has, packed; ``None`` = not packed.
    """
    if (given := _set(GIGABYTES)) is not None:
        return int(given * 1e9)
    most = _memory() * 4 // 5
    return most if stored is None else min(most, max(MOST_TIMES * stored, ALWAYS_ALLOWED))


def check_unpacked(source: object, claimed: int, stored: int | None = None, what: str = "") -> None:
    """Refuse what would not fit into the memory, or unpacks to far more than it holds.

    Args:
        source: The file.
        claimed: Bytes that it, or a part of it, unpacks to.
        stored: Bytes that are there, packed; ``None`` = not packed.
        what: The part.

    Raises:
        BenchError: Naming both amounts, and how to raise the limit.
    """
    most = most_bytes(stored)
    if claimed <= most:
        return
    packed = "" if stored is None else f" from {amount(stored)}"
    raise BenchError(
        f"{source}: {what + ': ' if what else ''}it would take {amount(claimed)} of memory{packed}; at most "
        f"{amount(most)} are read. If it is meant to be so large, set {GIGABYTES}={math.ceil(claimed / 1e9)}."
    )


def open_seconds(size: int) -> float:
    """Seconds of the processor that opening a file of so many bytes may take."""
    given = _set(SECONDS)
    return _BASE_SECONDS + size / _BYTES_PER_SECOND if given is None else given


def size_of(path: Path) -> int:
    """Bytes of a file.

    Raises:
        BenchError: It is not there, or is something that never ends, such as a device or a pipe.
    """
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BenchError(f"no such file: {path}") from error
    except (OSError, ValueError) as error:  # a name with a null byte
        raise BenchError(f"{str(path)[:200]}: cannot be read ({getattr(error, 'strerror', error)}).") from error
    if stat.S_ISDIR(found.st_mode):
        raise BenchError(f"{path}: a folder, not a file.")
    if not stat.S_ISREG(found.st_mode):
        raise BenchError(f"{path}: a device or a pipe, not a file. Write its content into a file.")
    return found.st_size
