"""The record of one row under one data seed and one training seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.results import records
from bench.results.records import Budget, Kind, Record
from bench.results.spec import RunSpec
from bench.tracks.identifiability.problem import SPLIT, Problem
from bench.tracks.identifiability.track import TRACK

FILE = f"{TRACK.file}.json"


@dataclass(frozen=True)
class Row:
    """Who made the latents.

    Attributes:
        name: Name of the row.
        kind: See :class:`bench.results.records.Record`.
        version: Of what made them.
        arguments: Its arguments, resolved.
        variant: Those that differ from what the row's name stands for.
    """

    name: str
    kind: Kind = "model"
    version: int = 1
    arguments: Mapping[str, Any] = field(default_factory=dict)
    variant: Mapping[str, Any] = field(default_factory=dict)


def spec_of(problem: Problem, row: Row, seed: int) -> RunSpec:
    """Everything that decides a record's numbers.

    A board is of one data set: here of one generator with its parameters, whose seeds take the place of split seeds.
    ``split_id`` names the very cells.

    Args:
        problem: The screen.
        row: Who makes the latents.
        seed: Of the training.
    """
    return RunSpec(
        dataset=problem.name,
        data_hash=problem.family,
        split=SPLIT,
        split_seed=problem.seed,
        control_fold=0,
        split_id=problem.split_id,
        model=row.name,
        model_version=row.version,
        arguments=dict(row.arguments),
        variant=dict(row.variant),
        pretrain_seed=seed,
        head_seed=seed,
    )


def make(
    problem: Problem,
    spec: RunSpec,
    row: Row,
    numbers: Mapping[str, float],
    budget: Budget,
    warnings: Sequence[str] = (),
    selection: str | None = None,
) -> Record:
    """Put a record together; what is undefined is null.

    Args:
        problem: The screen.
        spec: From :func:`spec_of`.
        row: Who made the latents.
        numbers: From :func:`bench.tracks.identifiability.score.score`.
        budget: What it cost.
        warnings: What the model has to say about its fit.
        selection: How its step was chosen.
    """
    sha, dirty = records.git_state()
    said = (problem.unanswerable,) if problem.unanswerable else ()
    return Record(
        track=TRACK.name,
        track_version=TRACK.version,
        run_id=spec.run_id,
        spec=spec,
        kind=row.kind,
        evidence=problem.dataset.evidence,
        created=records.now(),
        controls_used="input",
        hashes={"data": problem.dataset.hash, "split": spec.split_id},
        git_sha=sha,
        git_dirty=dirty,
        packages=records.package_versions(),
        hardware=records.hardware(),
        budget=budget,
        selection=selection,
        warnings=(*said, *warnings),
        numbers={name: float(value) if np.isfinite(value) else None for name, value in numbers.items()},
    )
