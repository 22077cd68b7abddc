"""One record: a run with everything needed to check it or to compute it again, and a checksum of all that.

In a run's folder it is ``record.json`` beside ``record.parquet``; see :mod:`bench.results.store` for leaderboards.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import subprocess
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from bench.core.door.documents import read_bytes
from bench.core.door.limits import JSON_BYTES
from bench.core.errors import BenchError
from bench.core.files import canonical_json, safe_name, sha256_json, write_text
from bench.core.track import Track
from bench.results import parquet
from bench.results.spec import RunSpec
from bench.results.tables import Table

_PACKAGES = (
    "perturb-ssl-bench",
    "torch",
    "lightning",
    "cell-gears",
    "numpy",
    "scipy",
    "pandas",
    "anndata",
    "scikit-learn",
    "illico",
)


#: How dates are written, and by how much the clocks of two machines may differ.
_DATE, _SKEW = "%Y-%m-%dT%H:%M:%SZ", timedelta(minutes=5)
#: Begins a warning about where a row is from, not about its data: such a row supports no claim.
PROVENANCE = "provenance: "
#: Begins a warning that the data of a row allow no claim.
NO_CLAIM = "no claim:"
#: What a row is.
Kind = Literal["model", "control", "head-room", "reference"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


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
    """One run that was evaluated by one track (see :class:`~bench.results.spec.RunSpec` for its identity).

    What follows from its values (means, intervals, skill) is not stored: boards compute it.

    Attributes:
        schema_version: Of this schema.
        track: Name of the track.
        track_version: The track's version: of everything between predictions, or embeddings, and this record.
        run_id: 12 hex digits.
        spec: The resolved spec.
        kind: A ``model``; a ``control``, which knows nothing that it should be credited for (a mean, an encoder that
            was never trained); ``head-room``: it is given what no model can know, and is not ranked; a ``reference``
            stands beside the models of a board, not ranked.
        evidence: ``smoke`` data show rows, but carry no claim.
        created: UTC, ISO 8601.
        controls_used: Which controls the predictions were made from.
        hashes: Of every input and output.
        git_sha: Commit of the code, where it lies in a repository.
        git_dirty: Whether that tree had uncommitted changes.
        fit_git_sha: Commit of the code that made the predictions, where an earlier scoring left them behind.
        packages: Versions.
        hardware: Processor, cores, accelerator.
        budget: Costs.
        selection: How hyperparameters were chosen.
        warnings: What a reader should know before believing the row.
        numbers: Numbers of the whole run that no unit has a value of; ``None`` = undefined.
        values_hash: Hash of its values by unit (:attr:`bench.results.tables.Table.hash`), which :func:`with_values`
            fills in; ``None`` = it has none.
        status: Why a task could not be asked as it was meant, in one word; empty (and then not written) = it was.
    """

    schema_version: Literal[2] = 2
    track: str
    track_version: int
    run_id: str
    spec: RunSpec
    kind: Kind = "model"
    evidence: str
    created: str
    controls_used: Literal["input", "all", "unknown"]
    hashes: dict[str, str]
    git_sha: str | None
    git_dirty: bool | None
    fit_git_sha: str | None = None
    packages: dict[str, str]
    hardware: dict[str, str | int]
    budget: Budget
    selection: str | None
    warnings: tuple[str, ...]
    numbers: dict[str, float | None] = {}
    values_hash: str | None = None
    status: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Record:
        if self.run_id != self.spec.run_id:
            raise ValueError(f"run_id {self.run_id} is not that of its spec ({self.spec.run_id}): edited by hand?")
        return self

    @property
    def task(self) -> str:
        """What decides floor and replicate: 12 hex digits of data, split and the track's version."""
        spec = self.spec
        facts = [spec.data_hash, spec.split, spec.split_id, spec.split_seed, spec.control_fold, self.track_version]
        return sha256_json(facts)[:12]

    @property
    def honest(self) -> bool:
        """Whether it was made from the input controls: anything else gets no skill, rank or claim."""
        return self.controls_used == "input"

    @property
    def doubts(self) -> tuple[str, ...]:
        """Its warnings about where it is from: a row that has one supports no claim."""
        return tuple(line.removeprefix(PROVENANCE) for line in self.warnings if line.startswith(PROVENANCE))

    @property
    def unanswerable(self) -> str:
        """Its warning that its data allow no claim; empty = they do."""
        return next((line for line in self.warnings if line.startswith(NO_CLAIM)), "")

    @property
    def learned(self) -> bool:
        """Whether it was trained in steps, so that another processor gives other digits."""
        return bool(self.budget.steps)


