"""From predictions for all candidates to a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.core.units import Unit
from bench.data.task import Task
from bench.results import records, tables
from bench.results.latents import OwnLatents
from bench.results.records import Budget, Kind, Record
from bench.results.shifts import Rows
from bench.results.spec import RunSpec
from bench.results.tables import Table
from bench.tracks.planning import asked as asked_for
from bench.tracks.planning import kept as kept_rows
from bench.tracks.planning import own_space, truth
from bench.tracks.planning.evaluate import Predictions
from bench.tracks.planning.evaluate import evaluate as score
from bench.tracks.planning.track import TRACK


def asked(task: Task) -> tuple[Task, tuple[Unit, ...]]:
    """What a model is to be asked for: the task with all candidates among its conditions, and the units.

    Raises:
        BenchError: Nothing of the task can be asked.
    """
    found = asked_for.candidates_of(task)
    if sum(len(one.tested) for one in found) < 2:
        raise BenchError(
            f"'{task.dataset.name}', split {task.split.kind}, seed {task.split.seed}: fewer than 2 test conditions "
            f"with {asked_for.MIN_CELLS} cells: there is nothing to choose from. Choose another split or seed."
        )
    return asked_for.asked(task, found)


def prepare(task: Task) -> None:
    """Measure what predictions are compared with, before anything is fitted."""
    truth.load(task)


def latents_asked(task: Task) -> tuple[NDArray[np.int64], tuple[Unit, ...]]:
    """Rows of the cells that a model with latents is to encode, and the units whose latents it is to predict."""
    facts = truth.load(task)
    return own_space.cells_asked(facts), own_space.units_asked(facts)


def kept(task: Task, means: Mapping[Unit, NDArray[np.float32]], fallbacks: Mapping[Unit, int]) -> Rows:
    """What is kept of predictions beside a record: see :mod:`bench.tracks.planning.kept`."""
    return kept_rows.rows_of(truth.load(task), Predictions(means, fallbacks))


def evaluate(
    task: Task,
    means: Mapping[Unit, Floats | NDArray[np.float32]],
    fallbacks: Mapping[Unit, int],
    spec: RunSpec,
    kind: Kind,
    budget: Budget,
    selection: str | None = None,
    warnings: Sequence[str] = (),
    hashes: Mapping[str, str] = MappingProxyType({}),
    latents: OwnLatents | None = None,
) -> tuple[Record, Table]:
    """Score predictions, and put a record together.

    Args:
        task: The task.
        means: Predicted mean expression ``[G]`` of all units of :func:`asked`.
        fallbacks: Constituents of each of which the model knew nothing.
        spec: What was run.
        kind: What its row is.
        budget: What it cost.
        selection: How hyperparameters were chosen.
        warnings: What the model has to say about its fit.
        hashes: Of the predictions, and of what the model was given beside the task.
        latents: The model in its own latents, where it has some; see :func:`latents_asked`.

    Returns:
        The record and its values by unit.
    """
    scored = score(truth.load(task), Predictions(means, fallbacks), latents)
    table = tables.from_long(TRACK, scored.frame)
    sha, dirty = records.git_state()
    lost = scored.numbers["n_unknown"]
    said = [f"{lost:.0f} candidates of which the model knows nothing: ranked last, in any order"] if lost else []
    record = Record(
        track=TRACK.name,
        track_version=TRACK.version,
        run_id=spec.run_id,
        spec=spec,
        kind=kind,
        evidence=task.dataset.evidence,
        created=records.now(),
        controls_used="input",
        hashes={"data": task.dataset.hash, "split": task.split.split_id, **hashes},
        git_sha=sha,
        git_dirty=dirty,
        packages=records.package_versions(),
        hardware=records.hardware(),
        budget=budget,
        selection=selection,
        warnings=(*task.dataset.notes, *task.split.notes, *warnings, *said),
        numbers=scored.numbers,
    )
    return records.with_values(record, table)
