"""Whether a run is done: its record is whole, and of the code, the data and the arguments of today."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.core.console import note
from bench.core.errors import BenchError
from bench.core.track import Track
from bench.results import records
from bench.results.records import Record
from bench.results.spec import RunSpec


def finished(track: Track, path: Path, spec: RunSpec, inputs: Mapping[str, str]) -> Record | None:
    """Read the record of a run's folder, if it is whole and what the code as it is now would make.

    Args:
        track: The track.
        path: Where the record would be.
        spec: What is to be run: its versions, data and arguments are today's.
        inputs: Hashes of files that define the model and have no version of ours, by name.

    Returns:
        The record; ``None`` where there is none, or where the run is to be done again, which is said.
    """
    if not path.is_file():
        return None
    try:
        record = records.read(path)
        records.read_table(track, path, record)
    except BenchError as error:
        note(f"{error} Running it again.")
        return None
    if reason := _outdated(record, track, spec, inputs):
        note(f"{path}: {reason}. Running it again.")
        return None
    return record


def _outdated(record: Record, track: Track, spec: RunSpec, inputs: Mapping[str, str]) -> str:
    """Say why a record is not of today's code and data; empty where it is."""
    if record.track != track.name:
        return f"a record of the track '{record.track}', not of '{track.name}'"
    if record.track_version != track.version:
        return f"made by version {record.track_version} of the track '{track.name}', which is at {track.version}"
    old, new = record.spec.model_dump(), spec.model_dump()
    if changed := [name for name in new if old[name] != new[name]]:
        return f"its {changed[0]} was {old[changed[0]]} and is {new[changed[0]]}"
    if record.hashes.get("data", spec.data_hash) != spec.data_hash:
        return "made from other data"
    if edited := [name for name, value in inputs.items() if record.hashes.get(name) != value]:
        return f"the file of {edited[0]} has changed since"
    return ""
