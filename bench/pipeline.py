"""The one place that calls the stages in their order: data, split, truth, fit, predict, score, record."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from bench import leaderboard, predictions, records, score, tracking, truth
from bench.board import FLOOR, REPLICATE, board
from bench.console import Stages, note
from bench.data import load as data_load
from bench.data import splits
from bench.data.cells import PerturbationData
from bench.data.splits import Split
from bench.errors import BenchError
from bench.export import export
from bench.files import atomic, sha256_file, sha256_json, write_json
from bench.frozen.embedding import Embedder
from bench.models import registry
from bench.records import Budget, Record
from bench.spec import SCORING_VERSION, RunSpec
from bench.table import show
from bench.tables import ALL
from bench.tracking import Tracking
from bench.truth import Truth

STAGES_PER_RUN = 5


@dataclass(frozen=True)
class Request:
    """What ``bench run`` was asked for.

    Attributes:
        model: Registered name.
        arguments: Every constructor argument, resolved.
        variant: Those that differ from the defaults, or from the config's.
        data: Name, card or file.
        split: Kind; ``None`` = the card's default.
        split_file: JSON of a custom split.
        seeds: ``(split, pretrain, head)`` seeds of each run.
        folds: Control folds of each run.
        out: Folder of the runs.
        leaderboards: Folder that gets the records.
        force: Whether to repeat finished runs.
        tracking: wandb mode.
        config: Name of the shipped config that the arguments start from, if any.
    """

    model: str
    arguments: Mapping[str, Any]
    variant: Mapping[str, Any]
    data: str
    split: str | None
    split_file: Path | None
    seeds: Sequence[tuple[int, int, int]]
    folds: Sequence[int]
    out: Path
    leaderboards: Path
    force: bool
    tracking: Tracking
    config: str | None = None

    @property
    def name(self) -> str:
        """The row's name: the shipped config's, or the model's."""
        return self.config or self.model


def split_name(split: Split) -> str:
    """A split's name on boards: its kind; custom ones carry a hash of their lists, as each is a task of its own."""
    if split.kind != "custom":
        return split.kind
    lists = {part: getattr(split, part) for part in ("train", "val", "test")}
    return f"custom-{sha256_json(lists)[:8]}"


def _task(data: PerturbationData, split: Split) -> dict[str, Any]:
    """The fields of a spec that say which task it is."""
    return {
        "dataset": data.name,
        "data_hash": data.hash,
        "split": split_name(split),
        "split_seed": split.seed,
        "control_fold": split.control_fold,
        "split_id": split.split_id,
    }


def spec_of(request: Request, data: PerturbationData, split: Split, pretrain_seed: int, head_seed: int) -> RunSpec:
    """Resolve what is to be run on a task: everything that decides its numbers."""
    return RunSpec(
        **_task(data, split),
        model=request.name,
        model_version=registry.load(request.model).version,
        arguments=dict(request.arguments),
        variant=dict(request.variant),
        pretrain_seed=pretrain_seed,
        head_seed=head_seed,
    )


def finished_run(request: Request, spec: RunSpec) -> Path | None:
    """Look for the record of a run; where it is whole, put it under the leaderboards folder and return its path."""
    folder = request.out / spec.run_id
    record = _finished(folder)
    return None if record is None else _join(record, folder, request.leaderboards)


def run(request: Request) -> list[Path]:
    """Run a model on every (seed, fold) asked for; return the records' paths.

    Raises:
        BenchError: Bad input of any kind.
    """
    model_class = registry.load(request.model)
    card, guessed = data_load.resolve(request.data)
    if guessed:
        from bench.data.guess import to_yaml

        note(f"No card for {request.data}; guessed this one (save it as a .yaml and correct it if it is wrong):")
        note(to_yaml(card))
    tasks = [(seeds, fold) for seeds in request.seeds for fold in request.folds]
    paths, done = [], []
    with Stages(1 + STAGES_PER_RUN * len(tasks)) as stages:
        with stages.stage(f"read {card.name}"):
            data = data_load.load(card)
        for (split_seed, pretrain_seed, head_seed), fold in tasks:
            stages.title(f"{request.name} | {data.name} | seed {split_seed}" + (f" fold {fold}" if fold else ""))
            with stages.stage("split"):
                split = splits.draw(data, request.split or card.split, split_seed, fold, request.split_file)
            spec = spec_of(request, data, split, pretrain_seed, head_seed)
            folder = request.out / spec.run_id
            if not request.force and (finished := _finished(folder)):
                stages.skip(STAGES_PER_RUN - 1)
                done.append(spec.run_id)
            else:
                finished = _one(request, model_class, data, split, spec, folder, stages)
            paths.append(_join(finished, folder, request.leaderboards))
    for run_id in done:
        note(f"{run_id} is finished already (--force repeats it)")
    return paths


