"""The record of one encoder on one split: the protocol's numbers, and what is needed to compute them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pandas as pd

from bench.data.dataset import Dataset
from bench.results import records, tables
from bench.results.records import Budget, Record
from bench.results.spec import RunSpec
from bench.results.tables import Table
from bench.tracks.representation.track import TRACK

#: Name of the file in a run's folder.
FILE = f"{TRACK.file}.json"


def make(
    dataset: Dataset,
    spec: RunSpec,
    kind: Literal["model", "reference"],
    numbers: Mapping[str, float | None],
    wall_s: float,
    values: pd.DataFrame | None = None,
) -> tuple[Record, Table | None]:
    """Put a record together.

    Args:
        dataset: The cells.
        spec: What was trained.
        kind: ``reference`` rows stand beside the encoders, unranked.
        numbers: From :func:`bench.tracks.representation.protocol.evaluate`.
        wall_s: Seconds that embedding and protocol took.
        values: Values by unit (see :func:`bench.results.tables.from_long`), where the protocol gives some: what they
            are means of is then no number of the whole run.

    Returns:
        The record and its values by unit.
    """
    sha, dirty = records.git_state()
    table = None if values is None else tables.from_long(TRACK, values)
    kept = {name: value for name, value in numbers.items() if table is None or name not in TRACK.metrics}
    record = Record(
        track=TRACK.name,
        track_version=TRACK.version,
        run_id=spec.run_id,
        spec=spec,
        kind=kind,
        evidence=dataset.evidence,
        created=records.now(),
        controls_used="input",
        hashes={"data": dataset.hash, "split": spec.split_id},
        git_sha=sha,
        git_dirty=dirty,
        packages=records.package_versions(),
        hardware=records.hardware(),
        budget=Budget(predict_s=round(wall_s, 3)),
        selection=None,
        warnings=(),
        numbers=kept,
        values_hash=None if table is None else table.hash,
    )
    return record, table
