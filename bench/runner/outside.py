"""From a predictions file to a record: of a run, or of a file that any tool wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bench.core.console import Stages
from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.data.naming import CONDITION, Naming
from bench.data.task import Task
from bench.results import records, store
from bench.results.records import Budget, Kind, Record
from bench.results.spec import RunSpec
from bench.runner.config import check_row_name, task_fields
from bench.runner.handed_in import on_its_genes
from bench.tracks.response import plausible, predicted_states, predictions, score
from bench.tracks.response.control_noise import control_noise
from bench.tracks.response.predictions import ControlsUsed, Predicted, controls_used
from bench.tracks.response.track import TRACK
from bench.tracks.response.truth import truth
from bench.tracks.response.truth.fields import Truth

#: The column of the conditions is the one that names the most of them.
ANY = Naming()
_PROVENANCE = {"data_hash": "data hash", "split_id": "split id"}


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
    kind: Kind = "model",
    fitted: Record | None = None,
    outside: bool = False,
    naming: Naming = predictions.OURS,
    made_for: Mapping[str, str] | None = None,
) -> tuple[Record, score.Scored]:
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
        kind: What its row is.
        fitted: Record of the run that made the predictions, where they are scored again.
        outside: Whether the predictions are of another tool: then what they say of themselves is not believed. Values
            that cannot be expression are refused, and such as carry the noise of the reference controls lose their
            skill; a model that was fitted here is warned of.
        naming: How the file names conditions, contexts and genes.
        made_for: What the file may say that it was made for, where that is not the task itself.

    Returns:
        The record, and what was scored by condition.

    Raises:
        BenchError: Predictions that cannot be scored.
    """
    expected = {"data_hash": task.dataset.hash, "split_id": task.split.split_id}
    predicted = predictions.read(path, facts.units, facts.genes, made_for or expected, naming)
    used, doubts = _examine(path, predicted, task, facts, outside)
    states = predicted_states.check(path, predicted.states, facts)
    scored = score.score_table(facts, predicted.y_hat, predicted.fallbacks, predicted.cells, states)
    table = score.table_of(scored)
    sha, dirty = records.git_state()
    if fitted is not None:
        dirty = bool(dirty or fitted.git_dirty)
    record = Record(
        track=TRACK.name,
        track_version=spec.scoring_version,
        run_id=spec.run_id,
        spec=spec,
        kind=kind,
        evidence=task.dataset.evidence,
        created=records.now(),
        controls_used=used,
        hashes={
            "data": task.dataset.hash,
            "split": task.split.split_id,
            "truth": truth.task_id(task),
            "predictions": sha256_file(path),
            **inputs,
        },
        git_sha=sha,
        git_dirty=dirty,
        fit_git_sha=None if fitted is None else fitted.fit_git_sha or fitted.git_sha,
        packages=records.package_versions() if fitted is None else fitted.packages,
        hardware=records.hardware() if fitted is None else fitted.hardware,
        budget=budget,
        selection=selection,
        warnings=(*task.dataset.notes, *task.split.notes, *warnings, *doubts, *_without_states(facts)),
    )
    record, table = records.with_values(record, table)
    records.write(record_path(folder), record, table)
    return record, scored


def _without_states(facts: Truth) -> list[str]:
    """Say why ``state_r`` has no value, once per reason."""
    tested = {facts.contexts[c]: facts.state_reasons[c] for c in np.unique(facts.context).tolist()}
    reasons = dict.fromkeys(reason for reason in tested.values() if reason)
    lacking = {reason: [name for name, why in tested.items() if why == reason] for reason in reasons}
    return [
        f"no state_r in {', '.join(names[:3])}{', ...' * (len(names) > 3)}: {why}" for why, names in lacking.items()
    ]


def _examine(
    path: Path, predicted: Predicted, task: Task, facts: Truth, outside: bool
) -> tuple[ControlsUsed, tuple[str, ...]]:
    """Ask of predictions what they do not say: which controls they were really made from, and what to distrust.

    Raises:
        BenchError: Predictions of another tool that cannot be expression.
    """
    verdict = plausible.judge(task, facts, predicted.y_hat)
    if outside and verdict.refusal:
        raise BenchError(f"{path}: {verdict.refusal}.")
    doubts = [*([verdict.refusal] if verdict.refusal else []), *verdict.warnings]
    if predicted.column != CONDITION:
        doubts.append(f"its conditions were read from obs['{predicted.column}']")
    absent = [what for key, what in _PROVENANCE.items() if not predicted.uns.get(key)]
    if absent:
        doubts.append(
            f"{records.PROVENANCE}the file names no {' and no '.join(absent)}: nobody can tell that it was made for "
            "this task"
        )
    used = controls_used(predicted.uns)
    noise = control_noise(task, facts, predicted.y_hat)
    if used == "input" and noise.found:
        doubts.append(
            f"{records.PROVENANCE}the predictions carry the noise of the reference controls (loading "
            f"{noise.loading:.2f}, p = {noise.p:.1g}; an honest file has none): they were not made from the input "
            "controls alone"
        )
        used = "all" if outside else used
    return used, tuple(doubts)


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
            facts = truth.load(task)
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
                file, folder, task, facts, spec, Budget(), outside=True, naming=naming, made_for=made_for
            )
    return hand_in(record, folder, leaderboards)
