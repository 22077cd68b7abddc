"""``record.json``: one run, with everything needed to check it or to compute it again, and a checksum of all that."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.core.errors import BenchError
from bench.core.files import atomic, safe_name, sha256_file, write_text
from bench.results.spec import RunSpec

_PACKAGES = (
    "perturb-ssl-bench",
    "torch",
    "lightning",
    "cell-gears",
    "numpy",
    "scipy",
    "pandas",
    "anndata",
    "illico",
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


class Level(_Strict):
    """One metric of one run, averaged over conditions. ``None`` = undefined.

    Attributes:
        mean: Mean over the conditions where it is defined.
        ci_low: Lower 95% bound over conditions.
        ci_high: Upper 95% bound.
        n: Conditions in the mean.
        n_undefined: Conditions left out because of the truth (the same for every model).
        n_degenerate: Conditions that got the chance value because of the prediction.
        floor: The same mean for ``train_mean``.
        replicate: Half of a condition's cells predicting the other half, averaged over halvings both ways.
        skill: Where the model stands between floor (0) and replicate (1).
        skill_reason: Why skill is ``None``.
    """

    mean: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int
    n_undefined: int
    n_degenerate: int
    floor: float | None
    replicate: float | None
    skill: float | None = None
    skill_reason: str | None = None


class Budget(_Strict):
    """What a run cost. Times in seconds, memory in MiB; ``None`` = not known, as for predictions of another tool."""

    cells_seen: int | None = None
    steps: int | None = None
    flops: float | None = None
    trials: int | None = None
    parameters: dict[str, int] | None = None
    fit_s: float | None = None
    predict_s: float | None = None
    peak_memory_mib: float | None = None


class Record(_Strict):
    """One scored run (see :class:`~bench.results.spec.RunSpec` for its identity).

    Attributes:
        schema_version: Of this file.
        run_id: 12 hex digits.
        spec: The resolved spec.
        evidence: ``smoke`` data show rows, but carry no claim.
        created: UTC, ISO 8601.
        metrics: Over all evaluated test conditions.
        subgroups: Evaluated conditions by subgroup and by tertile of effect strength; their numbers are in the table.
        n_conditions: Evaluated test conditions.
        n_fallback: Conditions of which a constituent fell back.
        controls_used: Which controls the predictions were made from.
        hashes: Of every input and output.
        git_sha: Commit of the code, where it lies in a repository.
        git_dirty: Whether that tree had uncommitted changes.
        packages: Versions.
        hardware: Processor, cores, accelerator.
        budget: Costs.
        selection: How hyperparameters were chosen.
        warnings: What a reader should know before believing the row.
    """

    schema_version: Literal[1] = 1
    run_id: str
    spec: RunSpec
    evidence: str
    created: str
    metrics: dict[str, Level]
    subgroups: dict[str, int]
    n_conditions: int
    n_fallback: int
    controls_used: Literal["input", "all", "unknown"]
    hashes: dict[str, str]
    git_sha: str | None
    git_dirty: bool | None
    packages: dict[str, str]
    hardware: dict[str, str | int]
    budget: Budget
    selection: str | None
    warnings: tuple[str, ...]


def now() -> str:
    """The current time, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@functools.cache
def git_state() -> tuple[str | None, bool | None]:
    """Commit of this code and whether its tree is dirty; ``(None, None)`` outside a repository."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(Path(__file__).resolve().parent), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # An environment may lie inside somebody else's repository: only one that tracks this very file is ours.
    ours = git("ls-files", "--error-unmatch", Path(__file__).name) is not None
    sha = git("rev-parse", "HEAD") if ours else None
    # Records that a run has just added do not make the code another code.
    changed = git("status", "--porcelain", "--", ":/", ":!/leaderboards") if sha else None
    return sha, None if changed is None else bool(changed)


@functools.cache
def package_versions() -> dict[str, str]:
    """Versions of the packages that decide numbers."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, str | int]:
    """Kind of processor and number of cores; not the name of the machine."""
    model = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    return {"processor": model, "cores": os.cpu_count() or 1, "system": platform.system()}


#: A record's second line: the hash of all its other lines.
_CHECKSUM = re.compile(rb'^  "checksum": "([0-9a-f]{64})",\n', re.MULTILINE)


def _hash(before: bytes, after: bytes) -> bytes:
    return hashlib.sha256(before + after).hexdigest().encode()


def read(path: Path) -> Record:
    """Read a record and check that it, its id and its table are what was written.

    Raises:
        BenchError: Damaged, of another schema, edited, without its table, or with a name that could leave its folder.
    """
    try:
        blob = path.read_bytes().replace(b"\r\n", b"\n")  # git on Windows
        checksum = _CHECKSUM.search(blob)
        # One changed digit would still be a number: the content is compared before it is believed.
        if not checksum or checksum[1] != _hash(blob[: checksum.start()], blob[checksum.end() :]):
            raise ValueError("damaged, edited, or written by an older version: its checksum is not that of its content")
        record = Record.model_validate_json(blob[: checksum.start()] + blob[checksum.end() :])
    except FileNotFoundError as error:
        raise BenchError(f"no such record: {path}") from error
    except (OSError, ValueError) as error:  # ValidationError is a ValueError
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise BenchError(f"{path}: not a valid record ({reason}). Delete it and run again.") from error
    if record.run_id != record.spec.run_id:
        raise BenchError(
            f"{path}: run_id {record.run_id} is not that of its spec ({record.spec.run_id}): edited by hand?"
        )
    try:
        for kind, name in _names(record):
            safe_name(kind, name)
        table = path.with_suffix(".parquet")
        if not table.is_file():
            raise BenchError(f"its table {table.name} is missing. Run again.")
    except BenchError as error:
        raise BenchError(f"{path}: {error}") from error
    if sha256_file(table) != record.hashes.get("table"):
        raise BenchError(f"{table}: changed since its record was written. Delete both and run again.")
    return record


def _names(record: Record) -> Iterator[tuple[str, str]]:
    """What of a record becomes part of a path."""
    yield from (("data set", record.spec.dataset), ("split", record.spec.split), ("model", record.spec.model))
    yield from (("subgroup", name) for name in record.subgroups)


def write(path: Path, record: Record) -> None:
    """Write a record atomically, with the checksum of its content.

    Its table must be there already, so that a record is never without one.
    """
    text = json.dumps(record.model_dump(mode="json"), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    before, after = "{\n", text.removeprefix("{\n") + "\n"
    checksum = _hash(before.encode(), after.encode()).decode()
    write_text(path, f'{before}  "checksum": "{checksum}",\n{after}')


def place(folder: Path, spec: RunSpec) -> Path:
    """Where a record belongs under a leaderboards folder.

    Raises:
        BenchError: A name that is no name of a folder.
    """
    for kind, name in (("data set", spec.dataset), ("model", spec.model)):
        safe_name(kind, name)
    return folder / "records" / spec.dataset / spec.model / f"{spec.run_id}.json"


def copy(source: Path, target: Path) -> None:
    """Copy a record and its table, the table first, each atomically."""
    for suffix in (".parquet", ".json"):
        with atomic(target.with_suffix(suffix)) as temporary:
            shutil.copyfile(source.with_suffix(suffix), temporary)
