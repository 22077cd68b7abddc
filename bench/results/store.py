"""All records of a leaderboards folder, one file for each board: ``records/<track>/<dataset>__<split>.zip``.

Its members, which :mod:`bench.results.zips` leaves as they are, need pandas and numpy alone. ``runs.jsonl.gz``: one
record a line, by run id. ``values.parquet``: each run's values by unit. ``task.parquet``: units, blind answers and
replicate of each task, once. ``values.draws.parquet``: what bootstraps of the reference controls do to either.
``predictions.npz``: predicted shifts of runs whose record names them by hash, or what other tracks keep in their place
(:func:`kind_of`), see :mod:`bench.results.shifts`; of a track that takes latents ``moments.npz``, see
:mod:`bench.results.moments`. The file is replaced whole: whoever reads it, or whatever dies while it is written, leaves
whole records of one moment. A member that did not change stays the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.core.errors import BenchError
from bench.core.files import locked, safe_name
from bench.core.track import Track
from bench.core.typing import Floats
from bench.results import draws, lines, moments, parquet, records, shifts, zips
from bench.results.entries import BoardEntry
from bench.results.records import Record
from bench.results.spec import RunSpec
from bench.results.tables import KEYS, Table, TaskTable

RUNS, VALUES, TASK = lines.RUNS, "values.parquet", "task.parquet"
DRAWS = draws.beside(Path(VALUES)).name
PREDICTIONS, MOMENTS = "predictions.npz", moments.FILE
#: In this order: a reader of lines alone finds them first.
MEMBERS = (RUNS, VALUES, TASK, DRAWS, PREDICTIONS, MOMENTS)
_RUN, _TASK = "run_id", "task"
_AGAIN = "Delete the file and run or publish again."


class Book(Protocol):
    """What is kept of some runs of a board, so that their numbers are computed again."""

    @property
    def runs(self) -> Mapping[str, Any]:
        """By run id."""

    @property
    def digests(self) -> dict[str, str]:
        """Hash of what is kept of each run."""

    def rows(self, run_id: str) -> Any:
        """What is kept of a run, to be kept elsewhere."""

    def digest(self, run_id: str) -> str:
        """Hash of what is kept of a run."""

    def only(self, run_ids: Iterable[str]) -> Book:
        """The same without other runs."""

    def with_run(self, run_id: str, rows: Any) -> Book:
        """The same and one more run."""


class Kind(NamedTuple):
    """What is kept of a track's runs.

    Attributes:
        member: Its file in that of a board.
        hash: Name of the hash in a record that says which are kept of it.
        what: In words.
        empty: Of no runs.
        pack: To bytes.
        unpack: From the bytes of a file that is called so.
    """

    member: str
    hash: str
    what: str
    empty: Callable[[], Book]
    pack: Callable[[Any], bytes]
    unpack: Callable[[str, bytes], Book]


_SHIFTS = Kind(PREDICTIONS, shifts.HASH, "predictions", shifts.Shifts, shifts.pack, shifts.unpack)
_MOMENTS = Kind(MOMENTS, moments.HASH, "moments", moments.Book, moments.pack, moments.unpack)
#: By what a track takes, where it is not predicted shifts or coordinates.
_KINDS = {"encoder": _SHIFTS._replace(what="latents"), "latents": _MOMENTS}


def kind_of(track: Track) -> Kind:
    """What is kept of a track's runs."""
    return _KINDS.get(track.takes, _SHIFTS)


def place(folder: Path, track: str, spec: RunSpec) -> Path:
    """The file of a board's records.

    Raises:
        BenchError: A name that is no name of a file.
    """
    for kind, name in (("track", track), ("data set", spec.dataset), ("split", spec.split)):
        safe_name(kind, name)
    return folder / "records" / track / f"{spec.dataset}__{spec.split}.zip"


def places(folder: Path, track: str) -> list[Path]:
    """Files of a track's boards under a leaderboards folder, sorted; where a folder holds a board, its file to be."""
    of_track = folder / "records" / track
    earlier = [path.parent.with_name(f"{path.parent.name}.zip") for path in of_track.glob("*/runs.jsonl*")]
    return sorted({*of_track.glob("*__*.zip"), *earlier})


