"""The file of a board, taken apart and put together again: what a test damages is a member of it."""

from __future__ import annotations

from pathlib import Path

from bench.results import lines, store, zips


def put(path: Path, name: str, blob: bytes | None) -> None:
    """Replace a member; ``None`` removes it."""
    held = {**store.members(path), name: blob}
    zips.write(path, {name: blob for name in store.MEMBERS if (blob := held.get(name)) is not None})


def cut(path: Path, name: str) -> None:
    """Leave half of a member."""
    blob = store.members(path)[name]
    put(path, name, blob[: len(blob) // 2])


def lines_of(path: Path) -> bytes:
    """The lines of its records."""
    return lines.text(str(path), store.members(path)[store.RUNS], "")


def put_lines(path: Path, text: bytes) -> None:
    """Replace them."""
    put(path, store.RUNS, lines.pack(text))
