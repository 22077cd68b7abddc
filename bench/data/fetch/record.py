"""``fetched.lock.json`` beside the data: what was fetched, from where, and what it was."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.core.door.documents import read_json
from bench.core.errors import BenchError
from bench.core.files import write_json

NAME = "fetched.lock.json"


class Entry(BaseModel):
    """One fetched file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Where it came from.
    url: str
    #: Bytes that were sent, and their hash: of the archive, where it is one.
    size: int
    sha256: str
    #: Hash of the file as it lies here.
    file_sha256: str
    #: When, UTC.
    date: str


def read_entry(path: Path) -> Entry | None:
    """What is recorded of a file; None = it was not fetched.

    Raises:
        BenchError: The record is damaged.
    """
    entry = _read(path.parent / NAME).get(path.name)
    try:
        return None if entry is None else Entry.model_validate(entry)
    except ValidationError as error:
        raise _damaged(path.parent / NAME) from error


def write_entry(path: Path, url: str, size: int, sha256: str, file_sha256: str) -> None:
    """Record a file. The caller holds the folder's lock."""
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    entry = Entry(url=url, size=size, sha256=sha256, file_sha256=file_sha256, date=now)
    write_json(path.parent / NAME, {**_read(path.parent / NAME), path.name: entry.model_dump()})


def _damaged(path: Path) -> BenchError:
    return BenchError(f"{path}: not a record of fetched files. Remove it, or correct it.")


def _read(path: Path) -> dict[str, object]:
    if not path.exists():
        return {}
    content = read_json(path, "a record of fetched files", "Remove it, or correct it.")
    if not isinstance(content, dict):
        raise _damaged(path)
    return content
