"""Checks of boards of known latents: each screen drawn again under its data seed, and rows that follow from it alone.

What learned models said of the cells is not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from bench.audit.compare import LATENTS, difference
from bench.audit.records import nothing_kept, subject
from bench.audit.report import HASH, METRIC, Check, failed, passed, skipped
from bench.audit.second import known
from bench.audit.second.known import Screen
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
        drawn = screen_of(problem)
        for entry in same:
            again = entry.record.spec.label in known.ROWS
            yield _row(entry, drawn, folder) if again else nothing_kept(entry, folder)


def screen_of(problem: Problem) -> Screen:
    """The arrays that the second implementation takes."""
    truth, learned = problem.truth, problem.task.dataset
    index = problem.dataset.barcode_index
    rows = np.sort(np.array([index[barcode] for barcode in learned.barcodes.tolist()], dtype=np.int64))
    single = (truth.code[rows] < problem.n_singles) | (truth.code[rows] == problem.control)
    return Screen(
        x=problem.dataset.x,
        code=truth.code,
        z_v=truth.z_v,
        z_i=truth.z_i,
        held=problem.held,
        half=problem.half,
        learned=rows[single],
        mask=truth.effects.mask,
        graph=truth.effects.graph,
        pairs=truth.effects.pairs,
    )


def _row(entry: BoardEntry, screen: Screen, folder: Path) -> Check:
    """Compare the numbers of a row with those of its latents, computed a second time."""
    check, what, record = "metrics recomputed", subject(entry, folder), entry.record
    name = record.spec.label
    computed = known.numbers(screen, known.latents(name, screen, record.spec.pretrain_seed))
    stated = {key: record.numbers.get(key) for key in computed}
    recorded = {key: np.array([np.nan if value is None else value]) for key, value in stated.items()}
    worst, n = difference(recorded, {key: np.array([value]) for key, value in computed.items()}, LATENTS)
    return failed(check, what, METRIC, worst) if worst else passed(check, what, f"{n} values")


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