def members(path: Path) -> dict[str, bytes]:
    """The members of a board's file; without a file there is none.

    Raises:
        BenchError: Damaged, or a folder of an earlier version.
    """
    earlier = path.with_name(path.name.removesuffix(".zip"))
    if any(earlier.glob("runs.jsonl*")):
        raise BenchError(
            f"{earlier}: an earlier version kept the records of a board in a folder; now they are in one file, "
            f"{path.name}. Delete the folder and run or publish again."
        )
    found = zips.read(path, MEMBERS.__contains__, _AGAIN)
    if found is not None and RUNS not in found:
        raise BenchError(f"{path}: damaged (it lacks {RUNS}). {_AGAIN}")
    return found or {}


class Board:
    """The records in one file of the store, read when they are asked for."""

    def __init__(self, track: Track, path: Path) -> None:
        self.track, self.path, self.kind = track, path, kind_of(track)

    @cached_property
    def _members(self) -> dict[str, bytes]:
        return members(self.path)

    @cached_property
    def records(self) -> dict[str, Record]:
        """By run id.

        Raises:
            BenchError: A damaged file or line, a run that is there twice, or one of another track.
        """
        where, found = f"{self.path}, {RUNS}", dict[str, Record]()
        text = lines.text(where, self._members[RUNS], _AGAIN) if self._members else b""
        for number, line in enumerate(text.splitlines(), 1):
            try:
                record = records.parse(line)
                if record.track != self.track.name or record.run_id in found:
                    raise ValueError(f"run {record.run_id} is of track '{record.track}', or there twice")
                found[record.run_id] = record
            except ValueError as error:
                raise BenchError(f"{where}, line {number}: not a valid record ({error}). {_AGAIN}") from error
        return found

    def _parquet(self, name: str) -> pa.Table:
        if name not in self._members:
            raise BenchError(f"{self.path}: it lacks {name}. {_AGAIN}")
        return parquet.read(f"{self.path}, {name}", self._members[name])

    @cached_property
    def _values(self) -> pa.Table:
        return self._parquet(VALUES)

    @cached_property
    def _facts(self) -> pa.Table:
        return self._parquet(TASK)

    @cached_property
    def _draws(self) -> dict[str, dict[tuple[str, str, str], Floats]]:
        if DRAWS not in self._members:
            # Records of an older scoring have none; of one that has, the hash of its values says that some are missing.
            return {}
        try:
            return draws.unstacked(self._parquet(DRAWS))
        except KeyError as error:
            raise self._lacks(DRAWS, error) from error

    def _lacks(self, member: str, column: KeyError) -> BenchError:
        return BenchError(f"{self.path}, {member}: it lacks the column {column}. {_AGAIN}")

    @cached_property
    def _tasks(self) -> dict[str, TaskTable]:
        try:
            reader = parquet.Reader(self.track, self._facts, [self._values])
            found = reader.tasks(dict(_spans(parquet.column(self._facts, _TASK))))
        except KeyError as error:
            raise self._lacks(TASK, error) from error
        if torn := [task.torn for task in found.values() if task.torn]:
            raise BenchError(f"{self.path}, {TASK}: rows of '{torn[0]}' are not those of its units. {_AGAIN}")
        return {name: replace(task, draws=self._draws.get(name, {})) for name, task in found.items()}

    @cached_property
    def _tables(self) -> dict[str, Table]:
        if not any(record.values_hash for record in self.records.values()):
            return {}
        try:
            reader = parquet.Reader(self.track, self._values, [self._facts])
            own = reader.own()
            fell_back = parquet.column(self._values, "fallbacks")
            keys = {name: parquet.column(self._values, name) for name in KEYS}
            spans = dict(_spans(parquet.column(self._values, _RUN)))
        except KeyError as error:
            raise self._lacks(VALUES, error) from error
        out = {}
        for run_id, record in self.records.items():
            if record.values_hash is None:
                continue
            rows, task = spans.get(run_id), self._tasks.get(record.task)
            if rows is None or task is None:
                where = f"{self.path}, {VALUES if rows is None else TASK}"
                raise BenchError(f"{where}: it lacks the values of {run_id}. Run or publish it again.")
            moved = draws.own(self._draws.get(run_id, {}))
            table = Table(task, {name: block[rows] for name, block in own.items()}, fell_back[rows], moved)
            words = all(np.array_equal(keys[name][rows], task.words[name]) for name in KEYS)
            if not words or table.hash != record.values_hash:
                raise BenchError(
                    f"{self.path}, {VALUES}: the values of {run_id} are not those of its record. Run or publish it "
                    "again."
                )
            out[run_id] = table
        return out

    def table(self, run_id: str) -> Table:
        """The values of a run that has some.

        Raises:
            BenchError: Damaged files.
        """
        return self._tables[run_id]

    @cached_property
    def kept(self) -> Book:
        """What is kept of those runs whose records name it by hash: predicted shifts, latents, or moments of latents.

        Raises:
            BenchError: Damaged, or others than a record names.
        """
        kind, where = self.kind, f"{self.path}, {self.kind.member}"
        found = kind.unpack(where, self._members[kind.member]) if kind.member in self._members else kind.empty()
        for run_id, record in self.records.items():
            named = record.hashes.get(kind.hash)
            if named and (run_id not in found.runs or found.digest(run_id) != named):
                raise BenchError(f"{where}: the {kind.what} of {run_id} are not those of its record. Publish it again.")
        return found.only(run_id for run_id, record in self.records.items() if kind.hash in record.hashes)

    def entries(self) -> list[BoardEntry]:
        """All records, sorted by run id."""
        return [
            BoardEntry(self.track, record, self.path, lambda run_id=run_id: self.table(run_id))  # type: ignore[misc]
            for run_id, record in sorted(self.records.items())
        ]

    def write(self, every: Sequence[tuple[Record, Table | None]], kept: Book | None = None) -> None:
        """Replace all that is there; without records, there is no file.

        Args:
            every: All records, each with its values.
            kept: What is kept of those whose records name it; absent = what is there.
        """
        kind, book = self.kind, self.kept if kept is None else kept
        if not every:
            self.path.unlink(missing_ok=True)
            return
        whole = sorted(every, key=lambda one: one[0].run_id)
        text = "".join(f"{records.to_line(record)}\n" for record, _ in whole)
        made = {RUNS: lines.pack(text.encode())}
        filled = [(record, table) for record, table in whole if table is not None]
        tasks: dict[str, TaskTable] = {}
        for record, table in filled:
            tasks.setdefault(record.task, table.task)
        if filled:
            own = [_marked(_RUN, record.run_id, parquet.own_columns(table)) for record, table in filled]
            facts = [_marked(_TASK, name, parquet.task_columns(task)) for name, task in sorted(tasks.items())]
            moved: dict[str, Mapping[Any, Floats]] = {record.run_id: table.draws for record, table in filled}
            moved |= {name: task.draws for name, task in tasks.items()}
            made[VALUES] = parquet.pack(parquet.stack(own), self._members.get(VALUES))
            made[TASK] = parquet.pack(parquet.stack(facts), self._members.get(TASK))
            if any(moved.values()):  # not of a track without reference controls
                made[DRAWS] = parquet.pack(draws.stacked(moved), self._members.get(DRAWS))
        book = book.only(record.run_id for record, _ in every if kind.hash in record.hashes)
        if book.runs:
            same = book.digests == self.kept.digests
            made[kind.member] = self._members[kind.member] if same else kind.pack(book)
        zips.write(self.path, made)


