"""Rows of a small board with their predictions, and a suite that claims something of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from harness import BUDGET, small

from bench.data.datamodule import PerturbationDataModule
from bench.models import registry as models
from bench.results import everything, predictions, records, shifts, store
from bench.results.claim import Claim
from bench.results.shifts import Rows
from bench.results.spec import RunSpec
from bench.results.tables import ALL
from bench.runner import fit as stages
from bench.runner.config import task_fields
from bench.runner.kept_predictions import input_means
from bench.runner.outside import score_predictions
from bench.sweep.suite import Block, kind
from bench.tracks import registry
from bench.tracks.response.track import TRACK
from bench.tracks.response.truth import truth

CLAIM = Claim(name="sums", better="additive", worse=("train_mean",), data="tiny", split="doubles", min_conditions=8)
SUITE = kind()(
    name="small",
    runs=(Block(models=("additive", "train_mean"), data=("tiny",), splits=("doubles",)),),
    claims=(CLAIM,),
)
#: The same suite, of whose rows nothing need be kept.
UNKEPT = SUITE.model_copy(update={"unkept": ("run tiny__doubles additive", "run tiny__doubles train_mean")})
LEARNED = ("latent_additive", "cpa_like")


def scored(name, task, folder, moved=None, **fields):
    """Fit a model, predict, score: the record, its table, and genes and shifts as they are kept."""
    model, module, facts = models.load(name)(**small(name)), PerturbationDataModule(task), truth.load(task)
    spec = RunSpec(
        **{**task_fields(task), "model": name, "model_version": model.version, "arguments": {}, "variant": {},
           "pretrain_seed": 1, "head_seed": 1, **fields}
    )  # fmt: skip
    path = folder / f"{spec.run_id}.h5ad"
    stages.fit(model, module, 1)
    stages.predict(model, module, path, spec)
    if moved is not None:
        moved(path, task)
    budget = BUDGET.model_copy(update={"steps": 10 if name in LEARNED else 0, "fit_s": 1 + np.random.random()})
    made = score_predictions(TRACK, path, folder / spec.run_id, task, facts, spec, budget, kind=model.row_kind)
    record, table = records.with_values(made[0], made[1].table)
    y_hat = predictions.read(path, facts.units, facts.genes, {}).y_hat
    inputs = input_means(task)
    shift = y_hat - np.stack([inputs[unit.context] for unit in facts.units])
    place = {tuple(unit): i for i, unit in enumerate(facts.units)}
    order = [place[tuple(unit)] for unit in table.task.units[ALL]]
    return record, table, Rows(facts.genes, shift[order], levels=2048)


def board_of(folder: Path) -> store.Board:
    """The one board of a folder."""
    (board,) = store.boards(folder, TRACK)
    return board


def failures(report):
    return [check for check in report.checks if check.status == "failed"]


def caught(report, code, name, *words):
    """Whether exactly such failures are there as are expected: of this kind, and one that names all words."""
    found = failures(report)
    assert report.exit_code == code, found
    assert any(check.name == name and all(w in f"{check.subject} {check.detail}" for w in words) for check in found), (
        found
    )
    return found


def again(folder, change, shift=None):
    """Rewrite the board as somebody would who knows how files are made: all hashes fit. ``change``: record, table."""
    board = board_of(folder)
    kept, book = [], board.kept
    for entry in board.entries():
        kept.append(change(entry.record, entry.table))
    if shift is not None:
        book = shift(book)
        named = [
            (r.model_copy(update={"hashes": {**r.hashes, shifts.HASH: book.digest(r.run_id)}}), t) for r, t in kept
        ]
        kept = named
    board.write(kept, book)
    everything.regenerate(registry.tracks(), folder)


def first(board, label):
    return next(entry for entry in board.entries() if entry.record.spec.label == label)


def edited(entry, metric, field, by, of_task=False):
    """The same with one number another, of its own or of its task."""
    table, m = entry.values, list(entry.track.metrics).index(metric)
    numbers = dict((table.task if of_task else table).numbers)
    column = numbers[field] = numbers[field].copy()
    column[np.flatnonzero(np.isfinite(column[:, m]))[0], m] += by
    changed = {"task": replace(table.task, numbers=numbers)} if of_task else {"numbers": numbers}
    return replace(entry, load=lambda: replace(table, **changed))
