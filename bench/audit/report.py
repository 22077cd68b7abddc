"""What an audit found: a line for each check, and one exit code for all of them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal["ok", "failed", "skipped"]

OK, HASH, METRIC, CLAIM, MISSING = 0, 2, 3, 4, 5
#: Kinds of failure, the gravest first. A file that is not what was written makes everything read from it worthless; of
#: what is missing nothing can be said; a metric decides boards and claims; these say nothing that is not in records.
GRAVEST = (HASH, MISSING, METRIC, CLAIM)
KINDS = {HASH: "hash", METRIC: "metric", CLAIM: "claim", MISSING: "missing"}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What was asked, such as ``metrics recomputed``: the same words for every subject.
        subject: Of what: a file under the leaderboards folder, or a run in one.
        status: ``skipped`` = it could not be asked, for the reason in ``detail``: it is neither right nor wrong.
        code: 0 where it did not fail; else 2 hash, 3 metric, 4 claim, 5 missing.
        detail: What was found, in words.
    """

    name: str
    subject: str
    status: Status
    code: int
    detail: str


def passed(name: str, subject: str, detail: str = "") -> Check:
    """A check that found what it should."""
    return Check(name, subject, "ok", OK, detail)


def failed(name: str, subject: str, code: int, detail: str) -> Check:
    """A check that found something wrong, of a kind of :data:`KINDS`."""
    return Check(name, subject, "failed", code, detail)


def skipped(name: str, subject: str, detail: str) -> Check:
    """A check that could not be made."""
    return Check(name, subject, "skipped", OK, detail)


@dataclass(frozen=True)
class Report:
    """All checks of an audit, in the order in which they were made."""

    checks: tuple[Check, ...]

    @property
    def all_ok(self) -> bool:
        """Whether nothing failed; what was skipped is counted in :attr:`counts`, and is not verified."""
        return self.exit_code == OK

    @property
    def exit_code(self) -> int:
        """0, or the gravest kind of failure, see :data:`GRAVEST`."""
        found = {check.code for check in self.checks if check.status == "failed"}
        return next((code for code in GRAVEST if code in found), OK)

    @property
    def counts(self) -> dict[Status, int]:
        """How many checks are ``ok``, ``failed`` and ``skipped``."""
        found = Counter(check.status for check in self.checks)
        return {"ok": found["ok"], "failed": found["failed"], "skipped": found["skipped"]}

    def to_json(self) -> str:
        """Write everything as JSON: ``all_ok``, ``exit_code``, ``counts`` and ``checks``."""
        content = {
            "all_ok": self.all_ok,
            "exit_code": self.exit_code,
            "counts": self.counts,
            "checks": [asdict(check) for check in self.checks],
        }
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """Write everything as Markdown: a summary by check, then a line for each check, failures first."""
        n = self.counts
        lines = ["# Audit", "", f"{n['ok']} checks hold, {n['failed']} failed, {n['skipped']} could not be made.", ""]
        lines += ["| check | ok | failed | skipped |", "|---|---|---|---|"]
        for name in dict.fromkeys(check.name for check in self.checks):
            same = Counter(check.status for check in self.checks if check.name == name)
            lines.append(f"| {_cell(name)} | {same['ok']} | {same['failed']} | {same['skipped']} |")
        lines += ["", "| status | check | subject | found |", "|---|---|---|---|"]
        order = {"failed": 0, "skipped": 1, "ok": 2}
        for check in sorted(self.checks, key=lambda one: order[one.status]):
            status = f"failed ({KINDS[check.code]})" if check.status == "failed" else check.status
            lines.append(f"| {status} | {_cell(check.name)} | {_cell(check.subject)} | {_cell(check.detail)} |")
        return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text that stays within its cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
