"""From a predictions file to a record: of a run, or of a file that any tool wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from bench.core.console import Stages
from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.data import load as data_load
from bench.data.splits import split as splits
from bench.data.task import Task
from bench.models import registry
from bench.results import records, store
from bench.results.board import REPLICATE
from bench.results.records import Budget, Record
from bench.results.spec import RunSpec
from bench.runner.config import task_fields
from bench.tracks.response import predictions, score
from bench.tracks.response.track import FLOOR, TRACK
from bench.tracks.response.truth import truth
from bench.tracks.response.truth.fields import Truth


def score_predictions(
    path: Path,
    folder: Path,
    task: Task,
    facts: Truth,
    spec: RunSpec,
    budget: Budget,
    selection: str | None = None,
    warnings: Sequence[str] = (),
    inputs: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Record, pd.DataFrame]:
    """Score a predictions file and write ``record.parquet`` and ``record.json``.

    Args:
        path: The predictions.
        folder: Where the record goes.
        task: The task.
        facts: Its truth.
        spec: The run's spec.
        budget: What the run cost.
        selection: How hyperparameters were chosen.
        warnings: What the model has to say about its fit.
        inputs: Hashes of what the model was given beside the task.

    Returns:
        The record and its per-condition table.
    """
    expected = {"data_hash": task.dataset.hash, "split_id": task.split.split_id}
    predicted = predictions.read(path, facts.units, facts.genes, expected)
    evaluated = set(facts.conditions)
    groups = {name: [c for c in names if c in evaluated] for name, names in task.split.subgroups.items()}
    groups = {name: names for name, names in groups.items() if names}
    scored = score.score_table(facts, predicted.y_hat, predicted.fallbacks, groups, predicted.cells)
    table = score.table_of(scored)
    sha, dirty = records.git_state()
    record = Record(
        track=TRACK.name,
        track_version=spec.scoring_version,
        run_id=spec.run_id,
        spec=spec,
        evidence=task.dataset.evidence,
        created=records.now(),
        controls_used=predicted.uns["controls_used"],
        hashes={
            "data": task.dataset.hash,
            "split": task.split.split_id,
            "truth": truth.task_id(task),
            "predictions": sha256_file(path),
            **inputs,
        },
        git_sha=sha,
        git_dirty=dirty,
        packages=records.package_versions(),
        hardware=records.hardware(),
        budget=budget,
        selection=selection,
        warnings=(*task.dataset.notes, *task.split.notes, *warnings),
        values_hash=table.hash,
    )
    records.write(record_path(folder), record, table)
    return record, scored


def record_path(folder: Path) -> Path:
    """Where the record of a run's predictions is in its folder."""
    return folder / f"{TRACK.file}.json"


def hand_in(record: Record, folder: Path, leaderboards: Path) -> Path:
    """Put the record of a run's folder under the leaderboards; return its path in the run's folder.

    Raises:
        BenchError: Its table is damaged, or the records that are there are.
    """
    path = record_path(folder)
    store.add(leaderboards, TRACK, [(record, records.read_table(TRACK, path, record))])
    return path


def score_file(
    file: Path,
    name: str | None,
    data_name: str,
    kind: str | None,
    split_file: Path | None,
    seed: int,
    fold: int,
    out: Path,
    leaderboards: Path,
) -> Path:
    """Score a predictions file that any tool wrote; return the record's path.

    Args:
        file: The predictions; one row per condition is enough.
        name: The row's name; absent = the file's own.
        data_name: Data set, card or file.
        kind: Split kind; absent = the card's default.
        split_file: JSON of a custom split.
        seed: Split seed.
        fold: Control fold.
        out: Folder of the runs.
        leaderboards: Folder that gets the record.

    Raises:
        BenchError: Bad input; a name that is a registered model's or could leave its folder.
    """
    if not file.is_file():
        raise BenchError(f"no such file: {file}")
    with Stages(4) as stages:
        card, _ = data_load.resolve(data_name)
        with stages.stage(f"read {card.name}"):
            dataset = data_load.load(card)
        with stages.stage("split"):
            split = splits.draw(dataset, kind or card.split, seed, fold, split_file)
        with stages.stage("truth"):
            facts = truth.load(Task(dataset, split))
        label = name or file.stem
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}", label):
            raise BenchError(
                f"row name {label!r}: expected letters, digits and . _ + - (up to 64); choose one by --name."
            )
        if label in {*registry.entries(), REPLICATE, FLOOR}:
            raise BenchError(f"row name '{label}' is that of a registered model; choose another by --name.")
        spec = RunSpec(
            **task_fields(Task(dataset, split)),
            model=label,
            model_version=0,  # nobody here vouches for it
            arguments={},
            variant={},
            pretrain_seed=seed,
            head_seed=seed,
        )
        folder = out / spec.run_id
        with stages.stage("score"):
            record, _ = score_predictions(file, folder, Task(dataset, split), facts, spec, Budget())
    return hand_in(record, folder, leaderboards)
