"""The record of one encoder on one split: what the protocol found, and what is needed to compute it again."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd

from bench.data.dataset import Dataset
from bench.results import records, tables
from bench.results.records import Record
from bench.results.spec import RunSpec
from bench.results.tables import Table
from bench.results.trained import UNTRAINED, Trained
from bench.tracks.representation.scores import RepresentationScores
from bench.tracks.representation.track import TRACK

#: Name of the file in a run's folder.
FILE = f"{TRACK.file}.json"


def make(
    dataset: Dataset,
    spec: RunSpec,
    kind: Literal["model", "reference"],
    scores: RepresentationScores,
    wall_s: float,
    inputs: Mapping[str, str] = MappingProxyType({}),
    trained: Trained = UNTRAINED,
) -> tuple[Record, Table]:
    """Put a record together.

    Args:
        dataset: The cells.
        spec: What was trained.
        kind: ``reference`` rows stand beside the encoders, unranked.
        scores: From :func:`bench.tracks.representation.protocol.evaluate`.
        wall_s: Seconds that embedding and protocol took.
        inputs: Hashes of what defines the encoder beside the spec, and of latents that the run left.
        trained: What making the encoder cost, and how its settings were chosen.

    Returns:
        The record and its values by unit.
    """
    sha, dirty = records.git_state()
    table = tables.from_long(TRACK, _long(dataset, scores))
    record = Record(
        track=TRACK.name,
        track_version=TRACK.version,
        run_id=spec.run_id,
        spec=spec,
        kind=kind,
        evidence=dataset.evidence,
        created=records.now(),
        controls_used="input",
        hashes={"data": dataset.hash, "split": spec.split_id, **inputs},
        git_sha=sha,
        git_dirty=dirty,
        packages=records.package_versions(),
        hardware=records.hardware(),
        budget=trained.budget.model_copy(update={"predict_s": round(wall_s, 3)}),
        selection=trained.selection,
        warnings=trained.warnings,
        numbers=dict(scores.numbers),
    )
    return records.with_values(record, table)


def _long(dataset: Dataset, scores: RepresentationScores) -> pd.DataFrame:
    """One row per unit and metric."""
    perturbations, contexts = (np.array(names, dtype=object) for names in zip(*scores.units))
    cells = [
        int((dataset.context[dataset.cells_of[name]] == dataset.contexts.index(context)).sum())
        for name, context in scores.units
    ]
    frames = [
        pd.DataFrame({"condition": perturbations, "context": contexts, "metric": name, "value": values, "cells": cells})
        for name, values in scores.values.items()
    ]
    return pd.concat(frames, ignore_index=True)
