"""What a downloaded file is, by its first bytes, and one file out of an archive that may be hostile."""

from __future__ import annotations

import gzip
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from bench.core.door.limits import ALWAYS_ALLOWED, MOST_TIMES
from bench.core.errors import BenchError
from bench.core.text import amount
from bench.data.fetch.download import full_disk, require_space


class _Readable(Protocol):
    def read(self, n: int, /) -> bytes: ...


Kind = Literal["hdf5", "zip", "tar", "gz", "page", "other"]

#: Entries that an archive may have.
_MOST_ENTRIES = 100_000
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError)


def kind_of(path: Path) -> Kind:
    """Tell a file's kind by its first bytes: HDF5, zip, tar (compressed or not), gzip, a web page, or none of these."""
    with path.open("rb") as handle:
        start = handle.read(512)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if start[257:262] == b"ustar":
        return "tar"
    if start.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(path) as handle:
                return "tar" if handle.read(262)[257:262] == b"ustar" else "gz"
        except _DAMAGE:
            return "gz"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return "page" if text.startswith((b"<!doctype html", b"<html", b"<?xml", b"<head")) else "other"


def unpack(archive: Path, member: str | None, source: str, out: Path, title: str) -> None:
    """Write one file of an archive to ``out``; nothing else of it touches the disk.

    Args:
        archive: A zip, a tar (compressed or not) or a gzip file.
        member: The file's name in it; None = the one that is called as ``source``.
        source: The path that the card gives the file.
        out: Where to write it.
        title: What to call the archive in messages.

    Raises:
        BenchError: Names that lead out of the archive, links, no such file, more than one, damage, a bomb.
    """
    written = 0
    try:
        with _opened(archive, member, source, title) as (stream, size), out.open("wb") as handle:
            require_space(out.parent, size)
            while block := stream.read(1 << 20):
                written += len(block)
                if written > _most(archive):
                    raise _bomb(archive, title)
                handle.write(block)
    except _DAMAGE as error:
        raise BenchError(f"{title}: a damaged archive ({error}). Run again to download it anew.") from error
    except OSError as error:
        raise full_disk(out.parent, error, written) from error


def _most(archive: Path) -> int:
    return max(MOST_TIMES * archive.stat().st_size, ALWAYS_ALLOWED)


def _bomb(archive: Path, title: str) -> BenchError:
    packed, most = amount(archive.stat().st_size), amount(_most(archive))
    return BenchError(f"{title}: {packed} unpack to more than {most}. Nothing was unpacked; do not use this file.")


@contextmanager
def _opened(archive: Path, member: str | None, source: str, title: str) -> Iterator[tuple[_Readable, int]]:
    """Open the one file of an archive; yields its bytes and its size, 0 where the archive does not say it."""
    kind = kind_of(archive)
    if kind == "gz":
        with gzip.open(archive) as whole:
            yield whole, 0
        return
    if kind == "zip":
        with zipfile.ZipFile(archive) as packed:
            entries = {i.filename: i for i in packed.infolist()[: _MOST_ENTRIES + 1]}
            links = {n for n, i in entries.items() if stat.S_ISLNK(i.external_attr >> 16)}
            info = entries[_choose([n for n in entries if n not in links], list(entries), member, source, title)]
            if info.flag_bits & 1:
                raise BenchError(f"{title}: '{info.filename}' in it is encrypted. Unpack it by hand.")
            with packed.open(info) as inner:
                yield inner, info.file_size
        return
    with tarfile.open(archive) as tape:
        members: dict[str, tarfile.TarInfo] = {}
        left = _most(archive)
        for each in tape:  # to find the next name is to unpack what is between
            members[each.name] = each
            left -= each.size
            if left < 0:
                raise _bomb(archive, title)
            if len(members) > _MOST_ENTRIES:
                break
        name = _choose([n for n, i in members.items() if i.isfile()], list(members), member, source, title)
        extracted = tape.extractfile(members[name])
        assert extracted is not None  # it is a regular file
        with extracted as inner:
            yield inner, members[name].size


def _choose(files: list[str], names: list[str], member: str | None, source: str, title: str) -> str:
    """Choose the file that the card means, of an archive in which no name leads out of it.

    Args:
        files: Regular files.
        names: All entries.
        member: The name that the card gives; None = by ``source``: the same path, else the same name.
        source: The path that the card gives the file.
        title: What to call the archive in messages.
    """
    if len(names) > _MOST_ENTRIES:
        raise BenchError(f"{title}: an archive of more than {_MOST_ENTRIES:,} files. Unpack it by hand.")
    for name in names:
        if name.startswith("/") or "\\" in name or re.match(r"[A-Za-z]:", name) or ".." in PurePosixPath(name).parts:
            raise BenchError(
                f"{title}: '{name[:80]}' in it leads out of the archive. Nothing was unpacked; do not use this file."
            )
    files = [name for name in files if not name.endswith("/")]
    if member is not None:
        found = [name for name in files if name == member]
    else:
        found = [name for name in files if name == source] or [
            name for name in files if PurePosixPath(name).name == PurePosixPath(source).name
        ]
    if len(found) != 1:
        wanted = f"'{member or PurePosixPath(source).name}'"
        there = ", ".join(sorted(files)[:5]) + (", ..." if len(files) > 5 else "") if files else "no files"
        how_many = "no" if not found else f"{len(found)} files"
        raise BenchError(
            f"{title}: {how_many} {wanted} in it. There are: {there}. Let the card's 'member' name one of them."
        )
    return found[0]
