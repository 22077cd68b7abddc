"""``record.json``: one run, with everything needed to check it or to compute it again."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.errors import BenchError
from bench.files import atomic, sha256_file, write_json
from bench.spec import RunSpec

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
    """What a run cost. Times in seconds, memory in MiB."""

    cells_seen: int
    steps: int
    flops: float | None
    trials: int
    parameters: dict[str, int]
    fit_s: float
    predict_s: float
    peak_memory_mib: float


class Record(_Strict):
    """One scored run (see :class:`~bench.spec.RunSpec` for its identity).

    Attributes:
        schema_version: Of this file.
        run_id: 12 hex digits.
        spec: The resolved spec.
        evidence: ``smoke`` data show rows, but carry no claim.
        created: UTC, ISO 8601.
        metrics: Over all evaluated test conditions.
        subgroups: The same by subgroup.
        n_conditions: Evaluated test conditions.
        n_fallback: Conditions of which a constituent fell back, over all and by subgroup.
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
    subgroups: dict[str, dict[str, Level]]
    n_conditions: int
    n_fallback: dict[str, int]
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


def read(path: Path) -> Record:
    """Read a record and check that its id and its table are what it says.

    Raises:
        BenchError: Damaged, of another schema, edited, or without its table.
    """
    try:
        record = Record.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise BenchError(f"no such record: {path}") from error
    except (OSError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise BenchError(f"{path}: not a valid record ({reason}). Delete it and run again.") from error
    if record.run_id != record.spec.run_id:
        raise BenchError(
            f"{path}: run_id {record.run_id} is not that of its spec ({record.spec.run_id}): edited by hand?"
        )
    table = path.with_suffix(".parquet")
    if not table.is_file():
        raise BenchError(f"{path}: its table {table.name} is missing. Run again.")
    if sha256_file(table) != record.hashes["table"]:
        raise BenchError(f"{table}: changed since its record was written. Delete both and run again.")
    return record


def write(path: Path, record: Record) -> None:
    """Write a record atomically; its table must be there already, so that a record is never without one."""
    write_json(path, record.model_dump(mode="json"))


def place(folder: Path, spec: RunSpec) -> Path:
    """Where a record belongs under a leaderboards folder."""
    return folder / "records" / spec.dataset / spec.model / f"{spec.run_id}.json"


def copy(source: Path, target: Path) -> None:
    """Copy a record and its table, the table first, each atomically."""
    for suffix in (".parquet", ".json"):
        with atomic(target.with_suffix(suffix)) as temporary:
            shutil.copyfile(source.with_suffix(suffix), temporary)
