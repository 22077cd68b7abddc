"""Run one model on one task without the command line, and make records by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from lightning.pytorch.loggers.logger import Logger

from bench.data.datamodule import PerturbationDataModule
from bench.data.dataset import Dataset
from bench.data.splits.split import Split
from bench.data.task import Task
from bench.models import registry
from bench.models.base import PerturbationModel
from bench.results import leaderboard, records, store
from bench.results.entries import BoardEntry
from bench.results.predictions import Predicted, read
from bench.results.records import Budget, Record
from bench.results.spec import RunSpec
from bench.results.tables import EFFECTS, Table, from_long
from bench.runner import fit as run
from bench.runner.outside import score_predictions
from bench.tracks.response.score import Scored
from bench.tracks.response.track import TRACK
from bench.tracks.response.truth import truth

BUDGET = Budget(
    cells_seen=1, steps=0, flops=None, trials=1, parameters={"fit": 3}, fit_s=1.0, predict_s=0.5, peak_memory_mib=1.0
)


#: Learned models in a fraction of a second: every stage is run, none to its end.
_SMALL: dict[str, Any] = {
    "width": 16,
    "hidden": 32,
    "depth": 1,
    "heads": 2,
    "predictor_depth": 1,
    "decoder_depth": 1,
    "epochs": 2,
    "min_steps": 10,
    "batch_size": 128,
    "head_width": 32,
    "head_depth": 1,
    "action_width": 16,
    "head_steps": 20,
    "head_seeds": 1,
}


#: Models whose encoder an objective pretrains, and those of them whose objective sees no label: a file each.
PRETRAINED = sorted(name for name, entry in registry.entries().items() if entry.module.startswith("bench.models.ssl."))
SELF_SUPERVISED = [name for name in PRETRAINED if name not in ("supervised", "biojepa_ac")]


class Diary(Logger):
    """A logger that keeps what is logged."""

    name, version = "diary", "0"

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Keep a line."""
        self.lines.append((step, dict(metrics)))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Keep nothing of it."""

    def curve(self, key: str) -> list[tuple[int | None, float]]:
        """A number over the steps."""
        return [(step, numbers[key]) for step, numbers in self.lines if key in numbers]


def small(name: str) -> dict[str, Any]:
    """Arguments that make a registered model quick to fit; a closed form has none of them."""
    known = registry.arguments(registry.load(name))
    return {key: value for key, value in _SMALL.items() if key in known}


def latents_of(dataset: Dataset, path: Path) -> dict[str, str]:
    """Write latents of all cells, a fixed projection of each, and return the argument that names the file."""
    axes = np.random.default_rng(0).normal(size=(len(dataset.genes), 8))
    cells = anndata.AnnData(obs=pd.DataFrame(index=dataset.barcodes), obsm={"X_mine": dataset.x @ axes})
    cells.write_h5ad(path)
    return {"encoder_embeddings": str(path), "key": "X_mine"}


def spec_of(name: str, task: Task) -> RunSpec:
    """A spec with default arguments."""
    dataset, split = task.dataset, task.split
    return RunSpec(
        dataset=dataset.name,
        data_hash=dataset.hash,
        split=split.kind,
        split_seed=split.seed,
        control_fold=split.control_fold,
        split_id=split.split_id,
        model=name,
        model_version=1,
        arguments={},
        variant={},
        pretrain_seed=1,
        head_seed=1,
    )


def predict(
    name: str, dataset: Dataset, split: Split, folder: Path, **arguments: Any
) -> tuple[PerturbationModel, PerturbationDataModule, Predicted]:
    """Fit a registered model (a learned one made small), predict, and read the predictions back."""
    return predict_task(name, Task(dataset, split), folder, **arguments)


def predict_task(
    name: str, task: Task, folder: Path, **arguments: Any
) -> tuple[PerturbationModel, PerturbationDataModule, Predicted]:
    """The same on a task, whose truth is computed once however many models are asked."""
    given = latents_of(task.dataset, folder / "cells.h5ad") if name == "embeddings" else {}
    model = registry.load(name)(**{**small(name), **given, **arguments})
    module = PerturbationDataModule(task)
    run.fit(model, module, 1)
    run.predict(model, module, folder / "p.h5ad", spec_of(name, task))
    facts = truth.load(task)
    return model, module, read(folder / "p.h5ad", facts.units, facts.genes, {})


def scored(name: str, dataset: Dataset, split: Split, folder: Path, **arguments: Any) -> tuple[Record, Scored]:
    """Fit, predict and score a registered model (a learned one made small)."""
    task = Task(dataset, split)
    predict_task(name, task, folder, **arguments)
    facts, spec = truth.load(task), spec_of(name, task)
    record, outcome = score_predictions(TRACK, folder / "p.h5ad", folder, task, facts, spec, BUDGET)
    return record, outcome.scored


N_MADE = 12
#: Metrics whose floor and replicate made-up tasks hold.
METRICS_MADE = (
    "pearson_delta",
    "discrimination",
    "shift_ratio",
    "signed_rank_z",
    "spearman_de",
    "shift_log_ratio",
    "r2",
    "wmse",
)
METRICS_MADE += ("de_recall@20", "de_recall@50")


def made_table(
    means: Mapping[str, float | None], floor: float, replicate: float, jitter: float, own_jitter: float | None = None
) -> pd.DataFrame:
    """A score table of 12 conditions whose values scatter around given means, alike for all models."""
    rng = np.random.default_rng(3)
    shape, rest = rng.permutation(np.linspace(-1, 1, N_MADE)), rng.permutation(np.linspace(-1, 1, N_MADE))
    common = shape * jitter
    scatter = (shape + rest / 3) * (jitter if own_jitter is None else own_jitter)
    # What a task says of a metric does not depend on which of them a model was measured by.
    given = [np.nan if (mean := means.get(metric)) is None else mean for metric in METRICS_MADE]
    value, n = np.add.outer(given, scatter).ravel(), len(METRICS_MADE)
    return pd.DataFrame(
        {
            "condition": [f"P{i:02d}+ctrl" for i in range(N_MADE)] * n,
            "subgroup": "unseen_single",
            "effect": [EFFECTS[i * 3 // N_MADE] for i in range(N_MADE)] * n,
            "metric": np.repeat(METRICS_MADE, N_MADE),
            "scope": "all",
            "value": value,
            "floor": np.tile(floor + common, n),
            "half_value": value,
            "half_floor": np.tile(floor + common, n),
            "half_replicate": np.tile(replicate + common, n),
            "degenerate": False,
            "fallbacks": ([1] * 3 + [0] * (N_MADE - 3)) * n,
            "cells": 50,
        }
    )


def made_spec(model: str, **changes: object) -> RunSpec:
    """A spec of a made-up task."""
    fields: dict[str, object] = {
        "dataset": "d",
        "data_hash": "h",
        "split": "simulation",
        "split_seed": 1,
        "control_fold": 0,
        "split_id": "s1",
        "model": model,
        "model_version": 1,
        "arguments": {},
        "variant": {},
        "pretrain_seed": 1,
        "head_seed": 1,
        **changes,
    }
    return RunSpec.model_validate(fields)


def bare_record(spec: RunSpec, **fields: object) -> Record:
    """A record of a spec, with nothing measured but what ``fields`` say."""
    known: dict[str, object] = {
        "track": TRACK.name,
        "track_version": spec.scoring_version,
        "run_id": spec.run_id,
        "spec": spec,
        "evidence": "full",
        "created": "2026-01-01T00:00:00Z",
        "controls_used": "input",
        "hashes": {},
        "git_sha": None,
        "git_dirty": None,
        "packages": {},
        "hardware": {},
        "budget": BUDGET,
        "selection": None,
        "warnings": (),
        **fields,
    }
    return Record.model_validate(known)


def made(
    model: str,
    means: Mapping[str, float | None],
    floor: float = 0.25,
    replicate: float = 0.75,
    jitter: float = 0.05,
    own_jitter: float | None = None,
    controls_used: str = "input",
    evidence: str = "full",
    created: str = "2026-01-01T00:00:00Z",
    git_dirty: bool | None = None,
    steps: int = 0,
    moved: bool = False,
    **spec: object,
) -> tuple[Record, Table]:
    """A record with these means, and its table; ``moved``: with bootstraps of the reference controls."""
    run_spec = made_spec(model, **spec)
    draws = {("all", "pearson_delta"): np.linspace(-0.01, 0.01, 5)} if moved else {}
    task_draws = {(*key, "replicate"): draw for key, draw in draws.items()}
    frame = made_table(means, floor, replicate, jitter, own_jitter)
    table = from_long(TRACK, frame, draws=draws, task_draws=task_draws)
    record = bare_record(
        run_spec,
        evidence=evidence,
        created=created,
        controls_used=controls_used,
        git_dirty=git_dirty,
        budget=BUDGET.model_copy(update={"steps": steps}),
    )
    return records.with_values(record, table)


def made_record(folder: Path, model: str, means: Mapping[str, float | None], **options: Any) -> Record:
    """Write a record with these means under a leaderboards folder."""
    record, table = made(model, means, **options)
    store.add(folder, TRACK, [(record, table)])
    return record


def made_records(
    folder: Path, rows: Mapping[str, Mapping[str, float | None]], seeds: Iterable[int] = (1, 2, 3), **options: Any
) -> None:
    """Write records with these means by model, one of each under every split seed, all at once: a board is packed once.

    Args:
        folder: Leaderboards folder.
        rows: Means by metric, by model.
        seeds: Split seeds.
        **options: As of :func:`made`.
    """
    each = [
        made(name, means, split_seed=seed, split_id=f"s{seed}", **options)
        for seed in seeds
        for name, means in rows.items()
    ]
    store.add(folder, TRACK, each)


def collect(*folders: Path) -> list[BoardEntry]:
    """All records of the response track under leaderboards folders."""
    return store.collect(TRACK, folders)


def groups(*folders: Path) -> dict[tuple[str, str], list[BoardEntry]]:
    """The same by (data set, split)."""
    return leaderboard.group(collect(*folders))


def one_entry(path: Path) -> BoardEntry:
    """The record of a run's folder, by its path."""
    record = records.read(path)
    return BoardEntry(TRACK, record, path, lambda: records.read_table(TRACK, path, record))
