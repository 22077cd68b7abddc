"""Refuse HDF5 files that show what lies in other files."""

from __future__ import annotations

import contextlib

import h5py

from bench.core.errors import BenchError


def refuse_links(handle: h5py.File) -> None:
    """Refuse external links, external raw storage and virtual data sets.

    Each lets a file show the content of another file on the machine that reads it, of which its hash says nothing.

    Args:
        handle: An open file.

    Raises:
        BenchError: Naming the first that was found.
    """
    found: list[str] = []

    def look(name: str, link: object) -> str | None:
        if isinstance(link, h5py.ExternalLink):
            found.append(f"'{name}' is a link to another file")
        elif isinstance(link, h5py.HardLink):
            with contextlib.suppress(Exception):  # damaged: whoever reads it will say so
                item = handle[name]
                if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                    found.append(f"the values of '{name}' lie in another file")
        return found[0] if found else None

    with contextlib.suppress(RuntimeError, KeyError, OSError):
        handle.visititems_links(look)
    if found:
        raise BenchError(f"{handle.filename}: {found[0]}. Write one file that holds everything itself.")
