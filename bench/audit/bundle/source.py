"""What a bundle is made from: a leaderboards folder, read once, and what is claimed about it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.audit.findings import finding
from bench.audit.findings.boards import Learned, board_key, from_boards
from bench.audit.findings.evidence import Evidence
from bench.audit.findings.finding import Evaluated
from bench.core.errors import BenchError
from bench.core.track import Track
from bench.results import claims, leaderboard, store
from bench.results.claims import Claims
from bench.results.entries import BoardEntry
from bench.tracks import registry

Lines = list[dict[str, str]]


@dataclass(frozen=True)
class Source:
    """A leaderboards folder.

    Attributes:
        folder: Where it is.
        records: All records of each track.
        csvs: Lines of the CSV of each board; a board that has none is left out.
        files: The CSV of each board.
        claims: Its claims files by suite.
        found: What is claimed of the boards as a whole, and what came out, by file of ``configs/claims``.
        evidence: What that was computed from.
    """

    folder: Path
    records: Sequence[tuple[Track, Sequence[BoardEntry]]]
    csvs: Mapping[str, Lines]
    files: Mapping[str, Path]
    claims: Mapping[str, Claims]
    found: Mapping[str, Sequence[Evaluated]]
    evidence: Evidence

    @property
    def inputs(self) -> dict[str, bytes]:
        """What of the folder a bundle keeps, by path: lines of records, members of a board's file; CSVs; claims."""
        boards = sorted(path for track, _ in self.records for path in store.places(self.folder, track.name))
        made = {f"{self._named(path)}/{store.RUNS}": store.members(path)[store.RUNS] for path in boards}
        files = [*sorted(set(self.files.values())), *_claims_files(self.folder)]
        return {**made, **{self._named(path): path.read_bytes() for path in files}}

    def _named(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def read(folder: Path, learned: Learned | None = None) -> Source:
    """Read a leaderboards folder.

    Args:
        folder: The folder.
        learned: See :func:`bench.audit.findings.boards.from_boards`.

    Raises:
        BenchError: No such folder, no records in it, or damaged files.
    """
    if not folder.is_dir():
        raise BenchError(f"no such folder: {folder}")
    records = [(track, leaderboard.collect(track, [folder])) for track in registry.tracks()]
    groups = [(track, leaderboard.group(items)) for track, items in records]
    if not any(boards for _, boards in groups):
        raise BenchError(f"no records under {folder}. Make some with 'bench run', or name another folder.")
    csvs, files = _csvs(folder, groups)
    stated = {path.stem.removeprefix(claims.PREFIX): claims.read(path) for path in _claims_files(folder)}
    verdicts = [verdict for one in stated.values() for verdict in one.verdicts]
    evidence = from_boards(records, groups, verdicts, _fallbacks(csvs), learned)
    found = {
        name: [one for one in finding.evaluate(content.claims, evidence) if one.looked]  # else it is about other boards
        for name, content in finding.shipped().items()
    }
    return Source(folder, records, csvs, files, stated, found, evidence)


def _claims_files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{claims.PREFIX}*.json"))


def _csvs(folder: Path, groups: Sequence[tuple[Track, leaderboard.Groups]]) -> tuple[dict[str, Lines], dict[str, Path]]:
    lines, files = dict[str, Lines](), dict[str, Path]()
    for track, boards in groups:
        for dataset, split in sorted(boards):
            path = folder / (f"{dataset}{track.suffix}.csv" if track.suffix else f"{dataset}__{split}.csv")
            key = board_key(track.name, dataset, split)
            lines[key] = [line for line in _lines(path) if line.get("split", split) == split]
            files[key] = path
    return lines, files


def _lines(path: Path) -> Lines:
    try:
        return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8")), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BenchError(
            f"{path}: not a readable CSV ({error}). Run 'bench leaderboard --leaderboards {path.parent}'."
        ) from error


def _fallbacks(csvs: Mapping[str, Lines]) -> dict[tuple[str, str], int]:
    """Fallbacks that a board shows of a row, by (board, row)."""
    return {
        (board, line["model"]): int(line["n_fallback"])
        for board, lines in csvs.items()
        for line in lines
        if line.get("n_fallback", "").isdigit() and line.get("model")
    }