def _finished(folder: Path) -> Record | None:
    path = folder / "record.json"
    if not path.is_file():
        return None
    try:
        return records.read(path)
    except BenchError as error:
        note(f"{error} Running it again.")
        return None


def _one(
    request: Request,
    model_class: Any,
    data: PerturbationData,
    split: Split,
    spec: RunSpec,
    folder: Path,
    stages: Stages,
) -> Record:
    from bench import run as run_stage
    from bench.data.datamodule import PerturbationDataModule
    from bench.models.base import Runtime

    with stages.stage("truth"):
        facts = truth.load(data, split)
    try:
        model = model_class(**request.arguments)
    except ValueError as error:
        raise BenchError(f"model '{request.model}': {error}.") from error
    module = PerturbationDataModule(data, split, seed=spec.pretrain_seed)
    write_json(folder / "split.json", {**split.model_dump(mode="json"), "split_id": split.split_id})
    write_json(folder / "spec.json", spec.model_dump(mode="json"))
    logger = tracking.start(request.tracking, folder, spec.run_id, spec.label, spec.model_dump(mode="json"))
    with stages.stage("fit"):
        runtime = Runtime(
            spec.head_seed, logger, request.out / "encoders", request.arguments, request.force, stages.say
        )
        costs = run_stage.fit(model, module, spec.pretrain_seed, runtime)
    if logger and (latents := run_stage.val_latents(model, module)):
        _picture(folder / "embedding.png", *latents, spec.label, logger)
    with stages.stage("predict"):
        costs |= run_stage.predict(model, module, folder / "predictions.h5ad", spec, logger)
    with stages.stage("score"):
        ledger = model.ledger
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
            data,
            split,
            facts,
            spec,
            budget,
            ledger.selection,
            model.warnings,
            model.inputs,
        )
        if logger:
            levels = {name: level.model_dump() for name, level in record.metrics.items()}
            tracking.finish(logger, levels, budget.model_dump(), score.wide(table))
    return record


def _picture(path: Path, latents: NDArray[Any], condition: Sequence[str], label: str, logger: Any) -> None:
    from bench.figures import embedding
    from bench.figures.style import render, write

    drawn = embedding.table(latents, condition)
    write(path, render(embedding.chart(drawn, f"{label}: latents of {len(drawn):,} val cells"))["png"])
    tracking.picture(logger, "val_cells", path)


def encoder_of(request: Request, seeds: tuple[int, int, int]) -> tuple[PerturbationData, Split, Embedder, str, RunSpec]:
    """Make (or take from the checkpoint of a finished run) a model's frozen encoder.

    Args:
        request: Model, data and split.
        seeds: ``(split, pretrain, head)``.

    Returns:
        Cells, split, the encoder as a function of dense expression, the row's name, and the spec.

    Raises:
        BenchError: A model that has no encoder.
    """
    import lightning
    import torch

    from bench.data.datamodule import PerturbationDataModule
    from bench.models.base import Runtime
    from bench.models.encoder_model import EncoderModel

    split_seed, pretrain_seed, _ = seeds
    model_class = registry.load(request.model)
    if not issubclass(model_class, EncoderModel):
        raise BenchError(f"model '{request.model}' has no encoder to freeze; 'bench list models' shows those that do.")
    card, _ = data_load.resolve(request.data)
    data = data_load.load(card)
    split = splits.draw(data, request.split or card.split, split_seed, 0, request.split_file)
    spec = spec_of(request, data, split, pretrain_seed, pretrain_seed)  # without a head: one encoder, one record
    try:
        model = model_class(**request.arguments)
    except ValueError as error:
        raise BenchError(f"model '{request.model}': {error}.") from error
    model.runtime = Runtime(folder=request.out / "encoders", arguments=request.arguments, fresh=request.force)
    lightning.seed_everything(pretrain_seed, workers=True, verbose=False)
    note(f"{spec.label} | {data.name} | seed {split_seed}: encoder")
    model.freeze_encoder(PerturbationDataModule(data, split, seed=pretrain_seed))

    def embed(cells: NDArray[Any]) -> NDArray[Any]:
        with torch.inference_mode():
            return model.embed(torch.from_numpy(cells)).float().numpy()

    return data, split, embed, spec.label, spec


