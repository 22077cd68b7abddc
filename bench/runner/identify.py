"""``bench identify``: draw screens of known latents, make every row on each, score it, and keep a record of it.

Of latents that do not follow from screen and seed, moments are written beside the record, which ``bench publish`` takes
along (:mod:`bench.results.moments`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.core.console import note
from bench.core.errors import BenchError
from bench.core.track import Track
from bench.data.known_latents import SPLIT, Problem, load, of_seed
from bench.data.simulate.card import parameters_of
from bench.results import moments, records, store
from bench.results.records import Record
from bench.results.spec import RunSpec
from bench.runner.config import LatentsConfig
from bench.runner.effort import Effort
from bench.runner.latents import Maker, Row, maker
from bench.runner.outside import hand_in, record_path
from bench.tracks import registry


@dataclass(frozen=True)
class Identified:
    """What was found.

    Attributes:
        track: The track.
        records: Of all rows and seeds that were asked for.
        paths: Where each lies.
    """

    track: Track
    records: tuple[Record, ...]
    paths: tuple[Path, ...]

    @property
    def unanswerable(self) -> str:
        """Why nothing can be claimed of these data; empty = it can."""
        return str(registry.evaluation(self.track).unanswerable(self.records))

    def table(self, against: str | None = None) -> pd.DataFrame:
        """The board, with intervals over data seeds.

        Args:
            against: Label, or model, of the row that others are compared with; absent = the track's choice.
        """
        evaluation = registry.evaluation(self.track)
        board: pd.DataFrame = evaluation.table(self.records, evaluation.AGAINST if against is None else against)
        return board


def identify(
    track: Track,
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
        track: Takes latents.
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
    makers = [maker(track, name, effort) for name in dict.fromkeys(rows)]
    found: list[tuple[Record, Path]] = []
    for data_seed in data_seeds:
        problem = load(data, data_seed)
        fresh = []
        for one in makers:
            for seed in seeds if one.drawn else seeds[:1]:
                fresh.append(_one(track, problem, one, seed, out, force))
        # Each screen is kept when it is done: an interrupted board goes on where it stopped.
        store.add(leaderboards, track, [(record, None) for record, _ in fresh])
        found += fresh
    board = Identified(track, tuple(record for record, _ in found), tuple(path for _, path in found))
    if board.unanswerable:
        note(board.unanswerable)
    return board


def spec_of(problem: Problem, row: Row, seed: int) -> RunSpec:
    """Everything that decides a record's numbers.

    A board is of one data set: here of one generator with its parameters, whose seeds take the place of split seeds.
    ``split_id`` names the very cells.

    Args:
        problem: The screen.
        row: Who makes the latents.
        seed: Of the training.
    """
    return RunSpec(
        dataset=problem.name,
        data_hash=problem.family,
        split=SPLIT,
        split_seed=problem.seed,
        control_fold=0,
        split_id=problem.split_id,
        model=row.name,
        model_version=row.version,
        arguments=dict(row.arguments),
        variant=dict(row.variant),
        pretrain_seed=seed,
        head_seed=seed,
    )


def run(track: Track, config: LatentsConfig) -> list[Path]:
    """Do what a configuration says; return the record's path, in its run's folder.

    Raises:
        BenchError: As for :func:`identify`.
    """
    made = identify(
        track,
        [config.row],
        config.data,
        [config.data_seed],
        [config.seed],
        config.effort,
        config.out,
        config.leaderboards,
        config.force,
    )
    return [*made.paths]


def finished(track: Track, config: LatentsConfig, spec: RunSpec) -> Path | None:
    """Look for the record of a run; where it is whole, put it under the leaderboards folder and return its path."""
    path = record_path(track, config.out / spec.run_id)
    record = _there(track, path)
    return None if record is None else hand_in(track, record, path.parent, config.leaderboards)


def resolved(track: Track, config: LatentsConfig, problem: Problem) -> RunSpec:
    """Everything that decides the numbers of what a configuration says, on its screen.

    Raises:
        BenchError: Unknown rows or arguments.
    """
    return spec_of(problem, maker(track, config.row, config.effort).row(problem), config.seed)


def _there(track: Track, path: Path) -> Record | None:
    """The record of a run's folder, whose name says which cells and arguments it is of; ``None`` = made again."""
    if not path.is_file():
        return None
    try:
        record = records.read(path)
    except BenchError as error:
        note(f"{error} It is made again.")
        return None
    return record if record.track_version == track.version else None


def _one(track: Track, problem: Problem, one: Maker, seed: int, out: Path, force: bool) -> tuple[Record, Path]:
    """The record of a row, read or made."""
    row = one.row(problem)
    spec = spec_of(problem, row, seed)
    path = record_path(track, out / spec.run_id)
    if not force and (there := _there(track, path)) is not None:
        return there, path
    begin = time.perf_counter()
    latents, trained = one.make(problem, seed)
    spent = time.perf_counter() - begin
    trained = trained._replace(budget=trained.budget.model_copy(update={"fit_s": round(spent, 3)}))
    evaluation = registry.evaluation(track)
    record: Record = evaluation.evaluate(problem, latents, spec, row.kind, trained)
    if one.kept:
        found = evaluation.kept(problem, latents)
        moments.write(path.parent, spec.run_id, found)
        hashes = {**record.hashes, moments.MADE: moments.digest_of(found)}
        record = record.model_copy(update={"hashes": hashes})
    records.write(path, record, None)
    title = next((column.title for column in track.columns if column.metric == track.primary), track.primary)
    value = record.numbers[track.primary]
    where = f"{spec.label} | {problem.name} | data seed {problem.seed}, seed {seed}"
    note(f"{where}: {title} {math.nan if value is None else value:.3f}, {spent:.1f} s")
    return record, path


#: Along which parameters latents become harder to identify, and the values that are tried.
AXES: dict[str, tuple[str, ...]] = {
    "noise": tuple(f"noise={value}" for value in (0, 0.5, 1, 2)),
    "perturbations": tuple(f"perturbations={value}" for value in (5, 12, 30, 100)),
    "hits": tuple(f"min_hits={value},max_hits={value}" for value in (1, 2, 5, 10)),
}


def along(data: str, make: Callable[[str], Identified], against: str) -> pd.DataFrame:
    """The board of each value along each axis, on top of each other.

    Args:
        data: The screen that is varied.
        make: Makes a board of a screen by name.
        against: The row that others are compared with.

    Returns:
        Columns ``axis``, ``value``, and those of :meth:`Identified.table`.
    """
    parts = []
    for axis, settings in AXES.items():
        for setting in settings:
            board = make(_with(data, setting)).table(against)
            board.insert(0, "axis", axis)
            board.insert(1, "value", float(setting.rpartition("=")[2]))
            parts.append(board)
    return pd.concat(parts, ignore_index=True)


def _with(data: str, setting: str) -> str:
    """The name of a screen with one parameter set; its own where it is set so already, as the cells are the same."""
    varied = f"{data}{',' if ':' in data else ':'}{setting}"
    here, there = (parameters_of(of_seed(name, 1)) for name in (data, varied))
    return data if here == there else varied
