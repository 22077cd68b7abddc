"""The one place that calls the stages in their order: data, split, truth, fit, predict, score, record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bench.core.console import Stages, note
from bench.core.errors import BenchError
from bench.core.files import write_json
from bench.data import load as data_load
from bench.data.splits import split as splits
from bench.data.task import Task
from bench.models import registry
from bench.results import records
from bench.results.records import Budget, Record
from bench.results.spec import RunSpec
from bench.results.tables import ALL
from bench.runner import tracking
from bench.runner.config import RunConfig, make_model, spec_of
from bench.runner.outside import hand_in, record_path, score_predictions
from bench.tracks.response import score
from bench.tracks.response.track import TRACK
from bench.tracks.response.truth import truth

STAGES_PER_RUN = 5


def finished_run(request: RunConfig, spec: RunSpec) -> Path | None:
    """Look for the record of a run; where it is whole, put it under the leaderboards folder; return its path."""
    folder = request.out / spec.run_id
    record = _finished(folder)
    return None if record is None else hand_in(record, folder, request.leaderboards)


def run(request: RunConfig) -> list[Path]:
    """Run a model on every (seed, fold) asked for; return the records' paths.

    Raises:
        BenchError: Bad input of any kind.
    """
    make_model(request)  # a refused argument is told before anything is read
    card, guessed = data_load.resolve(request.data)
    if guessed:
        from bench.data.guess import to_yaml

        note(f"No card for {request.data}; guessed this one (save it as a .yaml and correct it if it is wrong):")
        note(to_yaml(card))
    tasks = [(seeds, fold) for seeds in request.seeds for fold in request.folds]
    paths, done = [], []
    with Stages(1 + STAGES_PER_RUN * len(tasks)) as stages:
        with stages.stage(f"read {card.name}"):
            dataset = data_load.load(card)
        for (split_seed, pretrain_seed, head_seed), fold in tasks:
            stages.title(f"{request.name} | {dataset.name} | seed {split_seed}" + (f" fold {fold}" if fold else ""))
            with stages.stage("split"):
                kind = request.split or card.split
                task = Task(dataset, splits.draw(dataset, kind, split_seed, fold, request.split_file))
            spec = spec_of(request, task, pretrain_seed, head_seed)
            folder = request.out / spec.run_id
            finished = None if request.force else _finished(folder)
            if finished and not registry.changed(request.model, finished.hashes):
                stages.skip(STAGES_PER_RUN - 1)
                done.append(spec.run_id)
            else:
                finished = _one(request, task, spec, folder, stages)
            paths.append(hand_in(finished, folder, request.leaderboards))
    for run_id in done:
        note(f"{run_id} is finished already (--force repeats it)")
    return paths


def _finished(folder: Path) -> Record | None:
    path = record_path(folder)
    if not path.is_file():
        return None
    try:
        record = records.read(path)
        records.read_table(TRACK, path, record)
        return record
    except BenchError as error:
        note(f"{error} Running it again.")
        return None


def _one(
    request: RunConfig,
    task: Task,
    spec: RunSpec,
    folder: Path,
    stages: Stages,
) -> Record:
    from bench.data.datamodule import PerturbationDataModule
    from bench.runner import fit as run_stage
    from bench.training.fit import FitContext

    with stages.stage("truth"):
        facts = truth.load(task)
    model = make_model(request)
    module = PerturbationDataModule(task, seed=spec.pretrain_seed)
    write_json(folder / "split.json", {**task.split.model_dump(mode="json"), "split_id": task.split.split_id})
    write_json(folder / "spec.json", spec.model_dump(mode="json"))
    logger = tracking.start(request.tracking, folder, spec.run_id, spec.label, spec.model_dump(mode="json"))
    with stages.stage("fit"):
        runtime = FitContext(
            spec.head_seed, logger, request.out / "encoders", request.arguments, request.force, stages.say
        )
        costs = run_stage.fit(model, module, spec.pretrain_seed, runtime)
    if logger and (latents := run_stage.val_latents(model, module)):
        _picture(folder / "embedding.png", *latents, spec.label, logger)
    with stages.stage("predict"):
        costs |= run_stage.predict(model, module, folder / "predictions.h5ad", spec, logger)
    with stages.stage("score"):
        ledger = model.fit_report
        budget = Budget(
            cells_seen=ledger.cells_seen,
            steps=ledger.steps,
            flops=ledger.flops,
            trials=ledger.trials,
            parameters=ledger.parameters,
            **costs,
        )
        record, table = score_predictions(
            folder / "predictions.h5ad",
            folder,
            task,
            facts,
            spec,
            budget,
            ledger.selection,
            model.warnings,
            model.inputs,
        )
        if logger:
            levels = {name: level.model_dump() for name, level in score.levels(table)[ALL].items()}
            tracking.finish(logger, levels, budget.model_dump(), score.wide(table))
    return record


def _picture(path: Path, latents: NDArray[Any], condition: Sequence[str], label: str, logger: Any) -> None:
    from bench.reports.figures import embedding
    from bench.reports.figures.style import render, write

    drawn = embedding.table(latents, condition)
    write(path, render(embedding.chart(drawn, f"{label}: latents of {len(drawn):,} val cells"))["png"])
    tracking.picture(logger, "val_cells", path)
