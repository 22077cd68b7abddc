"""Checks of boards of known latents: each screen drawn again under its data seed. What rows said of it is not kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from bench.audit.records import nothing_kept, subject
from bench.audit.report import HASH, Check, failed, passed, skipped
from bench.core.errors import BenchError
from bench.data.known_latents import Problem, load
from bench.results.entries import BoardEntry

_NAME = "screen drawn again"


def look(folder: Path, entries: Sequence[BoardEntry]) -> Iterator[Check]:
    """Check the records of every screen.

    Args:
        folder: Their leaderboards folder.
        entries: Those of tracks that take latents.
    """
    for (dataset, seed), of_screen in groupby(sorted(entries, key=_key), key=_key):
        same, what = list(of_screen), f"{dataset} data seed {seed}"
        try:
            problem = load(dataset, seed)
        except BenchError as error:
            yield skipped(_NAME, what, " ".join(str(error).split()))
            continue
        wrong = [entry for entry in same if not _is_of(entry, problem)]
        for entry in wrong:
            yield failed(_NAME, subject(entry, folder), HASH, f"made from other cells than {what} has here")
        if not wrong:
            yield passed(_NAME, what, f"{problem.split_id}, the same for {len(same)} records")
        yield from (nothing_kept(entry, folder) for entry in same)


def _key(entry: BoardEntry) -> tuple[str, int]:
    return entry.record.spec.dataset, entry.record.spec.split_seed


def _is_of(entry: BoardEntry, problem: Problem) -> bool:
    spec, hashes = entry.record.spec, entry.record.hashes
    return (spec.data_hash, spec.split_id, hashes.get("data"), hashes.get("split")) == (
        problem.family,
        problem.split_id,
        problem.dataset.hash,
        problem.split_id,
    )