def _spans(names: NDArray[Any]) -> Iterator[tuple[str, slice]]:
    """Runs of one name in a column: the name and its rows."""
    starts = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist()] if len(names) else []
    for begin, end in zip(starts, [*starts[1:], len(names)]):
        yield str(names[begin]), slice(begin, end)


def _marked(column: str, name: str, table: pa.Table) -> pa.Table:
    return table.add_column(0, column, pa.array([name] * table.num_rows, pa.string()).dictionary_encode())


def boards(folder: Path, track: Track, dataset: str | None = None) -> list[Board]:
    """The boards of a track under a leaderboards folder; a folder that does not exist holds none.

    Args:
        folder: Leaderboards folder.
        track: The track.
        dataset: Only this data set's.
    """
    found = [Board(track, path) for path in places(folder, track.name)]
    if dataset is None:
        return found
    near = [board for board in found if board.path.name.startswith(f"{dataset}__")]
    return [board for board in near if any(one.spec.dataset == dataset for one in board.records.values())]


def collect(track: Track, folders: Iterable[Path], dataset: str | None = None) -> list[BoardEntry]:
    """All records of a track under leaderboards folders, by run id; of one run id the first folder's wins.

    Args:
        track: The track.
        folders: Leaderboards folders.
        dataset: Only this data set's.

    Raises:
        BenchError: A damaged record.
    """
    found: dict[str, BoardEntry] = {}
    for folder in folders:
        for board in boards(folder, track, dataset):
            for entry in board.entries():
                if dataset in (None, entry.record.spec.dataset):
                    found.setdefault(entry.record.run_id, entry)
    return list(found.values())


