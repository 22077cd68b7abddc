"""Write a bundle: every file in memory first, then the folder at once; the same inputs give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench.audit.bundle import checks, environment, figures, folder, paper, source, summary
from bench.audit.bundle.source import Source
from bench.audit.findings.boards import Learned
from bench.audit.report import Report
from bench.core.files import sha256_file
from bench.results import claims

_COMMAND = "bench bundle"


def build(leaderboards: Path, outdir: Path, learned: Learned | None = None) -> Report:
    """Write a bundle of a leaderboards folder.

    Args:
        leaderboards: The folder.
        outdir: Gets the bundle; an earlier one there is replaced, anything else is not touched.
        learned: See :func:`bench.audit.findings.boards.from_boards`.

    Returns:
        What was checked; a bundle is written also where something failed, and says so.

    Raises:
        BenchError: ``outdir`` holds something else; damaged inputs, or a text with a number that nobody computed.
    """
    folder.refuse_other(outdir)
    read = source.read(leaderboards, learned)
    made = summary.summarise(read)
    found = checks.check(leaderboards, made)
    drawn = figures.draw(made)
    made["figures"] = [f"figures/{name}.pdf" for name in drawn]
    text, made["paper"] = paper.write_paper(made, list(drawn))
    files = {
        "summary.json": _json(made),
        "environment.json": _json(environment.describe(read)),
        "artifact_verification.json": found.to_json().encode(),
        "report.md": paper.write_report(made, found).encode(),
        "paper/paper.md": text.encode(),
        **{f"figures/{name}.pdf": blob for name, blob in drawn.items()},
    }
    inputs = read.inputs
    copies = {_kept_as(name): name for name in inputs}
    files |= {name: inputs[path] for name, path in copies.items()}
    files["manifest.json"] = _json(_manifest(read, files, copies))
    folder.replace(outdir, files)
    return found


def _json(value: object) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _kept_as(name: str) -> str:
    """Where a bundle keeps what has a name in the leaderboards folder."""
    if name.endswith(".csv"):
        return f"boards/{name}"
    return f"claims/{name}" if name.startswith(claims.PREFIX) else name.replace(".zip/", "/")


def _manifest(read: Source, files: Mapping[str, bytes], copies: Mapping[str, str]) -> dict[str, Any]:
    """Every file with its size, hash and command; and every file of the leaderboards folder by hash.

    Of a board's file, the member that is kept has a hash of its own: ``<file>.zip/<member>``.
    """
    every = sorted(path for path in read.folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    inputs = {path.relative_to(read.folder).as_posix(): sha256_file(path) for path in every}
    inputs |= {path: sha256(files[name]).hexdigest() for name, path in copies.items()}
    return {
        "format": summary.FORMAT,
        "inputs": inputs,
        "files": [
            {
                "path": name,
                "bytes": len(blob),
                "sha256": sha256(blob).hexdigest(),
                "command": _command(copies[name]) if name in copies else _COMMAND,
                "inputs": [copies[name]] if name in copies else sorted(inputs),
            }
            for name, blob in sorted(files.items())
        ],
    }


def _command(name: str) -> str:
    """The command that wrote what has a name in a leaderboards folder."""
    if ".zip/" in name:
        return "bench publish"
    if name.startswith(claims.PREFIX):
        return f"bench sweep {Path(name).stem.removeprefix(claims.PREFIX)}"
    return "bench leaderboard"
