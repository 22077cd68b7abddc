"""From runs to the committed boards: copy records, say whether they reproduce what is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench import leaderboard, records
from bench.errors import unknown
from bench.records import Record


def publish(run_ids: Sequence[str], source: Path, target: Path, force: bool = False) -> list[str]:
    """Copy records into a leaderboards folder and regenerate its CSVs.

    Args:
        run_ids: Which.
        source: Leaderboards folder that holds them.
        target: Leaderboards folder that gets them.
        force: Whether a record of the same id that differs is replaced.

    Returns:
        One line per run: ``published``, ``reproduces`` or the largest difference.

    Raises:
        BenchError: Unknown run id.
    """
    lines = []
    for run_id in run_ids:
        matches = sorted((source / "records").glob(f"*/*/{run_id}.json")) if run_id.isalnum() else []
        if not matches:
            known = sorted(path.stem for path in (source / "records").glob("*/*/*.json"))
            raise unknown("run id", run_id, known)
        record = records.read(matches[0])
        place = records.place(target, record.spec)
        if place.is_file():
            there = records.read(place)
            name, difference = largest_difference(record, there)
            if difference == 0:
                lines.append(f"{run_id} {record.spec.label}: reproduces")
                continue
            lines.append(
                f"{run_id} {record.spec.label}: differs, most in {name} by {difference:.3g}"
                + (" (replaced)" if force else " (kept)")
            )
            if not force:
                continue
        else:
            lines.append(f"{run_id} {record.spec.label}: published")
        records.copy(matches[0], place)
    leaderboard.regenerate(target)
    return lines


def largest_difference(a: Record, b: Record) -> tuple[str, float]:
    """Find the metric whose mean differs most between two records of one run; infinite where one is undefined."""
    worst = ("", 0.0)
    for name in sorted(set(a.metrics) | set(b.metrics)):
        left, right = (r.metrics[name].mean if name in r.metrics else None for r in (a, b))
        gap = float("inf") if (left is None) != (right is None) else abs((left or 0.0) - (right or 0.0))
        if gap > worst[1]:
            worst = (name, gap)
    return worst
