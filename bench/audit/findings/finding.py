"""Files of claims about a benchmark, and what the evidence says of them: true, false, or not to be said.

What is expected stands apart from what is found: a claim may say that a defect is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.audit.findings.evidence import Evidence
from bench.audit.findings.predicates import OF_TWO_ROWS, PREDICATES
from bench.audit.findings.scope import Scope
from bench.core.errors import BenchError, unknown
from bench.core.files import configs_dir
from bench.results.claim import Seeds, Value


def _known(name: str) -> str:
    if name not in PREDICATES:
        raise ValueError(str(unknown("predicate", name, PREDICATES)))
    return name


class Finding(BaseModel):
    """A claim about a benchmark: what must hold, never whether it does.

    Attributes:
        name: In tables and files.
        predicate: What is asked; see :mod:`bench.audit.findings.predicates`.
        scope: Of which results.
        seeds: Split seeds that every board in scope must have.
        expected: The value that it should have.
        note: What a reader should know of it, in a sentence.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    predicate: Annotated[str, AfterValidator(_known)]
    scope: Scope = Scope()
    seeds: Seeds = (1,)
    expected: Value
    note: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Finding:
        if self.predicate in OF_TWO_ROWS and len(self.scope.rows) != 2:
            raise ValueError(f"predicate '{self.predicate}' compares two rows: name them as 'scope: {{rows: [a, b]}}'")
        return self


class Findings(BaseModel):
    """A file ``configs/claims/<name>.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = ""
    claims: Annotated[tuple[Finding, ...], Field(min_length=1)]


class Evaluated(BaseModel):
    """A claim about a benchmark and what the evidence says of it.

    Attributes:
        finding: The claim.
        value: Computed.
        reason: Why it is not true; of a comparison, what was found.
        looked: At how many results or comparisons.
        against: What makes it false, one line each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    finding: Finding
    value: Value
    reason: str
    looked: int
    against: tuple[str, ...]

    @property
    def as_expected(self) -> bool:
        """Whether it has the value that it should have."""
        return self.value == self.finding.expected


def evaluate(findings: Sequence[Finding], evidence: Evidence) -> list[Evaluated]:
    """Compute the value of claims about a benchmark."""
    return [_evaluate(one, evidence) for one in findings]


def _evaluate(finding: Finding, evidence: Evidence) -> Evaluated:
    answer = PREDICATES[finding.predicate](evidence, finding.scope)
    lacking = _lacking(finding, evidence)
    unknown_lines = (*lacking, *answer.unknown)
    value: Value = "true"
    reason = answer.said
    if answer.against:  # one counterexample is enough, whatever could not be looked at
        value, reason = "false", _first(answer.against)
    elif unknown_lines or not answer.looked:
        value, reason = "not_evaluable", _first(unknown_lines) or "nothing in scope"
    return Evaluated(finding=finding, value=value, reason=reason, looked=answer.looked, against=answer.against)


def _lacking(finding: Finding, evidence: Evidence) -> list[str]:
    """Boards in scope that lack a needed seed."""
    out = []
    there = finding.scope.artifacts(evidence)
    for board in finding.scope.boards_of(evidence):
        if lacking := sorted(set(finding.seeds) - {one.seed for one in there if one.board == board}):
            out.append(f"{board} lacks seed {', '.join(map(str, lacking))}")
    return out


def _first(lines: Sequence[str]) -> str:
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return f"{lines[0]}{more}" if lines else ""


def read(path: Path) -> Findings:
    """Read a file of claims.

    Raises:
        BenchError: Not there, not YAML, or a field that is unknown or holds something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Findings.model_validate(content)
    except FileNotFoundError as error:
        raise BenchError(f"no such file of claims: {path}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        said = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise BenchError(f"{path}: {where}: {said}; see configs/claims/audit.yaml for an example.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise BenchError(f"{path}: not YAML ({' '.join(str(error).split())[:200]}).") from error


def shipped() -> dict[str, Findings]:
    """The files of ``configs/claims`` by name.

    Raises:
        BenchError: One that is none, or a claim that has the name of another.
    """
    found = {path.stem: read(path) for path in sorted((configs_dir() / "claims").glob("*.yaml"))}
    names = [claim.name for content in found.values() for claim in content.claims]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BenchError(f"{configs_dir() / 'claims'}: two claims are called '{twice[0]}'; give each its own name.")
    return found
