"""From a predictions file to a record: of a run, or of a file that any tool wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.core.console import Stages
from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.core.track import Track
from bench.data.naming import Naming
from bench.data.task import Task
from bench.results import records, store
from bench.results.records import Budget, Kind, Record
from bench.results.spec import RunSpec
from bench.runner.config import check_row_name, task_fields
from bench.runner.handed_in import on_its_genes
from bench.tracks import registry

#: The column of the conditions is the one that names the most of them.
ANY = Naming()


def score_predictions(
    track: Track,
    path: Path,
    folder: Path,
    task: Task,
    facts: Any,
    spec: RunSpec,
    budget: Budget,
    selection: str | None = None,
    warnings: Sequence[str] = (),
    inputs: Mapping[str, str] = MappingProxyType({}),
    kind: Kind = "model",
    fitted: Record | None = None,
    **read: Any,
) -> tuple[Record, Any]:
    """Score a predictions file and write ``record.parquet`` and ``record.json``.

    Args:
        track: The track.
        path: The predictions.
        folder: Where the record goes.
        task: The task.
        facts: What they are compared with, from the track's ``prepare``.
        spec: The run's spec.
        budget: What the run cost.
        selection: How hyperparameters were chosen.
        warnings: What the model has to say about its fit.
        inputs: Hashes of what the model was given beside the task.
        kind: What its row is.
        fitted: Record of the run that made the predictions, where they are scored again.
        **read: How the file is to be read, see the track's ``evaluate``.

    Returns:
        The record, and the track's outcome.

    Raises:
        BenchError: Predictions that cannot be scored.
    """
    outcome = registry.evaluation(track).evaluate(path, task, facts, **read)
    sha, dirty = records.git_state()
    if fitted is not None:
        dirty = bool(dirty or fitted.git_dirty)
    record = Record(
        track=track.name,
        track_version=track.version,
        run_id=spec.run_id,
        spec=spec,
        kind=kind,
        evidence=task.dataset.evidence,
        created=records.now(),
        controls_used=outcome.controls_used,
        hashes={
            "data": task.dataset.hash,
            "split": task.split.split_id,
            "predictions": sha256_file(path),
            **outcome.hashes,
            **inputs,
        },
        git_sha=sha,
        git_dirty=dirty,
        fit_git_sha=None if fitted is None else fitted.fit_git_sha or fitted.git_sha,
        packages=records.package_versions() if fitted is None else fitted.packages,
        hardware=records.hardware() if fitted is None else fitted.hardware,
        budget=budget,
        selection=selection,
        warnings=(*task.dataset.notes, *task.split.notes, *warnings, *outcome.warnings),
    )
    record, table = records.with_values(record, outcome.table)
    records.write(record_path(track, folder), record, table)
    return record, outcome


def record_path(track: Track, folder: Path) -> Path:
    """Where the record of a run's predictions is in its folder."""
    return folder / f"{track.file}.json"


def hand_in(track: Track, record: Record, folder: Path, leaderboards: Path) -> Path:
    """Put the record of a run's folder under the leaderboards; return its path in the run's folder.

    Raises:
        BenchError: Its table is damaged, or the records that are there are.
    """
    path = record_path(track, folder)
    store.add(leaderboards, track, [(record, records.read_table(track, path, record))])
    return path


def score_file(
    track: Track,
    file: Path,
    name: str,
    task: Task,
    out: Path,
    leaderboards: Path,
    shown: bool = True,
    naming: Naming = ANY,
    subset: bool = False,
) -> Path:
    """Score a predictions file that any tool wrote; return the record's path.

    Args:
        track: The track.
        file: The predictions, an h5ad file; one row per condition is enough.
        name: The row's name.
        task: The task that they were made for.
        out: Folder of the runs.
        leaderboards: Folder that gets the record.
        shown: Whether progress is printed.
        naming: How the file names conditions and genes, beside what the card of the data says.
        subset: Whether only those genes are scored that the file has; the row then stands on a board of its own.

    Raises:
        BenchError: Bad input; values that cannot be expression; a name that is a registered model's or could leave its
            folder.
    """
    check_row_name(name)
    if not file.is_file():
        raise BenchError(f"no such file: {file}")
    naming = replace(naming, card=task.dataset.card)
    made_for = {"data_hash": task.dataset.hash, "split_id": task.split.split_id}
    genes = len(task.dataset.genes)
    with Stages(2, shown=shown) as stages:
        with stages.stage("truth"):
            if subset:
                task = on_its_genes(task, file, naming)
            facts = registry.evaluation(track).prepare(task)
        kept = len(facts.genes)
        spec = RunSpec(
            **task_fields(task),
            model=name,
            model_version=0,  # nobody here vouches for it
            arguments={},
            variant={} if kept == genes else {"genes": f"{kept} of {genes}"},
            pretrain_seed=task.split.seed,
            head_seed=task.split.seed,
        )
        folder = out / spec.run_id
        with stages.stage("score"):
            record, _ = score_predictions(
                track, file, folder, task, facts, spec, Budget(), outside=True, naming=naming, made_for=made_for
            )
    return hand_in(track, record, folder, leaderboards)
