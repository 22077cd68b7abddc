"""Rows of a bundle run again, beside it: ``rerun/`` gets the runs, ``rerun_diff.json`` what differs by metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.audit.reproduce import reproduce
from bench.core.files import write_json

RUNS, DIFF = "rerun", "rerun_diff.json"


def rerun(run_ids: Sequence[str], leaderboards: Path, beside: Path) -> tuple[Path, bool]:
    """Run rows again and compare.

    Args:
        run_ids: Which.
        leaderboards: Folder that holds their records; it is only read.
        beside: Gets ``rerun/`` and ``rerun_diff.json``.

    Returns:
        The path of the differences, and whether all are within their tolerance.

    Raises:
        BenchError: See :func:`bench.audit.reproduce.reproduce`.
    """
    lines = {run_id: reproduce(run_id, leaderboards, beside / RUNS) for run_id in dict.fromkeys(run_ids)}
    same = all(line.within for found in lines.values() for line in found)
    rows = {run_id: [asdict(line) | {"within": line.within} for line in found] for run_id, found in lines.items()}
    write_json(beside / DIFF, {"rows": rows, "same": same})
    return beside / DIFF, same
