"""``bench identify``: draw screens of known latents, make every row on each, score it, and keep a record of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.core.console import note
from bench.core.errors import BenchError
from bench.results import records, store
from bench.results.records import Record
from bench.runner.latents import Effort, Maker, maker
from bench.tracks.identifiability import claim
from bench.tracks.identifiability import record as of_record
from bench.tracks.identifiability.problem import Problem, load
from bench.tracks.identifiability.score import score
from bench.tracks.identifiability.track import TRACK


@dataclass(frozen=True)
class Identified:
    """What was found.

    Attributes:
        records: Of all rows and seeds that were asked for.
        paths: Where each lies.
    """

    records: tuple[Record, ...]
    paths: tuple[Path, ...]

    @property
    def unanswerable(self) -> str:
        """Why nothing can be claimed of these data; empty = it can."""
        return claim.unanswerable(self.records)

    def table(self, against: str = claim.AGAINST) -> pd.DataFrame:
        """The board, see :func:`bench.tracks.identifiability.claim.table`."""
        return claim.table(self.records, against)


def identify(
    rows: Sequence[str],
    data: str,
    data_seeds: Sequence[int],
    seeds: Sequence[int],
    effort: Effort,
    out: Path,
    leaderboards: Path,
    force: bool = False,
) -> Identified:
    """Make a board; what has a record already is not made again.

    Args:
        rows: Names, see :func:`bench.runner.latents.maker`.
        data: ``g1``, ``g2``, ``g3``, with parameters or not.
        data_seeds: Seeds of the screens.
        seeds: Training seeds; a row that does not depend on them is made once.
        effort: What a trained row may spend.
        out: Folder of the runs.
        leaderboards: Folder that gets a copy of the records.
        force: Whether to make everything again.

    Raises:
        BenchError: Unknown rows, or data whose latents nobody knows.
    """
    makers = {name: maker(name, effort) for name in dict.fromkeys(rows)}
    found: list[tuple[Record, Path]] = []
    for data_seed in data_seeds:
        problem = load(data, data_seed)
        fresh = []
        for name, one in makers.items():
            for seed in seeds if one.drawn else seeds[:1]:
                made = _one(problem, name, one, seed, out, force)
                fresh.append(made)
        # Each screen is kept when it is done: an interrupted board goes on where it stopped.
        store.add(leaderboards, TRACK, [(record, None) for record, _ in fresh])
        found += fresh
    board = Identified(tuple(record for record, _ in found), tuple(path for _, path in found))
    if board.unanswerable:
        note(board.unanswerable)
    return board


def _one(problem: Problem, name: str, one: Maker, seed: int, out: Path, force: bool) -> tuple[Record, Path]:
    """The record of a row, read or made."""
    row = one.row(problem)
    spec = of_record.spec_of(problem, row, seed)
    path = out / spec.run_id / of_record.FILE
    if path.is_file() and not force:
        try:
            there = records.read(path)
            if there.track_version == TRACK.version:
                return there, path
        except BenchError as error:
            note(f"{error} It is made again.")
    begin = time.perf_counter()
    made = one.make(problem, seed)
    spent = time.perf_counter() - begin
    numbers = score(problem, made.latents)
    budget = made.budget.model_copy(update={"fit_s": round(spent, 3)})
    record = of_record.make(problem, spec, row, numbers, budget, made.warnings, made.selection)
    records.write(path, record, None)
    where = f"{spec.label} | {problem.name} | data seed {problem.seed}, seed {seed}"
    note(f"{where}: MCC {numbers['mcc_within']:.3f}, {spent:.1f} s")
    return record, path


#: Along which parameters latents become harder to identify, and the values that are tried.
AXES: dict[str, tuple[str, ...]] = {
    "noise": tuple(f"noise={value}" for value in (0, 0.5, 1, 2)),
    "perturbations": tuple(f"perturbations={value}" for value in (5, 12, 30, 100)),
    "hits": tuple(f"min_hits={value},max_hits={value}" for value in (1, 2, 5, 10)),
}


def along(data: str, make: Callable[[str], Identified]) -> pd.DataFrame:
    """The board of each value along each axis, on top of each other.

    Args:
        data: The screen that is varied.
        make: Makes a board of a screen by name.

    Returns:
        Columns ``axis``, ``value``, and those of :func:`bench.tracks.identifiability.claim.table`.
    """
    parts = []
    for axis, settings in AXES.items():
        for setting in settings:
            board = make(f"{data}{',' if ':' in data else ':'}{setting}").table()
            board.insert(0, "axis", axis)
            board.insert(1, "value", float(setting.rpartition("=")[2]))
            parts.append(board)
    return pd.concat(parts, ignore_index=True)