def add(
    folder: Path,
    track: Track,
    fresh: Sequence[tuple[Record, Table | None]],
    kept: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Put records into a leaderboards folder; of one run id the new one replaces the old.

    Args:
        folder: Leaderboards folder.
        track: Their track.
        fresh: Records, each with its values.
        kept: What is to be kept, by run id: predicted shifts ``[T, G]`` of the units of scope ``all`` in the values'
            order, coordinates, or latents of an encoder (:class:`bench.results.shifts.Rows`); of a track that takes
            latents their moments (:data:`bench.results.moments.Moments`). The record then names it by hash. Of other
            runs nothing is kept.

    Raises:
        BenchError: Damaged files there, or a record whose units, floor or replicate are not those of its task's others.
    """
    by_place: dict[Path, dict[str, tuple[Record, Table | None]]] = {}
    for record, table in fresh:
        by_place.setdefault(place(folder, record.track, record.spec), {})[record.run_id] = (record, table)
    with locked(folder):
        for path, new in by_place.items():
            board = Board(track, path)
            book = board.kept.only(set(board.kept.runs) - set(new))
            given = {run_id: kept[run_id] for run_id in sorted(new) if run_id in kept}
            for run_id, rows in given.items():
                book = book.with_run(run_id, rows)
            for run_id in given:
                record, table = new[run_id]
                named = {**record.hashes, board.kind.hash: book.digest(run_id)}
                new[run_id] = record.model_copy(update={"hashes": named}), table
            if all(board.records.get(run_id) == record for run_id, (record, _) in new.items()):
                continue
            old = [one for one in board.entries() if one.record.run_id not in new]
            anchors: dict[str, BoardEntry] = {}
            for entry in (one for one in old if one.table is not None):
                anchors.setdefault(entry.record.task, entry)
            every = [(one.record, one.table) for one in old]
            for record, table in sorted(new.values(), key=lambda one: one[0].run_id):
                entry = BoardEntry(track, record, path, lambda table=table: table)  # type: ignore[misc]
                if table is not None:
                    anchor = anchors.setdefault(record.task, entry)
                    if said := entry.disagrees(anchor):
                        seed = record.spec.split_seed
                        raise BenchError(f"seed {seed}: {entry.where} and {anchor.where} {said}.")
                    entry = entry.with_task_of(anchor)
                every.append((record, entry.table))
            board.write(every, book)


def remove(folder: Path, track: Track, run_ids: Iterable[str]) -> list[str]:
    """Remove records; return the run ids that were there.

    Raises:
        BenchError: Damaged files.
    """
    wanted, gone = set(run_ids), []
    with locked(folder):
        for board in boards(folder, track):
            if here := wanted & set(board.records):
                gone += sorted(here)
                board.write([(e.record, e.table) for e in board.entries() if e.record.run_id not in here])
    return gone
