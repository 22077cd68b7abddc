"""Run what a published record says again, elsewhere, and compare every metric."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError, unknown
from bench.core.track import CLOSED_FORM
from bench.data.splits.kinds import kind_of
from bench.models import registry as models
from bench.results import store
from bench.results.entries import BoardEntry
from bench.runner import by_track, profiles
from bench.runner.config import AnyConfig, LatentsConfig, make_config
from bench.runner.effort import Effort
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
    paths = by_track.run(entry.track, config)  # of profiles one for each question that their wells allow
    made = {one.record.run_id: one for one in store.collect(entry.track, [config.leaderboards])}
    record = entry.record
    if record.run_id not in {path.parent.name for path in paths} & set(made):
        raise BenchError(
            f"run {record.run_id} ({record.spec.label}) cannot be made again by this code: it makes run "
            f"{paths[0].parent.name}, as a version, a default or the data have changed. Check out {record.git_sha}."
        )
    old, new = _numbers(entry), _numbers(made[record.run_id])
    for name in sorted({*old, *new}):
        info = entry.track.metrics.get(name)
        largest = max(metric.tolerance for metric in entry.track.metrics.values())
        trained = record.learned or entry.track.takes in ("encoder", "latents", "profiles")
        tolerance = (largest if info is None else info.tolerance) if trained else CLOSED_FORM
        yield Line(entry.track.name, name, old.get(name), new.get(name), tolerance)


def _config(entry: BoardEntry, folder: Path) -> AnyConfig:
    """What to run, from the spec of a record."""
    record, spec = entry.record, entry.record.spec
    places: dict[str, Any] = {"out": folder / "runs", "leaderboards": folder / "leaderboards", "force": True}
    if entry.track.takes == "latents":
        effort = {field.name for field in fields(Effort)}
        own = ",".join(f"{name}={value}" for name, value in sorted(spec.variant.items()) if name not in effort)
        return LatentsConfig(
            data=spec.dataset,
            row=f"{spec.model}:{own}" if own else spec.model,
            data_seed=spec.split_seed,
            seed=spec.pretrain_seed,
            effort=Effort(**{name: int(str(value)) for name, value in spec.variant.items() if name in effort}),
            **places,
        )
    if record.kind == "reference":
        raise BenchError(f"run {record.run_id} is the reference '{spec.label}': reproduce an encoder beside it.")
    if entry.track.takes == "profiles":
        asked = registry.evaluation(entry.track).GIVEN
        given = {name: value for name, value in spec.variant.items() if name in asked}
        arguments = {name: value for name, value in spec.variant.items() if name not in asked}
        encoders = {spec.model: arguments} if spec.model in models.entries() else {}
        (row,) = profiles.rows(entry.track, spec.dataset, given, encoders, [spec.pretrain_seed], **places)
        return row
    if spec.model_version == 0 or "class_path" in spec.arguments:
        raise BenchError(f"run {record.run_id}: '{spec.model}' is not a model of this package, and cannot be run here.")
    config = make_config(
        choose(spec.model),
        spec.variant,
        data=spec.dataset,
        split=kind_of(spec.split),
        seeds=((spec.split_seed, spec.pretrain_seed, spec.head_seed),),
        folds=(spec.control_fold,),
        **places,
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
