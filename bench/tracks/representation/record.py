"""``frozen.json``: the protocol's numbers for one encoder on one split, and what is needed to compute them again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from bench.core.errors import BenchError
from bench.core.files import safe_name, write_json
from bench.data.dataset import Dataset
from bench.results import records
from bench.results.spec import RunSpec
from bench.tracks.representation.protocol import NAMES, VERSION

#: Name of the file in a run's folder.
FILE = "frozen.json"


class FrozenRecord(BaseModel):
    """One encoder on the held-out cells of one split.

    Attributes:
        schema_version: Of this file.
        run_id: 12 hex digits of the spec's hash.
        label: The row's name.
        kind: ``reference`` rows stand beside the encoders, unranked.
        spec: What was trained (data, split and seeds included).
        protocol_version: :data:`bench.tracks.representation.protocol.VERSION`.
        seed: Seed of the protocol's draws: the split's, so that all encoders meet the same draws.
        evidence: ``smoke`` data show rows, but carry no claim.
        created: UTC, ISO 8601.
        width: Dimensions of the embedding.
        numbers: See :data:`bench.tracks.representation.protocol.NAMES`; ``None`` = undefined.
        wall_s: Seconds that embedding and protocol took.
        git_sha: Commit of the code, where it lies in a repository.
        git_dirty: Whether that tree had uncommitted changes.
        packages: Versions.
        hardware: Processor, cores.
        warnings: What a reader should know before believing the row.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=(), allow_inf_nan=False)

    schema_version: Literal[1] = 1
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
        if self.protocol_version == VERSION and set(self.numbers) != set(NAMES):
            odd = sorted(set(self.numbers) ^ set(NAMES))
            raise ValueError(f"numbers missing or unknown: {', '.join(odd[:3])}")
        return self


def make(
    dataset: Dataset,
    spec: RunSpec,
    label: str,
    kind: Literal["model", "reference"],
    numbers: Mapping[str, float | None],
    wall_s: float,
) -> FrozenRecord:
    """Put a record together.

    Args:
        dataset: The cells.
        spec: What was trained.
        label: The row's name.
        kind: See :class:`FrozenRecord`.
        numbers: From :func:`bench.tracks.representation.protocol.evaluate`.
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
        width=int(numbers["width"] or 0),
        numbers=dict(numbers),
        wall_s=round(wall_s, 3),
        git_sha=sha,
        git_dirty=dirty,
        packages=records.package_versions(),
        hardware=records.hardware(),
        warnings=(),
    )


def read(path: Path) -> FrozenRecord:
    """Read a record.

    Raises:
        BenchError: Damaged, of another schema, edited so that it contradicts itself, or with a name that could leave
            its folder.
    """
    try:
        record = FrozenRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise BenchError(f"no such record: {path}") from error
    except (OSError, ValueError) as error:  # ValidationError is a ValueError
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise BenchError(f"{path}: not a valid frozen-encoder record ({reason}). Delete it and run again.") from error
    try:
        _check_names(record.spec)
    except BenchError as error:
        raise BenchError(f"{path}: {error}") from error
    return record


def write(path: Path, record: FrozenRecord) -> None:
    """Write a record atomically."""
    write_json(path, record.model_dump(mode="json"))


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
