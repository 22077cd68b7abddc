"""From runs to the committed boards: copy records, say whether they reproduce what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.core.errors import unknown
from bench.core.files import sha256_json
from bench.results import leaderboard, records
from bench.results.records import Record
from bench.results.spec import RunSpec
from bench.tracks.representation import board as frozen_board
from bench.tracks.representation import record as frozen_record
from bench.tracks.representation.record import FrozenRecord


def publish(run_ids: Sequence[str], source: Path, target: Path, force: bool = False) -> list[str]:
    """Copy records into a leaderboards folder and regenerate its CSVs.

    Of a run id, the record of predictions and that of the frozen encoder are copied, whichever are there; an encoder
    takes the references of its task along.

    Args:
        run_ids: Which.
        source: Leaderboards folder that holds them.
        target: Leaderboards folder that gets them.
        force: Whether a record of the same id that differs is replaced, and an outdated one of the same row and task
            removed.

    Returns:
        One line per record: ``published``, ``reproduces`` or the largest difference; and one for each outdated one.

    Raises:
        BenchError: Unknown run id.
    """
    runs = {path.stem: path for path in sorted((source / "records").glob("*/*/*.json"))}
    encoders = {path.stem: path for path in sorted((source / "frozen").glob("*/*/*.json"))}
    for run_id in run_ids:
        if run_id not in runs and run_id not in encoders:
            raise unknown("run id", run_id, {*runs, *encoders})
    frozen = {run_id: frozen_record.read(encoders[run_id]) for run_id in run_ids if run_id in encoders}
    tasks = {_task(record.spec) for record in frozen.values()}
    for run_id, path in encoders.items() if tasks else ():
        record = frozen_record.read(path)
        if record.kind == "reference" and _task(record.spec) in tasks:
            frozen[run_id] = record
    chosen = [records.read(runs[run_id]) for run_id in run_ids if run_id in runs]
    lines = [_copy_run(one, runs[one.run_id], records.place(target, one.spec), force) for one in chosen]
    lines += [_copy_encoder(one, frozen_record.place(target, one.spec), force) for one in frozen.values()]
    there = {item.path: item.record.spec for item in leaderboard.collect([target])}
    lines += _outdated(there, [record.spec for record in chosen], force)
    encoders_there = {item.path: item.record.spec for item in frozen_board.collect([target])}
    lines += _outdated(encoders_there, [record.spec for record in frozen.values()], force)
    leaderboard.regenerate(target)
    frozen_board.regenerate(target)
    return lines


def _task(spec: RunSpec) -> tuple[str, str, int]:
    return spec.data_hash, spec.split_id, spec.split_seed


def _copy_run(record: Record, source: Path, place: Path, force: bool) -> str:
    gap = largest_difference(record, records.read(place)) if place.is_file() else None
    verdict, wanted = _verdict(f"{record.run_id} {record.spec.label}", gap, force)
    if wanted:
        records.copy(source, place)
    return verdict


def _copy_encoder(record: FrozenRecord, place: Path, force: bool) -> str:
    name = f"{record.run_id} {record.label} (frozen)"
    gap = _largest(record.numbers, frozen_record.read(place).numbers) if place.is_file() else None
    verdict, wanted = _verdict(name, gap, force)
    if wanted:
        frozen_record.write(place, record)
    return verdict


def _verdict(name: str, gap: tuple[str, float] | None, force: bool) -> tuple[str, bool]:
    """The line about a record, and whether it is to be copied."""
    if gap is None:
        return f"{name}: published", True
    if gap[1] == 0:
        return f"{name}: reproduces", False
    return f"{name}: differs, most in {gap[0]} by {gap[1]:.3g}" + (" (replaced)" if force else " (kept)"), force


def _outdated(there: Mapping[Path, RunSpec], fresh: Sequence[RunSpec], force: bool) -> list[str]:
    """Find records of the same row, task and seeds that another version made: a board would average the two."""
    ids = {_place(spec): spec.run_id for spec in fresh}
    lines = []
    for path, spec in there.items():
        if ids.get(_place(spec), spec.run_id) == spec.run_id:
            continue
        lines.append(f"{spec.run_id} {spec.label}: outdated by {ids[_place(spec)]}" + (" (removed)" if force else ""))
        if force:
            path.unlink()
            path.with_suffix(".parquet").unlink(missing_ok=True)
    return lines


def _place(spec: RunSpec) -> str:
    same = ("dataset", "split", "split_seed", "control_fold", "model", "variant", "pretrain_seed", "head_seed")
    return sha256_json(spec.model_dump(mode="json", include=set(same)))


def largest_difference(a: Record, b: Record) -> tuple[str, float]:
    """Find the metric whose mean differs most between two records of one run; infinite where one is undefined."""
    left, right = ({name: level.mean for name, level in record.metrics.items()} for record in (a, b))
    return _largest(left, right)


def _largest(a: Mapping[str, float | None], b: Mapping[str, float | None]) -> tuple[str, float]:
    worst = ("", 0.0)
    for name in sorted({*a, *b}):
        left, right = a.get(name), b.get(name)
        gap = float("inf") if (left is None) != (right is None) else abs((left or 0.0) - (right or 0.0))
        if gap > worst[1]:
            worst = (name, gap)
    return worst
