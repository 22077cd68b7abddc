"""What a record is made of, and what the code that claims to have made it has today."""

from __future__ import annotations

from functools import cache

from bench.core.track import Track
from bench.results.records import Record


def schema_of(record: Record) -> dict[str, str]:
    """The schema that a record names: of the record, its track, its model and its arguments."""
    out = {"record schema": str(record.schema_version), "scoring": str(record.track_version)}
    if _model(record) is not None:
        out["model version"] = str(record.spec.model_version)
        out |= {f"argument {name}": "known" for name in record.spec.arguments}
    return out


def expected_schema(track: Track, record: Record) -> dict[str, str]:
    """The same of the code. Arguments that are new since are left out: their defaults change no record."""
    out = {"record schema": str(Record.model_fields["schema_version"].default), "scoring": str(track.version)}
    if (model := _model(record)) is not None:
        version, arguments = model
        out["model version"] = str(version)
        out |= {f"argument {name}": "known" for name in record.spec.arguments if name in arguments}
    return out


def _model(record: Record) -> tuple[int, frozenset[str]] | None:
    return None if record.kind == "reference" else _registered(record.spec.model)


@cache
def _registered(name: str) -> tuple[int, frozenset[str]] | None:
    """Version and arguments of a model of ours; a class from elsewhere is never imported because a record names it."""
    from bench.models import registry

    if name not in registry.entries():
        return None
    model = registry.load(name)
    return int(model.version), frozenset(registry.arguments(model))
