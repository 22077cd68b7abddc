"""All that records of a leaderboards folder give: the boards of every track, and what is claimed of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.core.files import locked
from bench.core.track import Track
from bench.results import claims, generated, leaderboard
from bench.results.leaderboard import Groups


def read(tracks: Sequence[Track], folder: Path) -> list[tuple[Track, Groups]]:
    """Read all records of a folder once: each track with its boards.

    Raises:
        BenchError: Damaged records, or some that cannot stand in one table.
    """
    return [(track, leaderboard.group(leaderboard.collect(track, [folder]))) for track in tracks]


def regenerate(tracks: Sequence[Track], folder: Path) -> tuple[list[Path], list[tuple[Track, Groups]]]:
    """Write all CSVs and claims of a folder that differ, remove CSVs that no record gives.

    Returns:
        The changed files, and what was read.
    """
    with locked(folder):  # whoever comes later reads the records later
        found = read(tracks, folder)
        changed = generated.rewrite(_csvs(folder, found), leaderboard.present(folder))
        return [*changed, *claims.rewrite(claims.again(folder, found))], found


def check(tracks: Sequence[Track], folder: Path) -> tuple[int, int]:
    """Count the CSVs and the files of claims of a folder, if they are what its records give.

    Raises:
        BenchError: Naming what differs.
    """
    found = read(tracks, folder)
    n = generated.compare(_csvs(folder, found), leaderboard.present(folder), folder)
    return n, claims.compare(folder, claims.again(folder, found))


def _csvs(folder: Path, found: Sequence[tuple[Track, Groups]]) -> dict[Path, str]:
    return {path: text for track, groups in found for path, text in leaderboard.csvs(folder, track, groups).items()}
