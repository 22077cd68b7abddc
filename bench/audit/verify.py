"""The audit of a leaderboards folder: every check in turn, and a report of all that was found."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from bench.audit import boards, planned, records, tasks
from bench.audit.data_sets import DataSets
from bench.audit.report import HASH, MISSING, Check, Report, failed


def verify(leaderboards: Path, data: DataSets | None = None) -> Report:
    """Look at everything in a leaderboards folder again.

    Args:
        leaderboards: The folder.
        data: Where data sets are found by the names that records give them; absent = as ``--data`` takes them.

    Returns:
        One check for each file, record, board and claim; nothing that is wrong there raises.
    """
    if not leaderboards.is_dir():
        return Report((failed("folder", str(leaderboards), MISSING, "no such folder"),))
    checks: list[Check] = []
    found = records.Inspection()

    def look() -> Iterable[Check]:
        nonlocal found
        found = records.look(leaderboards)
        return found.checks

    _step(checks, "records", look)
    _step(checks, "boards", lambda: boards.look(leaderboards, found))
    _step(checks, "suites", lambda: planned.look(leaderboards, found))
    _step(checks, "tasks", lambda: tasks.look(leaderboards, found, data or DataSets()))
    return Report(tuple(checks))


def _step(checks: list[Check], name: str, look: Callable[[], Iterable[Check]]) -> None:
    """Make some checks; what ends them early is a failure that is named, and the next ones are made."""
    try:
        checks.extend(look())
    except Exception as error:  # files that somebody edited can be wrong in ways that nobody thought of
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}, line {last.lineno}"
        checks.append(failed(name, "audit", HASH, f"could not be finished: {error} ({type(error).__name__}, {where})"))
