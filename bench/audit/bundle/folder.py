"""The folder of a bundle: replaced whole, and only where it is a bundle."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from bench.audit.bundle.summary import FORMAT
from bench.core.errors import BenchError
from bench.core.files import locked

_MANIFEST = "manifest.json"


def refuse_other(outdir: Path) -> None:
    """Refuse a folder that holds anything but a bundle.

    Raises:
        BenchError: A file, a link, or a folder with something else in it.
    """
    if outdir.is_symlink() or (outdir.exists() and not outdir.is_dir()):
        raise BenchError(f"{outdir} is no folder. Name another with --outdir.")
    there = {path.relative_to(outdir).as_posix() for path in outdir.rglob("*") if path.is_symlink() or path.is_file()}
    if not there:
        return
    if other := sorted(there - {*_listed(outdir), _MANIFEST}):
        raise BenchError(
            f"{outdir} holds something else than a bundle, the first {other[0]}: nothing was written. Name another "
            "folder with --outdir, or empty this one."
        )


def _listed(outdir: Path) -> set[str]:
    """The files that the manifest of a bundle names; none where it is no bundle."""
    try:
        content = json.loads((outdir / _MANIFEST).read_bytes())
        return {str(one["path"]) for one in content["files"]} if content["format"] == FORMAT else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def replace(outdir: Path, files: Mapping[str, bytes]) -> None:
    """Put a bundle's files in place of an earlier one's: all or none.

    Raises:
        BenchError: The folder cannot be written.
    """
    fresh, old = (outdir.parent / f".{outdir.name}.{what}.tmp" for what in ("new", "old"))
    try:
        with locked(outdir.parent):
            if old.exists() and not outdir.exists():  # what a killed run left between the two renames
                os.rename(old, outdir)
            for left in (fresh, old):
                shutil.rmtree(left, ignore_errors=True)
            for name, blob in files.items():
                path = fresh / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(blob)
            refuse_other(outdir)
            if outdir.exists():
                os.rename(outdir, old)
            os.rename(fresh, outdir)
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise BenchError(
            f"cannot write {outdir}: {error.strerror or error}. Choose a folder you may write to (--outdir)."
        ) from error
