"""Checks of tasks: the data, the split drawn again, who is in which part; then their rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from bench.audit import data_sets, encoders, plans, profiles, rows, screens, words
from bench.audit.compare import EXACT
from bench.audit.data_sets import DataSets
from bench.audit.records import Inspection, nothing_kept, subject
from bench.audit.report import HASH, METRIC, Check, failed, passed, skipped
from bench.core.track import Track
from bench.data.dataset import Dataset
from bench.data.task import Task
from bench.results import shifts
from bench.results.entries import BoardEntry
from bench.results.tables import ALL
from bench.runner.kept_predictions import follows

#: Who computes metrics a second time, by what is evaluated; of a track with other metrics nobody does.
_JUDGES = {"predictions": rows, "candidates": plans, "encoder": encoders, "profiles": profiles}


def judged(track: Track) -> bool:
    """Whether the metrics of a track's rows are computed a second time, from what is kept of them."""
    return track.takes in _JUDGES and set(track.metrics) >= _JUDGES[track.takes].METRICS


def look(folder: Path, found: Inspection, data: DataSets) -> Iterator[Check]:
    """Check the tasks of all boards, and the rows of each."""
    every = [entry for of in found.entries.values() for entry in of]
    yield from screens.look(folder, [entry for entry in every if entry.track.takes == "latents"], found.moments)
    wells = [entry for entry in every if entry.track.takes == "profiles"]
    yield from profiles.look(folder, [entry for entry in wells if judged(entry.track)], data)
    yield from (_unjudged(entry, folder) for entry in wells if not judged(entry.track))
    entries = sorted(
        (entry for entry in every if entry.track.takes not in ("latents", "profiles")),
        key=lambda e: (e.record.spec.dataset, *_key(e)),
    )
    for dataset, of_data in groupby(entries, key=lambda entry: entry.record.spec.dataset):
        for _, same in groupby(list(of_data), key=_key):
            yield from _task(folder, found, list(same), data.load(dataset))


def _key(entry: BoardEntry) -> tuple[Any, ...]:
    spec = entry.record.spec
    return spec.split, spec.split_seed, spec.control_fold


def _task(folder: Path, found: Inspection, entries: Sequence[BoardEntry], dataset: Dataset | str) -> Iterator[Check]:
    """Check the records of one task of all tracks."""
    spec = entries[0].record.spec
    what = f"{spec.dataset}__{spec.split} seed {spec.split_seed} fold {spec.control_fold}"
    reason = dataset if isinstance(dataset, str) else ""
    task = None
    if isinstance(dataset, Dataset):
        yield from _of_data(dataset, entries, folder)
        split = data_sets.split_of(dataset, spec.split, spec.split_seed, spec.control_fold)
        if isinstance(split, str):
            reason = split
        else:
            task = Task(dataset, split)
    if task is None:
        yield skipped("split drawn again", what, reason)
        for entry in entries:
            if _follows(entry):
                yield skipped("metrics recomputed", subject(entry, folder), reason)
            else:
                yield nothing_kept(entry, folder)
        return
    yield from _of_split(task, entries, what, folder)
    told = [entry for entry in entries if entry.table is not None and _is_of(entry, task)]
    yield from words.look(told, task, what)
    here = [entry for entry in entries if judged(entry.track) and entry.table is not None]
    scored = [entry for entry in here if entry.track.takes == "predictions"]
    yield from (_sums(entry, folder) for entry in entries if entry.track.takes == "encoder")
    asked = [entry for entry in here if entry.track.takes == "encoder" and _is_of(entry, task)]
    yield from (nothing_kept(entry, folder) for entry in entries if not _follows(entry) and entry not in asked)
    yield from (_unjudged(entry, folder) for entry in entries if _follows(entry) and not judged(entry.track))
    if asked:
        yield from encoders.look(folder, found, asked, task)
    sound = [entry for entry in scored if _is_of(entry, task)]
    if sound:
        yield from rows.look(folder, found, sound, task, what)
    planned = [entry for entry in here if entry.track.takes == "candidates" and _is_of(entry, task)]
    if planned:
        yield from plans.look(folder, found, planned, task, what)


