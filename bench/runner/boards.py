"""Boards and comparisons as tables, from published records and one's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from bench.core.errors import BenchError, unknown
from bench.core.files import board_name, published_boards
from bench.core.text import an
from bench.core.track import Track
from bench.data.task import Task
from bench.reports.compare import differences, winner
from bench.results import board as results_board
from bench.results import leaderboard
from bench.results.difference import Difference
from bench.results.entries import BoardEntry
from bench.runner.result import Result
from bench.tracks import registry

#: Where ``bench run`` puts records, from the working directory.
OWN = Path("runs/leaderboards")


def default_folders() -> list[Path]:
    """Own records in the working directory, then the published ones."""
    return [OWN, published_boards()]


def board(
    of: Any,
    split: str | None = None,
    scope: str = "all",
    models: str | Sequence[str] | None = None,
    *,
    folders: Sequence[str | Path] | None = None,
    published: bool = True,
    track: str | None = None,
) -> pd.DataFrame:
    """The board of a task: models ranked by skill, between floor and ceiling.

    Args:
        of: A :class:`~bench.data.task.Task`, a result or several of :func:`bench.run`, the name of a data set, or a
            folder of records.
        split: Its split; absent = the task's, or all that there are.
        scope: ``all``, a subgroup (``combo_seen2``) or a tertile of effect strength (``effect_low``).
        models: Rows to show beside floor, replicate and ceiling, one or several; absent = all.
        folders: Folders of records; of one run the first folder's wins. Absent = ``runs/leaderboards`` of the working
            directory, and the published boards; of results, the published boards beside their own records.
        published: Whether the published boards are merged where ``folders`` is absent.
        track: The kind of question; absent = what ``bench run`` asks.

    Returns:
        A row per model: ``dataset``, ``split``, ``rank``, ``model``, ``skill`` with its interval, and every metric with
        interval and skill. Rows that share a rank cannot be told apart. Empty where there is no record: of the task, of
        the results, or in these folders at all.

    Raises:
        BenchError: A data set, split or row that these folders do not hold, where they hold others; or records that are
            damaged or do not belong together.
    """
    results, of_track = _results(of), _track(track)
    models = [models] if isinstance(models, str) else models
    found = _collect(of_track, of, results, folders, published)
    seeds = sorted({record.spec.split_seed for result in results for record in result.records}) or None
    own = {record.spec.label for result in results for record in result.records}
    tables = []
    groups = leaderboard.group(found)
    if split and groups and board_name(split) not in (known := {name for _, name in groups}):
        raise unknown("split with a board", split, known)
    for (dataset, name), items in sorted(groups.items()):
        if split and board_name(split) != name:
            continue
        # Variants of other models would make the table of one result long.
        asked = {*own, *(models or ())}
        kept = [i for i in items if not results or not i.record.spec.variant or i.record.spec.label in asked]
        table = results_board.board(kept, scope, seeds)
        if table.empty:
            continue
        if models is not None:
            for label in models:
                if label not in set(table["model"]):
                    raise unknown("row", label, set(table["model"]))
            table = table[table["model"].isin([*models, *own, *results_board.BARS])].reset_index(drop=True)
        table.insert(0, "split", name)
        table.insert(0, "dataset", dataset)
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _track(name: str | None) -> Track:
    return registry.plain() if name is None else registry.get(name)


def _results(of: Any) -> list[Result]:
    if isinstance(of, Result):
        return [of]
    some = list(of) if isinstance(of, Iterable) and not isinstance(of, str) else []
    return some if some and all(isinstance(one, Result) for one in some) else []


def _collect(
    track: Track, of: Any, results: Sequence[Result], folders: Sequence[str | Path] | None, published: bool
) -> list[BoardEntry]:
    """Records that an argument of :func:`board` stands for."""
    known = [published_boards()] if published else []
    if results:
        spec = results[0].record.spec
        others = known if folders is None else map(Path, folders)
        found = leaderboard.collect(track, [*(result.leaderboards for result in results), *others], spec.dataset)
        return _same_task(found, spec.split, spec.data_hash, spec.scoring_version)
    places = [OWN, *known] if folders is None else [Path(folder) for folder in folders]
    if isinstance(of, Task):
        found = leaderboard.collect(track, places, of.dataset.name)
        version = max((item.record.spec.scoring_version for item in found), default=0)
        return _same_task(found, of.split.name, of.dataset.hash, version)
    if isinstance(of, Path) or (isinstance(of, str) and Path(of).is_dir()):
        if not Path(of).is_dir():
            raise BenchError(f"no such folder: {of}")
        return leaderboard.collect(track, [Path(of)])
    if not isinstance(of, str):
        raise BenchError(
            f"{an(type(of).__name__)} has no board: expected a task, results, a data set's name or a folder."
        )
    found = leaderboard.collect(track, places, of)
    if not found and (there := {item.record.spec.dataset for item in leaderboard.collect(track, places)}):
        if elsewhere := [one.name for one in registry.tracks() if leaderboard.collect(one, places, of)]:
            raise BenchError(
                f"'{of}' has no board of track '{track.name}'; say which by track: {', '.join(elsewhere)}."
            )
        raise unknown("data set with a board", of, there)
    return found


def _same_task(found: Iterable[BoardEntry], split: str, data_hash: str, version: int) -> list[BoardEntry]:
    """Leave out what cannot stand on a task's board: other splits, older data or scoring."""
    wanted = (split, data_hash, version)
    specs = ((item, item.record.spec) for item in found)
    return [item for item, spec in specs if (spec.split, spec.data_hash, spec.scoring_version) == wanted]