def with_values(record: Record, table: Table) -> tuple[Record, Table]:
    """Give a record its values, as exact as such a record keeps them (:mod:`bench.results.precision`), and their hash.

    Args:
        record: A record; what it says of its values is replaced.
        table: Its values, as they were measured.
    """
    kept = table.as_kept(record.learned)
    return record.model_copy(update={"values_hash": kept.hash}), kept


def now() -> str:
    """The current time, UTC, to the second."""
    return datetime.now(UTC).strftime(_DATE)


def in_the_future(created: str) -> bool:
    """Whether a date is later than the clock says, by more than the clocks of two machines differ."""
    return created > (datetime.now(UTC) + _SKEW).strftime(_DATE)


@functools.cache
def git_state() -> tuple[str | None, bool | None]:
    """Commit of this code and whether its tree is dirty; ``(None, None)`` outside a repository."""
    sha = _git("rev-parse", "HEAD") if _ours() else None
    # Records that a run has just added do not make the code another code.
    changed = _git("status", "--porcelain", "--", ":/", ":!/leaderboards") if sha else None
    return sha, None if changed is None else bool(changed)


@functools.cache
def is_known_commit(sha: str) -> bool:
    """Whether the repository of this code holds a commit; also where nobody can tell: without history, or its depth.

    Args:
        sha: 40 hex digits, or 64.
    """
    return not _whole_history() or _git("cat-file", "-e", f"{sha}^{{commit}}") is not None


@functools.cache
def _whole_history() -> bool:
    return _ours() and _git("rev-parse", "--is-shallow-repository") == "false"


@functools.cache
def _ours() -> bool:
    """An environment may lie inside somebody else's repository: only one that tracks this very file is ours."""
    return _git("ls-files", "--error-unmatch", Path(__file__).name) is not None


def _git(*arguments: str) -> str | None:
    """What git says of this code; ``None`` where it fails."""
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


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _content(record: Record) -> dict[str, Any]:
    """What is written of a record: a status only where there is one, so that no other record changes."""
    return record.model_dump(mode="json", exclude=None if record.status else {"status"})


def to_line(record: Record) -> str:
    """Write a record as one line of canonical JSON, its first field the checksum of the rest."""
    text = canonical_json(_content(record))
    return f'{{"checksum":"{_hash(text.encode())}",{text[1:]}'


def to_text(record: Record) -> str:
    """The same as indented JSON, for people."""
    text = json.dumps(_content(record), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    text += "\n"
    return f'{{\n  "checksum": "{_hash(text.encode())}",\n{text[2:]}'


def parse(blob: bytes) -> Record:
    """Read what :func:`to_line` or :func:`to_text` wrote.

    Raises:
        ValueError: Damaged, of another schema, edited, or with a name that could leave its folder.
    """
    blob = blob.replace(b"\r\n", b"\n")  # git on Windows
    if blob.startswith(b'{"checksum":"') and blob[77:79] == b'",':
        checksum, content = blob[13:77], b"{" + blob[79:]
    elif blob.startswith(b'{\n  "checksum": "') and blob[81:84] == b'",\n':
        checksum, content = blob[17:81], b"{\n" + blob[84:]
    else:
        checksum, content = b"", b""
    # One changed digit would still be a number: the content is compared before it is believed.
    if checksum.decode(errors="replace") != _hash(content):
        raise ValueError("damaged, edited, or written by an older version: its checksum is not that of its content")
    try:
        record = Record.model_validate_json(content)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"]) from error
    try:
        for kind, name in (("data set", record.spec.dataset), ("split", record.spec.split)):
            safe_name(kind, name)
        for kind, name in (("model", record.spec.model), ("track", record.track)):
            safe_name(kind, name)
    except BenchError as error:
        raise ValueError(str(error)) from error
    return record


def read(path: Path) -> Record:
    """Read the record of a run's folder.

    Raises:
        BenchError: Missing or damaged; see :func:`parse`.
    """
    try:
        return parse(read_bytes(path, JSON_BYTES))
    except ValueError as error:
        raise BenchError(f"{path}: not a valid record ({error}). Delete it and run again.") from error


def table_path(path: Path) -> Path:
    """Where the values of a record in a run's folder are."""
    return path.with_suffix(".parquet")


def write(path: Path, record: Record, table: Table | None) -> None:
    """Write a record and its table into a run's folder, the table first, so that no record is ever without it.

    Raises:
        BenchError: The folder cannot be written.
    """
    if table is not None:
        parquet.write_one(table_path(path), table)
    write_text(path, to_text(record))


def read_table(track: Track, path: Path, record: Record) -> Table | None:
    """Read the table of a record in a run's folder; ``None`` where it has none.

    Raises:
        BenchError: Damaged, or not the record's.
    """
    if record.values_hash is None:
        return None
    table = parquet.read_one(track, table_path(path))
    if table.hash != record.values_hash:
        raise BenchError(f"{table_path(path)}: changed since its record was written. Delete both and run again.")
    return table
