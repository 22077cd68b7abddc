"""What publishing takes along of finished runs, from their folders or a board's own file.

Of predictions shifts, of candidates coordinates, of a frozen encoder latents of the cells that it was asked about, of
latents moments: from these their numbers are computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.core.track import Track
from bench.core.typing import Floats
from bench.data.dataset import Dataset
from bench.data.splits.kinds import kind_of
from bench.data.splits.split import draw
from bench.data.task import Task, load_dataset
from bench.results import cell_latents, moments, predictions, store
from bench.results.entries import BoardEntry
from bench.results.moments import Moments
from bench.results.records import Record
from bench.results.shifts import HASH, LEVELS, Rows, Shifts, pack
from bench.results.tables import ALL
from bench.runner.candidates import PREDICTIONS as CANDIDATES
from bench.runner.genes import split_of_run
from bench.runner.rescore import PREDICTIONS
from bench.stats.shifts import row_mean
from bench.tracks import registry

#: What a run leaves that is kept in its board's file, by what its track takes.
_FILES = {"predictions": PREDICTIONS, "candidates": CANDIDATES, "encoder": cell_latents.FILE, "latents": moments.FILE}
#: What is kept of one run.
Kept: TypeAlias = Rows | Moments
#: What of a record does not follow from what would be kept, in words; empty = all does, ``None`` = nobody can tell.
Lost: TypeAlias = Callable[[BoardEntry, Kept], str | None]


def first_of_rows(entries: Iterable[BoardEntry]) -> set[str]:
    """The runs of which anything is kept, by run id: of each row its first control fold and seeds.

    Predictions of every seed would be five times what the boards are. One run of each row tells a metric that was
    computed wrongly, and the others of the row are scored by the same code.
    """
    first = dict[tuple[str, ...], tuple[tuple[int, ...], str]]()
    for entry in entries:
        record, spec = entry.record, entry.record.spec
        row = (spec.dataset, spec.data_hash, spec.split, spec.label)
        run = ((spec.control_fold, spec.split_seed, spec.pretrain_seed, spec.head_seed), record.run_id)
        first[row] = min(first.get(row, run), run)
    return {run_id for _, run_id in first.values()}


def follows(entry: BoardEntry) -> bool:
    """Whether a row of an encoder or of latents follows from data and seeds, so that nothing need be kept of it."""
    record, name = entry.record, entry.record.spec.model
    if entry.track.takes == "encoder":
        return cell_latents.closed(record.kind, name)
    references = registry.evaluation(entry.track).REFERENCES if entry.track.takes == "latents" else {}
    return name in references and not references[name].rounded


def asked_of(track: Track, entries: Iterable[BoardEntry]) -> list[BoardEntry]:
    """Records of a track of which something is to be kept."""
    return [entry for entry in entries if not follows(entry)] if track.takes in _FILES else []


def kept_of(
    entries: Iterable[BoardEntry], runs: Path, lost: Lost | None = None, target: Path | None = None
) -> tuple[dict[str, Kept], dict[str, str]]:
    """Look for what is to be kept of records.

    Args:
        entries: Records that :func:`asked_of` names.
        runs: Folder of the runs: ``<runs>/<run_id>/predictions.h5ad`` beside ``split.json``, or ``candidates.h5ad``,
            ``latents.npy`` or ``moments.npz``.
        lost: Says what would be lost of a record: numbers are kept as coarsely as nothing is, and not at all where
            something always is. Absent = as finely as is usual, without asking.
        target: Leaderboards folder where it is to be kept: a row is judged as it stands beside its board's others,
            along whose directions its numbers are told. Absent = by itself.

    Returns:
        By run id what was found, and why nothing was.
    """
    found: dict[str, Kept] = {}
    lacking: dict[str, str] = {}
    data: dict[str, Dataset] = {}
    boards: dict[Path, store.Board] = {}
    tasks: dict[tuple[str, int, int], Task] = {}
    beside: dict[Path, Any] = {}
    # As they are put on boards: rows that come later are told along the directions of those before.
    for entry in sorted(entries, key=lambda one: (one.record.spec.dataset, one.record.spec.split, one.record.run_id)):
        record, spec = entry.record, entry.record.spec
        folder, takes = runs / record.run_id, entry.track.takes
        file = folder / _FILES[takes]
        try:
            if file.is_file() and takes == "latents":
                found[record.run_id] = _moments(file, record)
            elif file.is_file() and takes == "encoder":
                found[record.run_id] = cell_latents.read(file, record)
            elif file.is_file():
                if spec.dataset not in data:
                    data.clear()  # one data set at a time is in memory
                    tasks.clear()
                    data[spec.dataset] = load_dataset(spec.dataset)
                if takes == "candidates":
                    key = spec.split, spec.split_seed, spec.control_fold
                    if key not in tasks:
                        tasks[key] = Task(data[spec.dataset], draw(data[spec.dataset], kind_of(key[0]), *key[1:]))
                    found[record.run_id] = _of_candidates(file, entry, tasks[key])
                else:
                    found[record.run_id] = _of_run(folder, entry, data[spec.dataset])
            elif store.kind_of(entry.track).hash in record.hashes:
                board = boards.setdefault(entry.path, store.Board(entry.track, entry.path))
                found[record.run_id] = board.kept.rows(record.run_id)
                if takes == "encoder":
                    continue  # already as coarse as can be
            else:
                lacking[record.run_id] = f"no {file}"
                if takes == "encoder":
                    lacking[record.run_id] += ", which a run leaves where its latents are few enough to be kept"
            if record.run_id in found:
                place = store.place(target or entry.path.parent, record.track, spec)
                if place not in beside:
                    beside[place] = (
                        store.Board(entry.track, place).kept if target else store.kind_of(entry.track).empty()
                    )
                rows = _coarsest(entry, found.pop(record.run_id), lost, beside[place])
                found[record.run_id], beside[place] = rows, _with(beside[place], record.run_id, rows)
        except BenchError as error:
            lacking[record.run_id] = str(error)
    return found, lacking


def _coarsest(entry: BoardEntry, rows: Kept, lost: Lost | None, beside: Any) -> Kept:
    """As few whole numbers for each unit as leave the record's metrics what they are; moments as they are.

    Raises:
        BenchError: They never do, or latents take too much room before they do.
    """
    run_id, said = entry.record.run_id, ""
    for tried in _finer(rows):
        _check_room(run_id, tried, said)
        found = None if lost is None else lost(entry, _with(beside, run_id, tried).rows(run_id))
        if found is None:
            _check_room(run_id, rows)
            return rows
        if not found:
            return tried
        said = found
    raise BenchError(f"the metrics of {run_id} do not follow from what can be kept ({said}).")


def _with(beside: Any, run_id: str, rows: Kept) -> Any:
    """What is kept of a board, and one run more, or that run anew."""
    return beside.only(set(beside.runs) - {run_id}).with_run(run_id, rows)


def _check_room(run_id: str, rows: Kept, said: str = "") -> None:
    """Refuse latents of cells that take more room than they may; ``said`` is what was lost with fewer digits."""
    if isinstance(rows, Rows) and rows.basis is not None:
        cell_latents.check_size(len(rows.shifts), len(pack(Shifts().with_run(run_id, rows))), said)


def _finer(rows: Kept) -> Iterator[Kept]:
    """The same, kept more and more exactly."""
    if not isinstance(rows, Rows):
        yield rows
    elif rows.steps is None:
        yield from (rows._replace(levels=levels) for levels in LEVELS)
    elif rows.basis is not None:
        yield from (rows._replace(steps=np.full(len(rows.shifts), step)) for step in cell_latents.STEPS)
    else:
        yield rows
        yield rows._replace(steps=rows.steps / 2)


def _check(path: Path, record: Record) -> None:
    """Refuse a file that is not the one that a record was made from."""
    if sha256_file(path) != record.hashes.get("predictions"):
        raise BenchError(f"{path}: not the predictions that the record of {record.run_id} was made from.")


def _moments(path: Path, record: Record) -> Moments:
    """Read a run's moments, which must be those of the latents that its record was made from."""
    found = moments.read(path, record.run_id)
    if moments.digest_of(found) != record.hashes.get(moments.MADE):
        raise BenchError(f"{path}: not the moments of the latents that the record of {record.run_id} was made from.")
    return found