def compare(
    a: str | Result,
    b: str | Result,
    of: str | Task = "simulated",
    split: str | None = None,
    *,
    folders: Sequence[str | Path] | None = None,
) -> pd.DataFrame:
    """Two rows of one board, paired by condition.

    Args:
        a: A row's name, or a result.
        b: The other.
        of: Task or name of the data set.
        split: Its split; absent = the task's, or ``simulation``.
        folders: As for :func:`board`.

    Returns:
        A row per metric and scope: ``difference`` (a less b) with ``low`` and ``high`` (95%; NaN with few conditions),
        ``p`` (two-sided), ``p_holm`` (over all pairs of the board), ``n`` (distinct conditions), and
        ``better``: the row that the interval is clearly for, else empty.

    Raises:
        BenchError: Unknown board or rows, or rows without a seed in common.
    """
    for one in (a, b):
        if not isinstance(one, str | Result):
            raise BenchError(f"{an(type(one).__name__)} is no row: expected its name, or a result.")
    names = [one if isinstance(one, str) else one.record.spec.label for one in (a, b)]
    items = board_records(of, split, folders, [one for one in (a, b) if isinstance(one, Result)])
    return as_table(differences(items, *names), *names)


def board_records(
    of: str | Task,
    split: str | None = None,
    folders: Sequence[str | Path] | None = None,
    results: Sequence[Result] = (),
) -> list[BoardEntry]:
    """The records of one board.

    Raises:
        BenchError: No such board; the message names those that there are.
    """
    track = _track(None)
    dataset = of.dataset.name if isinstance(of, Task) else of
    split = of.split.name if isinstance(of, Task) else board_name(split or "simulation")
    if results:
        dataset, split = results[0].record.spec.dataset, results[0].record.spec.split
    places = [*(result.leaderboards for result in results), *(map(Path, folders) if folders else default_folders())]
    groups = leaderboard.group(leaderboard.collect(track, places, dataset))
    if (dataset, split) not in groups:
        known = {(item.record.spec.dataset, item.record.spec.split) for item in leaderboard.collect(track, places)}
        raise unknown("board", f"{dataset}__{split}", [f"{data}__{name}" for data, name in known])
    return groups[dataset, split]


def as_table(found: Sequence[Difference], a: str, b: str) -> pd.DataFrame:
    """Differences as :func:`compare` returns them."""
    lines = []
    for one in found:
        values = asdict(one)
        values |= {"difference": values.pop("mean"), "low": one.low, "high": one.high, "p": one.p}
        lines.append({**values, "better": winner(_track(None), one, a, b)})
    order = ["metric", "scope", "difference", "low", "high", "p", "p_holm", "n", "better"]
    return pd.DataFrame(lines, columns=order)