def score_predictions(
    path: Path,
    folder: Path,
    data: PerturbationData,
    split: Split,
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
        data: The cells.
        split: The split.
        facts: Its truth.
        spec: The run's spec.
        budget: What the run cost.
        selection: How hyperparameters were chosen.
        warnings: What the model has to say about its fit.
        inputs: Hashes of what the model was given beside the task.

    Returns:
        The record and its per-condition table.
    """
    expected = {"data_hash": data.hash, "split_id": split.split_id}
    predicted = predictions.read(path, facts.conditions, facts.genes, facts.contexts, facts.weights, expected)
    evaluated = set(facts.conditions)
    groups = {name: [c for c in names if c in evaluated] for name, names in split.subgroups.items()}
    groups = {name: names for name, names in groups.items() if names}
    table = score.score_table(facts, predicted.y_hat, predicted.fallbacks, groups, predicted.cells)
    table_path = folder / "record.parquet"
    with atomic(table_path) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")
    fell_back = {c for c, n in zip(facts.conditions, predicted.fallbacks.tolist(), strict=True) if n}
    averages = score.levels(table)
    sha, dirty = records.git_state()
    record = Record(
        run_id=spec.run_id,
        spec=spec,
        evidence=data.evidence,
        created=records.now(),
        metrics=averages[ALL],
        subgroups=score.sizes(averages),
        n_conditions=len(facts.conditions),
        n_fallback=len(fell_back),
        controls_used=predicted.uns["controls_used"],
        hashes={
            "data": data.hash,
            "split": split.split_id,
            "truth": truth.task_id(data, split),
            "predictions": sha256_file(path),
            "table": sha256_file(table_path),
            **inputs,
        },
        git_sha=sha,
        git_dirty=dirty,
        packages=records.package_versions(),
        hardware=records.hardware(),
        budget=budget,
        selection=selection,
        warnings=(*data.notes, *split.notes, *warnings),
    )
    records.write(folder / "record.json", record)
    return record, table


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
            data = data_load.load(card)
        with stages.stage("split"):
            split = splits.draw(data, kind or card.split, seed, fold, split_file)
        with stages.stage("truth"):
            facts = truth.load(data, split)
        label = name or file.stem
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}", label):
            raise BenchError(
                f"row name {label!r}: expected letters, digits and . _ + - (up to 64); choose one by --name."
            )
        if label in {*registry.entries(), REPLICATE, FLOOR}:
            raise BenchError(f"row name '{label}' is that of a registered model; choose another by --name.")
        spec = RunSpec(
            **_task(data, split),
            model=label,
            model_version=0,  # nobody here vouches for it
            arguments={},
            variant={},
            pretrain_seed=seed,
            head_seed=seed,
        )
        folder = out / spec.run_id
        with stages.stage("score"):
            record, _ = score_predictions(file, folder, data, split, facts, spec, Budget())
    return _join(record, folder, leaderboards)


def _join(record: Record, folder: Path, leaderboards: Path) -> Path:
    target = records.place(leaderboards, record.spec)
    records.copy(folder / "record.json", target)
    return target


def print_boards(folders: Sequence[Path], of: Sequence[Path]) -> None:
    """Print the board of each (data set, split) that these records belong to, over the seeds that they have.

    Args:
        folders: Leaderboards folders to merge, the first one's records winning.
        of: Paths of records.
    """
    fresh = [records.read(path) for path in of]
    for dataset, split in dict.fromkeys((r.spec.dataset, r.spec.split) for r in fresh):
        seeds = sorted({r.spec.split_seed for r in fresh if (r.spec.dataset, r.spec.split) == (dataset, split)})
        found = leaderboard.collect(folders, dataset)
        data_hash, version = fresh[0].spec.data_hash, SCORING_VERSION
        current = [
            item
            for item in found
            if item.record.spec.data_hash == data_hash and item.record.spec.scoring_version == version
        ]
        if len(current) < len(found):
            note(f"{len(found) - len(current)} records of other data or an older scoring are left out of this table")
        # Variants of other models would make the table of one run long; 'bench leaderboard' shows them all.
        own = {record.spec.label for record in fresh}
        everything = leaderboard.group(current)[dataset, split]
        items = [item for item in everything if not item.record.spec.variant or item.record.spec.label in own]
        hidden = {item.record.spec.label for item in everything} - {item.record.spec.label for item in items}
        table = board(items, seeds=seeds)
        if table.empty:
            note(f"{dataset} | {split}: only control fold 1 was run; boards show fold 0.")
            continue
        used = [
            item.record for item in items if item.record.spec.split_seed in seeds and item.record.spec.control_fold == 0
        ]
        show(table, used, seeds)
        if hidden:
            note(f"{len(hidden)} variants of models are not shown; 'bench leaderboard' prints them.")


def describe_split(name: str, kind: str | None, seed: int, fold: int, custom: Path | None) -> str:
    """``bench data split``: the split as JSON."""
    card, _ = data_load.resolve(name)
    data = data_load.load(card)
    return json.dumps(splits.draw(data, kind or card.split, seed, fold, custom).summary(), indent=1)


def export_task(name: str, kind: str | None, seed: int, fold: int, custom: Path | None, out: Path) -> list[Path]:
    """``bench data export``: write what a model may see; return the paths."""
    card, _ = data_load.resolve(name)
    data = data_load.load(card)
    return export(data, splits.draw(data, kind or card.split, seed, fold, custom), out)
