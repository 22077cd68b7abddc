"""Fit a model once, let it predict every candidate of a task, and score what would be chosen by these predictions."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.core.console import Stages, note
from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.core.track import Track
from bench.core.typing import Floats
from bench.core.units import Unit
from bench.data.task import Task
from bench.results import records
from bench.results.finished import finished as finished_record
from bench.results.predictions import write
from bench.results.records import Record
from bench.results.spec import RunSpec
from bench.runner import pipeline
from bench.runner.config import RunConfig, budget_of, make_model
from bench.runner.model_choice import sources
from bench.runner.outside import hand_in, record_path
from bench.tracks import registry

if TYPE_CHECKING:
    from bench.data.datamodule import PerturbationDataModule
    from bench.models.base import PerturbationModel

#: Name of the predictions in a run's folder.
PREDICTIONS = "candidates.h5ad"
#: With more candidates in a context than this, they are predicted from fewer control cells: the same for all of them,
#: so that nobody is told apart by the cells that it was predicted from.
MANY, FEW_CELLS = 500, 32


def run(track: Track, config: RunConfig, task: Task | None = None, shown: bool = True) -> list[Path]:
    """Evaluate a model on every (seed, fold) asked for; return the records' paths.

    Args:
        track: The track.
        config: What to run.
        task: A task that is in memory already, instead of the data and split that the configuration names.
        shown: Whether progress is printed.

    Raises:
        BenchError: Bad input of any kind.
    """
    make_model(config)  # a refused argument is told before anything is read
    paths, done = [], []
    for each, spec, stages in pipeline.tasks(config, task, shown):
        path = record_path(track, config.out / spec.run_id)
        record = None if config.force else finished_record(track, path, spec, sources(config.model))
        if record:
            stages.skip(pipeline.STAGES_PER_RUN - 1)
            done.append(spec.run_id)
        else:
            record = _one(track, config, each, spec, path, stages)
        paths.append(hand_in(track, record, path.parent, config.leaderboards))
    for run_id in done if shown else ():
        note(f"{run_id} is finished already (--force repeats it)")
    return paths


def finished(track: Track, config: RunConfig, spec: RunSpec) -> Path | None:
    """Look for the record of a run; where it is whole, put it under the leaderboards folder and return its path."""
    folder = config.out / spec.run_id
    record = finished_record(track, record_path(track, folder), spec, sources(config.model))
    return None if record is None else hand_in(track, record, folder, config.leaderboards)


def _one(track: Track, config: RunConfig, task: Task, spec: RunSpec, path: Path, stages: Stages) -> Record:
    from bench.data.datamodule import PerturbationDataModule
    from bench.runner.own_latents import own_latents

    evaluation = registry.evaluation(track)
    with stages.stage("truth"):
        whole, units = evaluation.asked(task)
        evaluation.prepare(task)
    module = PerturbationDataModule(whole, seed=spec.pretrain_seed, asked=units)
    model, costs = pipeline.fit(config, module, spec, stages)
    with stages.stage("predict"):
        begin = time.perf_counter()
        means = predict(model, module, config.name)
        costs["predict_s"] = time.perf_counter() - begin
        written = path.with_name(PREDICTIONS)
        fallbacks = {unit: model.fallbacks(unit.perturbation) for unit in units}
        _write(written, means, fallbacks, module, spec)
    with stages.stage("score"):
        latents = own_latents(model, module, *evaluation.latents_asked(task))
        hashes = {"predictions": sha256_file(written), **model.inputs}
        stored = {unit: mean.astype(np.float32) for unit, mean in means.items()}  # as the file has them
        budget, selection = budget_of(model.fit_report, costs), model.fit_report.selection
        record: Record
        record, table = evaluation.evaluate(
            task, stored, fallbacks, spec, model.row_kind, budget, selection, model.warnings, hashes, latents
        )
        records.write(path, record, table)
    return record


def predict(
    model: PerturbationModel, module: PerturbationDataModule, name: str, most: int | None = None
) -> dict[Unit, Floats]:
    """Predicted mean expression ``[G]`` of every unit that a model was told that it will be asked for.

    Where not all input cells are used, the predicted shift from those that are is added to the mean of all.

    Args:
        model: Fitted.
        module: The task, and the units.
        name: The model's, for messages.
        most: Control cells that are used at most; absent = all of them, of over 500 candidates :data:`FEW_CELLS`.

    Raises:
        BenchError: The model predicts NaN, infinity or another shape.
    """
    import torch

    data, found = module.dataset, dict[Unit, Floats]()
    model.eval()
    for context, cells in enumerate(module.input_rows):
        units = [unit for unit in module.predicted_units if unit.context == data.contexts[context]]
        if not units:
            continue
        used = cells[: most or (len(cells) if len(units) <= MANY else FEW_CELLS)]
        controls = torch.from_numpy(data.x[used].toarray())
        asked = [data.conditions.index(unit.perturbation) for unit in units]
        means = model.predict_means(controls.to(model.device), asked, context).cpu().numpy()
        if means.shape != (len(units), len(module.genes)) or not np.isfinite(means).all():
            bad = "another shape than [genes]" if means.shape[1:] != (len(module.genes),) else "NaN or infinity"
            raise BenchError(f"model '{name}' predicted {bad}: nothing was scored.")
        moved = means - controls.double().mean(dim=0).numpy() + module.input_means[context]
        found |= dict(zip(units, moved, strict=True))
    return found


def _write(
    path: Path, means: dict[Unit, Floats], fallbacks: dict[Unit, int], module: PerturbationDataModule, spec: RunSpec
) -> None:
    obs = pd.DataFrame(
        {
            "condition": [unit.perturbation for unit in means],
            "context": [unit.context for unit in means],
            "fallbacks": [fallbacks[unit] for unit in means],
        }
    )
    uns = {"run_id": spec.run_id, "model": spec.model, "data_hash": spec.data_hash, "split_id": spec.split_id}
    values = np.array(list(means.values()), dtype=np.float32)
    write(path, values, obs, module.genes, {**uns, "controls_used": "input"})
