"""``frozen.json``: what the protocol found for one encoder on one split, and what is needed to compute it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, model_validator

from bench.core.errors import BenchError
from bench.core.files import safe_name, sha256_json, write_text
from bench.core.typing import Floats
from bench.data.dataset import Dataset
from bench.results import records
from bench.results.spec import RunSpec
from bench.tracks.representation.metrics import METRICS, NAMES, VERSION
from bench.tracks.representation.scores import RepresentationScores, defined_mean

#: Name of the file in a run's folder.
FILE = "frozen.json"
#: A number and the mean over units that it is may differ by this: the order of a sum.
_ROUNDING = 1e-9


class FrozenRecord(BaseModel):
    """One encoder on the held-out cells of one split.

    Attributes:
        schema_version: Of this file; 1 had no values per unit and no checksum.
        run_id: 12 hex digits of the spec's hash.
        label: The row's name.
        kind: ``reference`` rows stand beside the encoders, unranked.
        spec: What was trained (data, split and seeds included).
        protocol_version: :data:`bench.tracks.representation.metrics.VERSION`.
        seed: Seed of the protocol's draws: the split's, so that all encoders meet the same draws.
        evidence: ``smoke`` data show rows, but carry no claim.
        created: UTC, ISO 8601.
        width: Dimensions of the embedding.
        numbers: See :data:`bench.tracks.representation.metrics.NAMES`; ``None`` = undefined.
        units: (perturbation, context) of each unit ``[U]``.
        values: A value per unit for each of :data:`bench.tracks.representation.metrics.METRICS` ``[U]``; ``None`` =
            undefined.
        wall_s: Seconds that embedding and protocol took.
        git_sha: Commit of the code, where it lies in a repository.
        git_dirty: Whether that tree had uncommitted changes.
        packages: Versions.
        hardware: Processor, cores.
        warnings: What a reader should know before believing the row.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=(), allow_inf_nan=False)

    schema_version: Literal[1, 2] = 2
    run_id: str
    label: str
    kind: Literal["model", "reference"]
    spec: RunSpec
    protocol_version: int
    seed: int
    evidence: str
    created: str
    width: int
    numbers: dict[str, float | None]
    units: tuple[tuple[str, str], ...] = ()
    values: dict[str, tuple[float | None, ...]] = {}
    wall_s: float
    git_sha: str | None
    git_dirty: bool | None
    packages: dict[str, str]
    hardware: dict[str, str | int]
    warnings: tuple[str, ...]

    @model_validator(mode="after")
    def _consistent(self) -> FrozenRecord:
        if self.run_id != self.spec.run_id:
            raise ValueError(f"run_id {self.run_id} is not that of its spec ({self.spec.run_id})")
        if self.protocol_version == VERSION:
            for what, found, expected in (("numbers", self.numbers, NAMES), ("values", self.values, METRICS)):
                if odd := sorted(set(found) ^ set(expected)):
                    raise ValueError(f"{what} missing or unknown: {', '.join(odd[:3])}")
        for name, values in self.values.items():
            if len(values) != len(self.units):
                raise ValueError(f"{name} has {len(values)} values for {len(self.units)} units")
            mean, number = defined_mean(self.per_unit(name)), self.numbers.get(name)
            if (mean is None) != (number is None) or abs((mean or 0.0) - (number or 0.0)) > _ROUNDING:
                raise ValueError(f"{name} is {number}, but the mean of its values over units is {mean}")
        return self

    def per_unit(self, name: str) -> Floats:
        """A metric's value for each unit ``[U]``; NaN = undefined."""
        return np.array([np.nan if value is None else value for value in self.values[name]], dtype=np.float64)


def make(
    dataset: Dataset,
    spec: RunSpec,
    label: str,
    kind: Literal["model", "reference"],
    scores: RepresentationScores,
    wall_s: float,
) -> FrozenRecord:
    """Put a record together.

    Args:
        dataset: The cells.
        spec: What was trained.
        label: The row's name.
        kind: See :class:`FrozenRecord`.
        scores: From :func:`bench.tracks.representation.protocol.evaluate`.
        wall_s: Seconds it took.
    """
    sha, dirty = records.git_state()
    return FrozenRecord(
        run_id=spec.run_id,
        label=label,
        kind=kind,
        spec=spec,
        protocol_version=VERSION,
        seed=spec.split_seed,
        evidence=dataset.evidence,
        created=records.now(),
        width=int(scores.numbers["width"] or 0),
        numbers=scores.summary(),
        units=scores.units,
        values={
            name: tuple(value if np.isfinite(value) else None for value in values.tolist())
            for name, values in scores.values.items()
        },
        wall_s=round(wall_s, 3),
        git_sha=sha,
        git_dirty=dirty,
        packages=records.package_versions(),
        hardware=records.hardware(),
        warnings=(),
    )


def read(path: Path) -> FrozenRecord:
    """Read a record and check that it is what was written.

    Raises:
        BenchError: Damaged, of another schema, edited, or with a name that could leave its folder.
    """
    try:
        content = json.loads(path.read_bytes())
        checksum = content.pop("checksum", None) if isinstance(content, dict) else None
        record = FrozenRecord.model_validate_json(json.dumps(content))
        # A number that contradicts the others has been named above; any other change shows in the checksum.
        if record.schema_version > 1 and checksum != sha256_json(content):
            raise ValueError("edited or damaged: its checksum is not that of its content")
    except FileNotFoundError as error:
        raise BenchError(f"no such record: {path}") from error
    except (OSError, ValueError) as error:  # ValidationError and JSONDecodeError are ValueErrors
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise BenchError(f"{path}: not a valid frozen-encoder record ({reason}). Delete it and run again.") from error
    try:
        _check_names(record.spec)
    except BenchError as error:
        raise BenchError(f"{path}: {error}") from error
    return record


def write(path: Path, record: FrozenRecord) -> None:
    """Write a record atomically, with the checksum of its content (absent in records of schema 1, as they were)."""
    unset = {"units", "values"} if record.schema_version == 1 else None
    content = record.model_dump(mode="json", exclude=unset)
    if record.schema_version > 1:
        content["checksum"] = sha256_json(content)
    write_text(path, _text(content))


def _text(content: Mapping[str, JsonValue]) -> str:
    """JSON with a line for each number, and one for all values of a metric."""
    lines = []
    for key, value in sorted(content.items()):
        if isinstance(value, dict) and value:
            inner = (f"    {json.dumps(name)}: {_compact(item)}" for name, item in sorted(value.items()))
            lines.append(f"  {json.dumps(key)}: {{\n" + ",\n".join(inner) + "\n  }")
        else:
            lines.append(f"  {json.dumps(key)}: {_compact(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _compact(value: JsonValue) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)


def place(folder: Path, spec: RunSpec) -> Path:
    """Where a record belongs under a leaderboards folder.

    Raises:
        BenchError: A name that is no name of a folder.
    """
    _check_names(spec)
    return folder / "frozen" / spec.dataset / spec.model / f"{spec.run_id}.json"


def _check_names(spec: RunSpec) -> None:
    for kind, name in (("data set", spec.dataset), ("model", spec.model)):
        safe_name(kind, name)
