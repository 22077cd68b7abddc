"""Several files in one: a zip in which they lie as they are, so that any tool takes them out.

The same members are the same bytes: no compression, no dates, an order that the writer chooses. A zip is written whole
or not at all, and read at once: whoever reads one has the members of one moment.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.core.door.limits import check_unpacked
from bench.core.errors import BenchError
from bench.core.files import atomic
from bench.core.text import amount

#: No date: the same content is the same file.
_DATE = (1980, 1, 1, 0, 0, 0)
#: Who may read a member that is taken out, and the system whose rights these are.
_RIGHTS, _UNIX = 0o644 << 16, 3
#: Bytes of all members, at most: those of larger files need other headers.
_LARGEST = 1 << 30
#: Bytes of what a zip holds beside its members and, twice each, their names: of each member, and at its end.
_HEADERS, _END = 30 + 46, 22


def write(path: Path, members: Mapping[str, bytes]) -> None:
    """Write a zip atomically, its members in the order given.

    Raises:
        BenchError: Too large, or the folder cannot be written.
    """
    size = sum(map(len, members.values()))
    if size > _LARGEST:
        raise BenchError(f"{path}: it would take {amount(size)}, and one file holds at most {amount(_LARGEST)}.")
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, blob in members.items():
            info = zipfile.ZipInfo(name, _DATE)
            info.external_attr, info.create_system = _RIGHTS, _UNIX
            archive.writestr(info, blob)


def read(path: Path, known: Callable[[str], bool], advice: str) -> dict[str, bytes] | None:
    """Read all members of what :func:`write` wrote, their checksums compared; ``None`` = there is no such file.

    Args:
        path: The file.
        known: Whether a name may be that of a member.
        advice: What to do where it is damaged; a sentence.

    Raises:
        BenchError: Not readable; damaged; or with other members than are known, twice the same, packed ones, or bytes
            that belong to none.
    """
    try:
        check_unpacked(path, path.stat().st_size)
        blob = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):  # whoever writes says that there can be no folder
        return None
    except OSError as error:
        raise BenchError(f"{path}: not readable ({error.strerror}).") from error
    try:
        with zipfile.ZipFile(io.BytesIO(blob)) as archive:
            found = archive.infolist()
            names = [member.filename for member in found]
            if odd := [name for name in names if not known(name)]:
                raise ValueError(f"it holds {odd[0][:80]!r}, which is none of ours")
            if len(set(names)) < len(names):
                raise ValueError(f"it holds {max(names, key=names.count)} twice")
            # A member that is no more than it takes here cannot unpack to more than there is.
            if packed := [m.filename for m in found if m.compress_type or m.file_size != m.compress_size]:
                raise ValueError(f"its {packed[0]} is packed")
            if len(blob) != _END + sum(_HEADERS + 2 * len(m.filename.encode()) + m.file_size for m in found):
                raise ValueError("it is longer, or shorter, than its members")
            return {member.filename: archive.read(member) for member in found}
    except Exception as error:  # zipfile raises a dozen kinds for damaged files
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BenchError(f"{path}: damaged ({reason}). {advice}") from error
