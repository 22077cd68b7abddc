"""From runs to the committed boards: put records there, say whether they reproduce what is there; remove some again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from bench.core.console import note
from bench.core.errors import BenchError, unknown
from bench.core.files import sha256_json
from bench.core.track import CLOSED_FORM, Track
from bench.results import embeddings, everything, store
from bench.results.entries import BoardEntry
from bench.results.leaderboard import ahead, outdated
from bench.results.records import Record, with_values
from bench.results.spec import RunSpec
from bench.runner.kept_predictions import Lost, asked_of, first_of_rows, kept_of, without
from bench.tracks import registry

Entries = dict[str, BoardEntry]


def publish(
    run_ids: Sequence[str],
    source: Path,
    target: Path,
    force: bool = False,
    runs: Path | None = None,
    lost: Lost | None = None,
) -> list[str]:
    """Put records into a leaderboards folder and regenerate its CSVs and claims.

    Of a run id, the records of all tracks are taken, and the references of their tasks with them. Of each row's first
    run, predicted shifts (of candidates their coordinates, of encoders latents, of latents their moments) are kept
    beside the record where the folder of its run holds what they follow from, and the embedding of wells, once for all
    records that were made from it; a record that was published without them and is reproduced is replaced by one that
    has them.

    Args:
        run_ids: Which.
        source: Leaderboards folder that holds them.
        target: Leaderboards folder that gets them.
        force: Whether a record of the same id that differs is replaced, and an outdated one of the same row and task
            removed.
        runs: Folder of the runs, ``<runs>/<run_id>/predictions.h5ad``, ``candidates.h5ad``, ``latents.npy`` or
            ``moments.npz``; absent = the one that holds ``source``.
        lost: Says what of a record would not follow from what is kept: see
            :func:`bench.runner.kept_predictions.kept_of`.

    Returns:
        One line per record: ``published``, ``reproduces`` or the largest difference; and one for each outdated one.

    Raises:
        BenchError: Unknown run id, or a record that was made from a tree with uncommitted changes.
    """
    tracks = registry.tracks()
    here = {track.name: _by_id(store.collect(track, [source])) for track in tracks}
    known = {run_id for entries in here.values() for run_id in entries}
    for run_id in run_ids:
        if run_id not in known:
            raise unknown("run id", run_id, known)
    chosen = {track.name: _with_references(here[track.name], run_ids) for track in tracks}
    _refuse_dirty(entry for entries in chosen.values() for entry in entries.values())
    lines, places = [], [source, runs or source.parent]
    for track in tracks:
        there = _by_id(store.collect(track, [target]))
        first = first_of_rows([*there.values(), *chosen[track.name].values()])
        asked = asked_of(track, (entry for entry in chosen[track.name].values() if entry.record.run_id in first))
        rows, lacking = kept_of(asked, runs or source.parent, lost, target)
        fresh = []
        for run_id, entry in chosen[track.name].items():
            named = embeddings.HASH if track.takes == "profiles" else store.kind_of(track).hash
            beside = places if run_id in first else []
            kept = run_id in rows or embeddings.found(entry.record, beside) is not None
            line, wanted = _verdict(track, entry, there.get(run_id), force, named if kept else "")
            lines.append(line)
            if wanted:
                record = embeddings.carried(without(entry.record), beside, target)
                # An earlier version may have kept more digits than boards do now.
                fresh.append((record, None) if entry.table is None else with_values(record, entry.table))
        store.add(target, track, fresh, rows)
        if lacking:
            what = store.kind_of(track).what
            note(f"no {what} are kept of {len(lacking)} records: {next(iter(lacking.values()))}")
    for track in tracks:
        own = [entry.record.spec for entry in chosen[track.name].values()]
        twins = _twins(store.collect(track, [target]), own)
        lines += [f"{line}{' (removed)' if force else ''}" for line in twins.values()]
        if force:
            store.remove(target, track, twins)
    embeddings.tidy(target, _records(target))
    everything.regenerate(tracks, target)
    return lines


def prune(folder: Path, names: Sequence[str], older: bool, dry_run: bool = False) -> list[str]:
    """Remove records from a leaderboards folder and regenerate its CSVs and claims.

    Args:
        folder: Leaderboards folder.
        names: Run ids, or labels of rows, of which every record goes.
        older: Whether records of an older data hash, track version or model version go.
        dry_run: Whether to remove nothing.

    Returns:
        One line per record.

    Raises:
        BenchError: A name that is no run id and no row; with ``older``, records that are dated in the future.
    """
    tracks = registry.tracks()
    entries = {track.name: store.collect(track, [folder]) for track in tracks}
    known = {name for found in entries.values() for e in found for name in (e.record.run_id, e.record.spec.label)}
    for name in names:
        if name not in known:
            raise unknown("run id or row", name, known)
    lines = []
    for track in tracks:
        found = entries[track.name]
        gone = {e.record.run_id: "named" for e in found if {e.record.run_id, e.record.spec.label} & set(names)}
        if older:
            gone |= _reasons(found)
        by_id = _by_id(found)
        for run_id, why in sorted(gone.items()):
            spec = by_id[run_id].record.spec
            where = f"{spec.dataset}__{spec.split}, seed {spec.split_seed}, fold {spec.control_fold}"
            lines.append(f"{run_id} {spec.label} ({track.name}, {where}): {why}{'' if dry_run else ', removed'}")
        if not dry_run:
            store.remove(folder, track, gone)
    if lines and not dry_run:
        embeddings.tidy(folder, _records(folder))
        everything.regenerate(tracks, folder)
    return lines


def _reasons(found: Sequence[BoardEntry]) -> dict[str, str]:
    """Why records are outdated, by run id.

    Raises:
        BenchError: The date of one is in the future, so that nobody can tell which of two data is older.
    """
    out: dict[str, str] = {}
    for dataset in {entry.record.spec.dataset for entry in found}:
        same = [entry for entry in found if entry.record.spec.dataset == dataset]
        if doubt := ahead(same):
            raise BenchError(doubt)
        out |= {run_id: f"older {what}" for run_id, (what, _) in outdated(same).items()}
    newest: dict[str, int] = {}
    for entry in found:
        spec = entry.record.spec
        newest[_row_of(spec)] = max(newest.get(_row_of(spec), 0), spec.model_version)
    for entry in found:
        spec = entry.record.spec
        if spec.model_version < newest[_row_of(spec)]:
            out.setdefault(entry.record.run_id, f"model version {spec.model_version}, not {newest[_row_of(spec)]}")
    return out


def _records(folder: Path) -> Iterator[Record]:
    """All records of a leaderboards folder."""
    for track in registry.tracks():
        yield from (entry.record for entry in store.collect(track, [folder]))


def _by_id(entries: Iterable[BoardEntry]) -> Entries:
    return {entry.record.run_id: entry for entry in entries}


def _with_references(here: Entries, run_ids: Sequence[str]) -> Entries:
    """The records of these ids, and the references of their tasks."""
    chosen = {run_id: here[run_id] for run_id in dict.fromkeys(run_ids) if run_id in here}
    tasks = {entry.record.task for entry in chosen.values()}
    also = {i: e for i, e in here.items() if e.record.kind == "reference" and e.record.task in tasks}
    return {**chosen, **also}


def _refuse_dirty(entries: Iterable[BoardEntry]) -> None:
    if dirty := [entry.record for entry in entries if entry.record.git_dirty]:
        raise BenchError(
            f"{len(dirty)} records were made from a tree with uncommitted changes, the first "
            f"{dirty[0].run_id} {dirty[0].spec.label}: nobody could make them again. Commit, then run again (--force)."
        )


def _verdict(track: Track, entry: BoardEntry, there: BoardEntry | None, force: bool, kept: str) -> tuple[str, bool]:
    """The line about a record, and whether it is to be published.

    Args:
        track: Its track.
        entry: The record.
        there: The published one of the same run.
        force: Whether it is replaced where they differ.
        kept: Name of the hash of what would be kept of it, where that is at hand; else empty.
    """
    kind = "" if not track.suffix else f" ({track.verb})"
    name = f"{entry.record.run_id} {entry.record.spec.label}{kind}"
    if there is None:
        return f"{name}: published", True
    if there.record.git_dirty and not entry.record.git_dirty:
        return f"{name}: replaces a record made from a tree with uncommitted changes", True
    if there.record.track_version < entry.record.track_version:
        return f"{name}: replaces a record of an older scoring", True
    worst, gap, tolerance = largest_difference(entry, there)
    if gap <= tolerance:
        how = "" if gap == 0 else f" within {tolerance:g} (at most {gap:.1g}, in {worst})"
        if kept and kept not in there.record.hashes:
            what = "embedding is" if kept == embeddings.HASH else f"{store.kind_of(track).what} are"
            return f"{name}: reproduces{how}, and its {what} kept now", True
        if more := newer(entry, there):
            return f"{name}: reproduces{how}, and has {', '.join(more)} now", True
        return f"{name}: reproduces{how}", False
    said = f"{name}: differs, most in {worst} by {gap:.3g}, where {tolerance:g} is tolerated"
    return said + (" (replaced)" if force else " (kept)"), force


def largest_difference(a: BoardEntry, b: BoardEntry) -> tuple[str, float, float]:
    """Find the number that differs most, for what is tolerated of it, between two records of one run.

    A number that the second, published one is older than is no difference.

    Returns:
        Its name, the difference (relative where the value is above 1; infinite where one is undefined), and what is
        tolerated: :data:`bench.core.track.CLOSED_FORM`, or of a trained model the metric's own tolerance.
    """
    left, right = _numbers(a), _numbers(b)
    learned = a.record.learned or b.record.learned
    metrics = a.track.metrics
    worst, share = ("", 0.0, CLOSED_FORM), 0.0
    for name in sorted({*left, *right} - {*newer(a, b)}):
        x, y = left.get(name), right.get(name)
        size = max(1.0, abs(x or 0.0), abs(y or 0.0))
        gap = float("inf") if (x is None) != (y is None) else abs((x or 0.0) - (y or 0.0)) / size
        tolerance = CLOSED_FORM
        if learned:
            tolerance = metrics[name].tolerance if name in metrics else max(m.tolerance for m in metrics.values())
        if gap / tolerance > share:
            worst, share = (name, gap, tolerance), gap / tolerance
    return worst


def newer(a: BoardEntry, b: BoardEntry) -> list[str]:
    """The metrics that the first record has and the second one, being older than they are, lacks; none is ranked by."""
    left, right, metrics = _numbers(a), _numbers(b), a.track.metrics
    lacking = (name for name in left if left[name] is not None and right.get(name) is None)
    return sorted(name for name in lacking if name in metrics and metrics[name].family is None)


def _numbers(entry: BoardEntry) -> Mapping[str, float | None]:
    return {**entry.record.numbers, **{name: level.mean for name, level in entry.levels.items()}}


def _twins(there: Sequence[BoardEntry], fresh: Sequence[RunSpec]) -> dict[str, str]:
    """Find records of the same row, task and seeds that another version made: a board would average the two."""
    ids = {_row_of(spec): spec.run_id for spec in fresh}
    specs = [entry.record.spec for entry in there]
    return {
        spec.run_id: f"{spec.run_id} {spec.label}: outdated by {ids[_row_of(spec)]}"
        for spec in specs
        if ids.get(_row_of(spec), spec.run_id) != spec.run_id
    }


def _row_of(spec: RunSpec) -> str:
    same = ("dataset", "split", "split_seed", "control_fold", "model", "variant", "pretrain_seed", "head_seed")
    return sha256_json(spec.model_dump(mode="json", include=set(same)))
