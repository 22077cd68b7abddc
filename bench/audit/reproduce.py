"""Run what a published record says again, elsewhere, and compare every metric."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import BenchError, unknown
from bench.core.track import CLOSED_FORM
from bench.data.splits.kinds import kind_of
from bench.results import store
from bench.results.entries import BoardEntry
from bench.runner import by_track
from bench.runner.config import RunConfig, make_config
from bench.runner.model_choice import choose
from bench.tracks import registry


@dataclass(frozen=True)
class Line:
    """One metric of a record, old and new.

    Attributes:
        track: Of the record.
        metric: Name; a mean over units, or a number of the whole run.
        old: Published; ``None`` = undefined.
        new: Made again.
        tolerance: What the difference may be, relative to 1 or to the value where that is larger.
    """

    track: str
    metric: str
    old: float | None
    new: float | None
    tolerance: float

    @property
    def within(self) -> bool:
        """Whether the difference is tolerated; a metric that the old record is older than is no difference."""
        if self.old is None:
            return True
        if self.new is None:
            return False
        return abs(self.old - self.new) <= self.tolerance * max(1.0, abs(self.old))


def reproduce(run_id: str, leaderboards: Path, out: Path | None = None) -> list[Line]:
    """Run a published record's spec again; nothing published is touched.

    Args:
        run_id: Of a record in the leaderboards folder.
        leaderboards: That folder.
        out: Folder of the new run; absent = a temporary one.

    Returns:
        Every metric of every record of that run.

    Raises:
        BenchError: No such record, or one that cannot be run again from what it says: predictions of another tool, a
            reference, a file or data set that is not at hand, a model that has changed since.
    """
    known = {track.name: store.collect(track, [leaderboards]) for track in registry.tracks()}
    found = [entry for entries in known.values() for entry in entries if entry.record.run_id == run_id]
    if not found:
        raise unknown("run id", run_id, {entry.record.run_id for entries in known.values() for entry in entries})
    if out is not None and out.resolve() == leaderboards.resolve():
        raise BenchError(f"{out} holds what is published: choose another folder by --out.")
    with _folder(out) as folder:
        return [line for entry in found for line in _again(entry, folder)]


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="bench-reproduce-") as name:
        yield Path(name)


def _again(entry: BoardEntry, folder: Path) -> Iterator[Line]:
    config = _config(entry, folder)
    (path,) = by_track.run(entry.track, config)
    made = {one.record.run_id: one for one in store.collect(entry.track, [config.leaderboards])}
    record = entry.record
    if path.parent.name != record.run_id or record.run_id not in made:
        raise BenchError(
            f"run {record.run_id} ({record.spec.label}) cannot be made again by this code: it makes run "
            f"{path.parent.name}, as a version, a default or the data have changed. Check out {record.git_sha}."
        )
    old, new = _numbers(entry), _numbers(made[record.run_id])
    for name in sorted({*old, *new}):
        info = entry.track.metrics.get(name)
        largest = max(metric.tolerance for metric in entry.track.metrics.values())
        trained = record.learned or entry.track.takes == "encoder"
        tolerance = (largest if info is None else info.tolerance) if trained else CLOSED_FORM
        yield Line(entry.track.name, name, old.get(name), new.get(name), tolerance)


def _config(entry: BoardEntry, folder: Path) -> RunConfig:
    """What to run, from the spec of a record."""
    record, spec = entry.record, entry.record.spec
    if record.kind == "reference":
        raise BenchError(f"run {record.run_id} is the reference '{spec.label}': reproduce an encoder beside it.")
    if spec.model_version == 0 or "class_path" in spec.arguments:
        raise BenchError(f"run {record.run_id}: '{spec.model}' is not a model of this package, and cannot be run here.")
    config = make_config(
        choose(spec.model),
        spec.variant,
        data=spec.dataset,
        split=kind_of(spec.split),
        seeds=((spec.split_seed, spec.pretrain_seed, spec.head_seed),),
        folds=(spec.control_fold,),
        out=folder / "runs",
        leaderboards=folder / "leaderboards",
        force=True,
    )
    by_track.check_folds(entry.track, config.folds)
    return config


def _numbers(entry: BoardEntry) -> dict[str, float | None]:
    levels = {name: level.mean for name, level in entry.levels.items()}
    return {name: value for name, value in {**entry.record.numbers, **levels}.items() if value is None or _known(value)}


def _known(value: float) -> bool:
    return math.isfinite(value)


def to_text(lines: Sequence[Line]) -> str:
    """A table for people: metric, old, new, tolerance; what is off is marked."""

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.9g}"

    rows = [("metric", "old", "new", "tolerance", "")]
    rows += [
        (one.metric, number(one.old), number(one.new), f"{one.tolerance:g}", "" if one.within else "OFF")
        for one in lines
        if one.old is not None or one.new is not None
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(text)
