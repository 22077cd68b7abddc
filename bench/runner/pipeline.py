"""The one place that calls the stages in their order: data, split, truth, fit, predict, score, record."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from bench.core.console import Stages, note
from bench.core.files import atomic, write_json
from bench.core.track import Track
from bench.data import guess as guessing
from bench.data import load as data_load
from bench.data import remarks
from bench.data.features.resolve import advice
from bench.data.splits import split as splits
from bench.data.task import Task
from bench.results.finished import finished
from bench.results.levels import headline, levels
from bench.results.records import Record
from bench.results.spec import RunSpec
from bench.results.tables import ALL
from bench.runner import tracking
from bench.runner.config import RunConfig, budget_of, make_model, spec_of
from bench.runner.model_choice import load_class, sources
from bench.runner.outside import hand_in, record_path, score_predictions
from bench.runner.rescore import PREDICTIONS, Kept, earlier
from bench.runner.saved import Fitted, check_saved, is_saved
from bench.tracks import registry

if TYPE_CHECKING:
    from bench.data.datamodule import PerturbationDataModule
    from bench.models.base import PerturbationModel

STAGES_PER_RUN = 5
#: Folder of a saved model, in that of its run.
MODEL = "model"


def finished_run(track: Track, config: RunConfig, spec: RunSpec) -> Path | None:
    """Look for the record of a run; where it is whole, put it under the leaderboards folder and return its path."""
    folder = config.out / spec.run_id
    record = finished(track, record_path(track, folder), spec, sources(config.model))
    return None if record is None else hand_in(track, record, folder, config.leaderboards)


def run(
    track: Track,
    config: RunConfig,
    task: Task | None = None,
    instance: PerturbationModel | None = None,
    shown: bool = True,
    fitted: dict[str, Fitted] | None = None,
) -> list[Path]:
    """Run a model on every (seed, fold) asked for; return the records' paths.

    Args:
        track: What predictions are evaluated by.
        config: What to run.
        task: A task that is in memory already; the config's data, split and folds are then not looked at.
        instance: The model as an object; each run fits a copy.
        shown: Whether progress is printed.
        fitted: Gets the models that were fitted, by run id.

    Raises:
        BenchError: Bad input of any kind.
    """
    made = make_model(config, instance)  # a refused argument is told before anything is read
    if config.save:
        check_saved(config.model, made)
    paths, done = [], []
    for each, spec, stages in tasks(config, task, shown):
        folder = config.out / spec.run_id
        again = config.force or (config.save and not is_saved(folder / MODEL))
        record = None if again else finished(track, record_path(track, folder), spec, sources(config.model))
        if record:
            stages.skip(STAGES_PER_RUN - 1)
            done.append(spec.run_id)
        else:
            record = _one(track, config, each, spec, folder, stages, instance, {} if fitted is None else fitted)
        paths.append(hand_in(track, record, folder, config.leaderboards))
    for run_id in done if shown else ():
        note(f"{run_id} is finished already (--force repeats it)")
    return paths


def tasks(config: RunConfig, given: Task | None, shown: bool) -> Iterator[tuple[Task, RunSpec, Stages]]:
    """Each task of a config with the spec of its run, and the progress to report to; the cells are read once."""
    if given is not None:
        _, pretrain_seed, head_seed = config.seeds[0]
        with Stages(STAGES_PER_RUN - 1, shown=shown) as stages:
            stages.title(_title(config, given))
            yield given, spec_of(config, given, pretrain_seed, head_seed), stages
        return
    card, guessed = data_load.resolve(config.data)
    if guessed:
        note(f"No card for {config.data}; guessed this one (save it as a .yaml and correct it if it is wrong):")
        for line in guessing.to_yaml(card).splitlines():  # a note is one line, and this is to be saved as it stands
            note(line)
    before, card = card, data_load.complete(card).card
    if filled := remarks.filled_in(before, card):
        note(f"The card of '{card.name}' does not say all; guessed from its file: {filled}")
    draws = [(seeds, fold) for seeds in config.seeds for fold in config.folds]
    with Stages(1 + STAGES_PER_RUN * len(draws), len(draws), shown) as stages:
        with stages.stage(f"read {card.name}"):
            dataset = data_load.load(card)
        if how := advice(dataset):
            note(how)
        for (split_seed, pretrain_seed, head_seed), fold in draws:
            name = f"{config.name} | {dataset.name} | seed {split_seed}" + (f" fold {fold}" if fold else "")
            stages.title(name)
            with stages.stage("split"):
                kind = config.split or card.split
                task = Task(dataset, splits.draw(dataset, kind, split_seed, fold, config.split_file))
            yield task, spec_of(config, task, pretrain_seed, head_seed), stages


def _title(config: RunConfig, task: Task) -> str:
    return f"{config.name} | {task.dataset.name} | seed {task.split.seed}"


def fit(
    config: RunConfig,
    module: PerturbationDataModule,
    spec: RunSpec,
    stages: Stages,
    instance: PerturbationModel | None = None,
    logger: Any = None,
) -> tuple[PerturbationModel, dict[str, float]]:
    """Fit a model on a task.

    Args:
        config: Model and arguments.
        module: The task, and what will be asked of the model.
        spec: What they resolve to.
        stages: Progress.
        instance: The model as an object.
        logger: Lightning logger.

    Returns:
        The fitted model, and what it cost: seconds, and MiB at the peak.
    """
    from bench.runner import fit as run_stage
    from bench.training.fit import FitContext

    model = make_model(config, instance)
    with stages.stage("fit"):
        # Checkpoints are told apart by arguments, which nobody vouches for where an object was given.
        kept = None if instance is not None else config.out / "encoders"
        context = FitContext(spec.head_seed, logger, kept, config.arguments, config.force, stages.say)
        return model, run_stage.fit(model, module, spec.pretrain_seed, context)


def fit_and_predict(
    config: RunConfig,
    task: Task,
    spec: RunSpec,
    path: Path,
    stages: Stages,
    instance: PerturbationModel | None = None,
    logger: Any = None,
) -> tuple[PerturbationModel, dict[str, float]]:
    """Fit a model on a task and write its predictions.

    Args:
        config: Model and arguments.
        task: The task.
        spec: What they resolve to.
        path: Where the predictions go.
        stages: Progress.
        instance: The model as an object.
        logger: Lightning logger.

    Returns:
        The fitted model, and what it cost: seconds, and MiB at the peak.
    """
    from bench.data.datamodule import PerturbationDataModule
    from bench.runner import fit as run_stage

    module = PerturbationDataModule(task, seed=spec.pretrain_seed)
    model, costs = fit(config, module, spec, stages, instance, logger)
    if logger and (latents := run_stage.val_latents(model, module)):
        _picture(path.with_name("embedding.png"), *latents, spec.label, logger)
    with stages.stage("predict"):
        costs |= run_stage.predict(model, module, path, spec, logger)
    return model, costs


def _one(
    track: Track,
    config: RunConfig,
    task: Task,
    spec: RunSpec,
    folder: Path,
    stages: Stages,
    instance: PerturbationModel | None,
    fitted: dict[str, Fitted],
) -> Record:
    with stages.stage("truth"):
        facts = registry.evaluation(track).prepare(task)
    write_json(folder / "split.json", {**task.split.model_dump(mode="json"), "split_id": task.split.split_id})
    write_json(folder / "spec.json", spec.model_dump(mode="json"))
    kept = None if config.force or config.save or instance is not None else earlier(track, config.out, spec)
    if kept is not None and sources(config.model).items() <= kept.record.hashes.items():
        return _score_again(track, config, task, spec, folder, stages, facts, kept)
    kind = (load_class(config.model) if instance is None else type(instance)).row_kind
    logger = tracking.start(config.tracking, folder, spec, kind, task.dataset.evidence)
    try:
        return _fitted(track, config, task, spec, folder, stages, instance, fitted, facts, logger)
    except BaseException:
        tracking.abort(logger)
        raise


def _fitted(
    track: Track,
    config: RunConfig,
    task: Task,
    spec: RunSpec,
    folder: Path,
    stages: Stages,
    instance: PerturbationModel | None,
    fitted: dict[str, Fitted],
    facts: Any,
    logger: Any,
) -> Record:
    """Fit, predict and score."""
    path = folder / PREDICTIONS
    model, costs = fit_and_predict(config, task, spec, path, stages, instance, logger)
    fitted[spec.run_id] = Fitted(config.model, model, config.arguments, task, spec)
    if config.save:
        fitted[spec.run_id].save(folder / MODEL)
    with stages.stage("score"):
        budget, selection = budget_of(model.fit_report, costs), model.fit_report.selection
        record, outcome = score_predictions(
            track, path, folder, task, facts, spec, budget, selection, model.warnings, model.inputs, model.row_kind
        )
        if logger:
            values = outcome.table
            numbers = tracking.summary(
                headline(track, values, record.honest),
                track.families,
                levels(track, values, record.honest)[ALL],
                budget.model_dump(),
            )
            tracking.finish(logger, numbers, tracking.by_condition(values), _artifacts(config, folder))
    return record


def _artifacts(config: RunConfig, folder: Path) -> list[tracking.Artifact]:
    """What is kept with a tracked run: its predictions, and its model where that was saved."""
    if not config.artifacts:
        return []
    model = [tracking.Artifact("model", folder / MODEL)] if is_saved(folder / MODEL) else []
    return [tracking.Artifact("predictions", folder / PREDICTIONS), *model]


def _score_again(
    track: Track,
    config: RunConfig,
    task: Task,
    spec: RunSpec,
    folder: Path,
    stages: Stages,
    facts: Any,
    kept: Kept,
) -> Record:
    """Score the predictions of an earlier scoring; what the fit cost and had to say stays as it was."""
    stages.skip(2)
    stages.say(f"scores the predictions of {kept.record.run_id} again (--force fits again)")
    path = folder / PREDICTIONS
    with atomic(path) as temporary:
        shutil.copyfile(kept.predictions, temporary)
    before = kept.record
    own = {"data", "split", "truth", "predictions"}
    said = [line for line in before.warnings if line not in {*task.dataset.notes, *task.split.notes}]
    with stages.stage("score"):
        record, _ = score_predictions(
            track,
            path,
            folder,
            task,
            facts,
            spec,
            before.budget,
            before.selection,
            said,
            {name: value for name, value in before.hashes.items() if name not in own},
            load_class(config.model).row_kind,
            before,
        )
    return record


def _picture(path: Path, latents: NDArray[Any], condition: Sequence[str], label: str, logger: Any) -> None:
    from bench.reports.figures import embedding
    from bench.reports.figures.style import render, write

    drawn = embedding.table(latents, condition)
    write(path, render(embedding.chart(drawn, f"{label}: latents of {len(drawn):,} val cells"))["png"])
    tracking.picture(logger, "val_cells", path)
