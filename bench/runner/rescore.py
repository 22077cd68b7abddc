"""Predictions that an earlier scoring left behind are scored again: a new metric needs no new fit."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.core.track import Track
from bench.results import records
from bench.results.records import Record
from bench.results.spec import RunSpec
from bench.runner.outside import record_path

#: Name of the file in a run's folder.
PREDICTIONS = "predictions.h5ad"


class Kept(NamedTuple):
    """A run of an earlier scoring: its record, and its predictions, which are those that the record names by hash."""

    record: Record
    predictions: Path


def earlier(track: Track, out: Path, spec: RunSpec) -> Kept | None:
    """Find the newest run under a folder that differs from a spec by an earlier scoring version alone.

    A model's own ``version`` is part of the spec: a model that has changed is fitted again. Of a class from elsewhere
    the caller compares the hash of its file.

    Args:
        track: The track.
        out: Folder of the runs.
        spec: What is to be run.
    """
    for version in range(spec.scoring_version - 1, 0, -1):
        before = spec.model_copy(update={"scoring_version": version})
        folder = out / before.run_id
        path = folder / PREDICTIONS
        if not path.is_file() or not record_path(track, folder).is_file():
            continue
        try:
            record = records.read(record_path(track, folder))
        except BenchError:
            continue
        if record.spec == before and record.hashes.get("predictions") == sha256_file(path):
            return Kept(record, path)
    return None