def _unjudged(entry: BoardEntry, folder: Path) -> Check:
    """A row whose metrics are computed by its track alone."""
    return skipped("metrics recomputed", subject(entry, folder), "these metrics are not computed a second time")


def _follows(entry: BoardEntry) -> bool:
    """Whether a row's metrics can be computed again: from what is kept, or from cells alone."""
    return shifts.HASH in entry.record.hashes or follows(entry)


def _is_of(entry: BoardEntry, task: Task) -> bool:
    spec = entry.record.spec
    return (spec.data_hash, spec.split_id) == (task.dataset.hash, task.split.split_id)


def _of_data(dataset: Dataset, entries: Sequence[BoardEntry], folder: Path) -> Iterator[Check]:
    for entry in entries:
        if entry.record.spec.data_hash != dataset.hash:
            what = subject(entry, folder)
            yield failed("data as recorded", what, HASH, f"made from other data than {dataset.name} is here")
        elif entry.record.evidence != dataset.evidence:
            why = f"its evidence is '{entry.record.evidence}', and that of {dataset.name} '{dataset.evidence}'"
            yield failed("data as recorded", subject(entry, folder), HASH, why)
        elif entry.track.takes in ("predictions", "candidates") and (
            lacking := set(dataset.notes) - set(entry.record.warnings)
        ):
            why = f"it lacks a warning that {dataset.name} gives every row: {min(lacking)}"
            yield failed("data as recorded", subject(entry, folder), HASH, why)


def _of_split(task: Task, entries: Sequence[BoardEntry], what: str, folder: Path) -> Iterator[Check]:
    wrong = [entry for entry in entries if entry.record.spec.split_id != task.split.split_id]
    for entry in wrong:
        why = f"its split is {entry.record.spec.split_id}, and seed and kind give {task.split.split_id}"
        yield failed("split drawn again", subject(entry, folder), HASH, why)
    if not wrong:
        yield passed("split drawn again", what, f"{task.split.split_id}, the same for {len(entries)} records")
    problems = data_sets.problems_of(task)
    yield from (failed("parts and controls are disjoint", what, METRIC, problem) for problem in problems)
    if not problems:
        yield passed("parts and controls are disjoint", what)
    trained = set(task.units_of("train")) | set(task.units_of("val"))
    for entry in entries:
        if entry.track.takes == "predictions" and entry.table is not None:
            scored = set(entry.values.task.units[ALL])
            if both := scored & trained:
                one = sorted(both)[0].perturbation
                why = f"{len(both)} of its units are in train or val, such as {one}"
                yield failed("units are of the test part", subject(entry, folder), METRIC, why)
            elif scored != set(task.units):
                why = f"{len(scored ^ set(task.units))} units are not those of the task"
                yield failed("units are of the test part", subject(entry, folder), METRIC, why)


def _sums(entry: BoardEntry, folder: Path) -> Check:
    """Compare the numbers of an encoder's whole run with the means of its units, and chance with its formula."""
    name, what, record = "sums and chance of encoders", subject(entry, folder), entry.record
    if entry.table is None:
        return skipped(name, what, "no values by unit")
    block = entry.values.field(ALL, "value")
    n = 0
    for m, metric in enumerate(entry.values.metrics):
        known = block[:, m][np.isfinite(block[:, m])]
        stated = record.numbers.get(metric)
        if stated is None or not len(known):
            continue
        n += 1
        if abs(float(known.mean()) - stated) > EXACT * max(1.0, abs(stated)):
            why = f"{metric} is {stated:.6g}, and the mean of its units {known.mean():.6g}"
            return failed(name, what, METRIC, why)
    units = entry.values.task.units[ALL]
    stated = record.numbers.get("retrieval_mrr_chance")
    if stated is not None and len({unit.context for unit in units}) == 1:
        n += 1
        chance = float((1.0 / np.arange(1, len(units) + 1)).sum() / len(units))
        if abs(chance - stated) > EXACT:
            return failed(name, what, METRIC, f"chance of {len(units)} units is {chance:.6g}, not {stated:.6g}")
    return passed(name, what, f"{n} numbers")
