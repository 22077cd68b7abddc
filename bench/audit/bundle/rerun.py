"""Rows of a bundle run again, beside it: ``rerun/`` gets the runs, ``rerun_diff.json`` what differs by metric."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError, unknown
from bench.core.files import write_json
from bench.core.track import CLOSED_FORM
from bench.results import store
from bench.results.entries import BoardEntry
from bench.runner import by_track
from bench.sweep.job import Job
from bench.sweep.plan import folders, plan
from bench.sweep.suite import Block, Suite
from bench.tracks import registry

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
        BenchError: An unknown run id, or a row that cannot be made from shipped models and data.
    """
    there = [one for track in registry.tracks() for one in store.collect(track, [leaderboards])]
    for run_id in run_ids:
        if run_id not in (known := {one.record.run_id for one in there}):
            raise unknown("run id", run_id, known)
    old = [one for one in there if one.record.run_id in run_ids]  # a run id may have records of several tracks
    jobs = [_job(one, beside / RUNS) for one in old]
    differences = []
    for before, job in zip(old, jobs, strict=True):
        if job.finished() is None:
            by_track.run(job.track, job.config)
        found = {one.record.run_id: one for one in store.collect(job.track, [job.config.leaderboards])}
        differences.append(_compare(before, found[job.spec.run_id]))
    path = beside / DIFF
    write_json(path, {"rows": differences, "same": all(one["same"] for one in differences)})
    return path, all(one["same"] for one in differences)


def _job(old: BoardEntry, out: Path) -> Job:
    """The run of a record, as a suite of one run.

    Raises:
        BenchError: The code, the data or the split are others now.
    """
    spec, verb = old.record.spec, old.track.verb
    block: dict[str, Any] = {
        "models": spec.model,
        "data": spec.dataset,
        "splits": spec.split,
        "seeds": [spec.split_seed],
        "training_seeds": [spec.pretrain_seed],
        "control_folds": [spec.control_fold],
        "variants": [spec.variant],
    }
    blocks = {"runs" if old.track.takes == "predictions" else verb: (Block.model_validate(block),)}
    made = plan(Suite.model_validate({"name": "rerun", **blocks}), folders(out, out / "leaderboards"))
    job = next((one for one in made if one.spec.run_id == spec.run_id), None)
    if job is None:
        raise BenchError(
            f"{old.where}: its run is {made[0].spec.run_id} today: the model, the data or the split are others than "
            "they were. Check out the commit that the record names."
        )
    return job


def _compare(old: BoardEntry, new: BoardEntry) -> dict[str, Any]:
    """Old, new and tolerance of every number of two records of one run."""
    learned = old.record.learned or new.record.learned
    before, after = _numbers(old), _numbers(new)
    metrics = {}
    for name in sorted({*before, *after}):
        info = old.track.metrics.get(name)
        loose = info.tolerance if info else max(m.tolerance for m in old.track.metrics.values())
        tolerance = loose if learned else CLOSED_FORM
        a, b = before.get(name), after.get(name)
        gap = None if a is None or b is None else abs(a - b) / max(1.0, abs(a), abs(b))
        same = a is None and b is None if gap is None else gap <= tolerance
        metrics[name] = {"old": a, "new": b, "difference": gap, "tolerance": tolerance, "same": same}
    return {
        "run_id": old.record.run_id,
        "row": old.record.spec.label,
        "track": old.track.name,
        "same": all(one["same"] for one in metrics.values()),
        "metrics": metrics,
    }


def _numbers(entry: BoardEntry) -> dict[str, float | None]:
    return {**entry.record.numbers, **{name: level.mean for name, level in entry.levels.items()}}
