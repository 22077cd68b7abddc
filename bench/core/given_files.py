"""Arguments as records hold them: of a file what it holds, not where it lies; and no default that changes nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeAlias, get_args

from bench.core.arguments import arguments
from bench.core.errors import BenchError
from bench.core.files import sha256_file


@dataclass(frozen=True)
class GivenFile:
    """Marks a text argument that is the path of a file of the user's; ``""`` = none is given."""


FilePath: TypeAlias = Annotated[str, GivenFile()]


@dataclass(frozen=True)
class SilentDefault:
    """Marks an argument that records leave out while it has its default: runs from before it existed stay the same."""


def recorded(made: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as a record holds them.

    A file stands there as its name and the beginning of its hash, so that another content is another run and no path
    of somebody's machine is published. Where none is given the argument is left out, as is one marked
    :class:`SilentDefault` that has its default: it changes no run of those who do not use it.

    Args:
        made: The class whose arguments they are.
        given: By name.

    Raises:
        BenchError: A file that is not there.
    """
    known = arguments(made)
    files = {name for name, each in known.items() if GivenFile() in get_args(each.annotation)[1:]}
    silent = {name: each.default for name, each in known.items() if SilentDefault() in get_args(each.annotation)[1:]}
    found = {name: value for name, value in given.items() if name not in files or value}
    found = {name: value for name, value in found.items() if name not in silent or value != silent[name]}
    return {name: named(Path(value)) if name in files else value for name, value in found.items()}


def named(path: Path) -> str:
    """Name a file by the last part of its path and the first 12 hex digits of its hash.

    Raises:
        BenchError: It is not there, or cannot be read.
    """
    try:
        state = os.stat(path)
        marks = (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
        digest = _sha256(path, marks) if path.is_file() else ""
    except FileNotFoundError as error:
        raise BenchError(f"no such file: {path}") from error
    except OSError as error:
        raise BenchError(f"{path}: cannot be read ({error.strerror}).") from error
    if not digest:
        raise BenchError(f"{path}: a folder, not a file.")
    return f"{re.sub(r'[^A-Za-z0-9_.+-]', '_', path.name)[-40:]}@{digest[:12]}"


@lru_cache(maxsize=32)
def _sha256(path: Path, state: tuple[int, ...]) -> str:
    """The hash of a file in a state that tells it apart from others, also where a copy has the date of another."""
    return sha256_file(path)