def _of_candidates(path: Path, entry: BoardEntry, task: Task) -> Rows:
    record, spec = entry.record, entry.record.spec
    _check(path, record)
    if (spec.data_hash, spec.split_id) != (task.dataset.hash, task.split.split_id):
        raise BenchError(f"{path}: the data or the split of {record.run_id} are others than are here.")
    evaluation = registry.evaluation(entry.track)
    whole, units = evaluation.asked(task)
    expected = {"data_hash": task.dataset.hash, "split_id": task.split.split_id}
    content = predictions.read(path, units, tuple(whole.dataset.genes.tolist()), expected)
    means = dict(zip(units, content.y_hat, strict=True))
    kept: Rows = evaluation.kept(task, means, dict(zip(units, content.fallbacks.tolist(), strict=True)))
    return kept


def _of_run(folder: Path, entry: BoardEntry, dataset: Dataset) -> Rows:
    record, path = entry.record, folder / PREDICTIONS
    _check(path, record)
    task = Task(dataset, split_of_run(folder, record, dataset))
    units = task.units
    expected = {"data_hash": dataset.hash, "split_id": task.split.split_id}
    y_hat = predictions.read(path, units, tuple(dataset.genes.tolist()), expected).y_hat
    place = {tuple(unit): i for i, unit in enumerate(units)}
    order = [place[tuple(unit)] for unit in entry.values.task.units[ALL]]
    inputs = input_means(task)
    shift = y_hat - np.stack([inputs[unit.context] for unit in units])
    return Rows(tuple(dataset.genes.tolist()), shift[order])


def input_means(task: Task) -> dict[str, Floats]:
    """Mean of the input cells of each context ``[G]``: what predicted shifts are counted from."""
    index = task.dataset.barcode_index
    rows = {name: np.array([index[b] for b in cells]) for name, cells in task.split.input_cells.items()}
    return {name: row_mean(task.dataset.x, of) for name, of in rows.items() if len(of)}


def without(record: Record) -> Record:
    """A record that names nothing that is kept in its board's file."""
    kept = (HASH, moments.HASH)
    return record.model_copy(update={"hashes": {k: v for k, v in record.hashes.items() if k not in kept}})
