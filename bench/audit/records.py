"""Checks of a leaderboards folder's own files: each record, its values, its kept predictions, and copies of any."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.audit.report import HASH, METRIC, MISSING, Check, failed, passed, skipped
from bench.audit.second import kept, moments
from bench.core.errors import BenchError
from bench.core.track import Track
from bench.results import lines, parquet, records, store
from bench.results.entries import BoardEntry
from bench.results.records import Record
from bench.results.tables import ALL
from bench.tracks import registry

#: How far a number may be beyond the range of its metric, relative to 1 or to the bound: records of what was trained in
#: steps keep 16 bits.
BORDER = 1e-4
#: How git writes the name of a commit.
_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
#: What tracks take whose rows have values by unit; of profiles only where labels were asked for.
_BY_UNIT = ("predictions", "candidates", "encoder")


@dataclass
class Inspection:
    """What of a leaderboards folder can be believed so far.

    Attributes:
        checks: What was found.
        entries: Records that are whole, with their values, by track name.
        predictions: Kept predictions, by file of a board.
        moments: Kept moments of latents, the same.
        damaged: Tracks of which something is not whole, so that their boards cannot be made again.
    """

    checks: list[Check] = field(default_factory=list)
    entries: dict[str, list[BoardEntry]] = field(default_factory=dict)
    predictions: dict[Path, kept.Kept] = field(default_factory=dict)
    moments: dict[Path, moments.Kept] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)


def look(folder: Path) -> Inspection:
    """Look at every file under ``records``."""
    found = Inspection()
    tracks = {track.name: track for track in registry.tracks()}
    places = {name: store.places(folder, name) for name in sorted({*tracks, *_folders(folder / "records")})}
    if not any(places.values()):
        found.checks.append(failed("records", "records", MISSING, "there is none"))
    for name, paths in places.items():
        for path in paths:
            if name not in tracks:
                found.checks.append(failed("records", _short(path, folder), HASH, f"there is no track '{name}'"))
            elif not _board(tracks[name], path, folder, found):
                found.damaged.add(name)
    everyone = [entry for entries in found.entries.values() for entry in entries]
    found.checks += _copies(everyone, folder)
    found.checks += _possible(everyone, folder)
    found.checks += _versions(everyone, folder)
    return found


def subject(entry: BoardEntry, folder: Path) -> str:
    """What a record is called in a report: its board, its row, its run."""
    spec = entry.record.spec
    seeds = f"seed {spec.split_seed}" + (f" fold {spec.control_fold}" if spec.control_fold else "")
    return f"{_short(entry.path, folder).removesuffix('.zip')} {entry.record.run_id} {spec.label} ({seeds})"


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*") if path.is_dir())


def _short(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _board(track: Track, path: Path, folder: Path, found: Inspection) -> bool:
    """Check the files of one board; whether all are whole."""
    short = _short(path, folder)
    whole, seen = True, dict[str, Record]()

    def wrong(name: str, what: str, code: int, why: str) -> None:
        nonlocal whole
        whole = False
        found.checks.append(failed(name, what, code, why))

    name_of_lines = f"{short}, {lines.RUNS}"
    try:
        held = store.members(path)
        content = lines.text(name_of_lines, held[lines.RUNS], "")
    except BenchError as error:
        wrong("record", short, HASH, str(error))
        return False
    for number, line in enumerate(content.splitlines(), 1):
        where = f"{name_of_lines}, line {number}"
        try:
            record = records.parse(line)
        except ValueError as error:
            wrong("record", where, HASH, str(error))
            continue
        if record.run_id in seen:
            wrong("no duplicates", where, HASH, f"run {record.run_id} is there twice")
            continue
        seen[record.run_id] = record
        if why := _misplaced(record, track, path, folder):
            wrong("record", where, HASH, why)
    for name in (store.VALUES, store.TASK, store.DRAWS):
        _member(name, held.get(name), f"{short}, {name}", seen, wrong)
    if not whole:
        return False
    board = store.Board(track, path)
    try:
        entries = board.entries()
        for entry in entries:
            _ = entry.table
    except BenchError as error:
        wrong("values", f"{short}, {store.VALUES}", HASH, str(error))
        return False
    found.entries.setdefault(track.name, []).extend(entries)
    found.checks.append(passed("record", name_of_lines, f"{len(entries)} records and their values"))
    found.checks += [_provenance(entry, folder) for entry in entries]
    for entry in entries:
        if track.takes in _BY_UNIT and entry.table is None:
            why = "it has no values by unit, so that nothing of it could be checked"
            found.checks.append(failed("values", subject(entry, folder), MISSING, why))
    return _kept(track, path, held, seen, found, short) and whole


def _misplaced(record: Record, track: Track, path: Path, folder: Path) -> str:
    if record.track != track.name:
        return f"run {record.run_id} is of the track '{record.track}'"
    own = store.place(folder, record.track, record.spec)
    return "" if own == path else f"run {record.run_id} belongs in {_short(own, folder)}"


def _member(
    name: str, blob: bytes | None, where: str, seen: dict[str, Record], wrong: Callable[[str, str, int, str], None]
) -> None:
    if blob is None:
        if name != store.DRAWS and any(record.values_hash for record in seen.values()):
            wrong("values", where, MISSING, "it is missing")
        return
    try:
        parquet.read(where, blob)
    except BenchError as error:
        wrong("values", where, HASH, str(error))


def _provenance(entry: BoardEntry, folder: Path) -> Check:
    record, name = entry.record, "made from a clean commit"
    what = subject(entry, folder)
    if record.git_sha is None:
        return failed(name, what, HASH, "it names no commit of the code")
    for sha in filter(None, (record.git_sha, record.fit_git_sha)):
        if not _COMMIT.fullmatch(sha):
            return failed(name, what, HASH, f"'{sha[:60]}' is no commit")
        if not records.is_known_commit(sha):
            return failed(name, what, HASH, f"{sha[:12]} is no commit of this code's history")
    if record.git_dirty or record.git_dirty is None:
        return failed(name, what, HASH, f"made from a tree with uncommitted changes on {record.git_sha[:12]}")
    return passed(name, what, record.git_sha[:12])


def _kept(
    track: Track, path: Path, held: Mapping[str, bytes], seen: dict[str, Record], found: Inspection, short: str
) -> bool:
    """Read the kept predictions, or moments, and compare them with the hashes in the records."""
    kind = store.kind_of(track)
    name, where = f"kept {kind.what}", f"{short}, {kind.member}"
    named = {run_id: record.hashes[kind.hash] for run_id, record in seen.items() if kind.hash in record.hashes}
    blob = held.get(kind.member)
    if blob is None:
        if named:
            found.checks.append(failed(name, where, MISSING, f"{len(named)} records name {kind.what}"))
        return not named
    content: kept.Kept | moments.Kept
    try:
        content = moments.read(blob) if kind.member == store.MOMENTS else kept.read(blob)
    except ValueError as error:
        found.checks.append(failed(name, where, HASH, f"damaged ({error})"))
        return True  # boards do not depend on it
    good = set[str]()
    for run_id, wanted in named.items():
        if content.digests.get(run_id) == wanted:
            good.add(run_id)
        else:
            why = "not those that its record names" if run_id in content.digests else "not in the file"
            code = HASH if run_id in content.digests else MISSING
            found.checks.append(failed(name, f"{where}, run {run_id}", code, why))
    if len(good) == len(named):
        found.checks.append(passed(name, where, f"of {len(good)} records"))
    if isinstance(content, kept.Kept):
        shifts = {run_id: content.shifts[run_id] for run_id in good}
        found.predictions[path] = kept.Kept(content.genes, shifts, content.digests, content.steps)
    else:
        runs = {run_id: content.runs[run_id] for run_id in good}
        found.moments[path] = moments.Kept(runs, content.digests)
    return True


def _copies(entries: Sequence[BoardEntry], folder: Path) -> Iterator[Check]:
    """Find records that are copies of others: two runs never wrote the same file, nor took the same time.

    Nor did training seeds of one row ever give the same values, which would be no training noise: unless those are what
    other rows have too, as where val chooses nothing of what was learned. Of profiles, labels may all be at chance.
    """
    groups: dict[tuple[object, ...], list[BoardEntry]] = defaultdict(list)
    same_values: dict[tuple[object, ...], list[BoardEntry]] = defaultdict(list)
    for entry in entries:
        record = entry.record
        content = record.values_hash or tuple(sorted(record.numbers.items()))
        if entry.track.takes != "profiles":
            same_values[entry.path, content].append(entry)
        if file := record.hashes.get("predictions"):
            groups["file of predictions", file].append(entry)
        # Values alone are no proof: models whose val conditions choose none of what they learned give the same answer.
        budget = record.budget
        if record.values_hash and (budget.fit_s or budget.predict_s):
            # Where nothing was fitted, milliseconds may agree by chance, and values too where all are at chance.
            when = None if budget.fit_s else record.created
            groups["values and time", record.values_hash, budget.fit_s, budget.predict_s, when].append(entry)
    for key, alike in same_values.items():
        if len({entry.record.spec.label for entry in alike}) == 1 and all(entry.record.learned for entry in alike):
            groups["values as another run of its row", *key].extend(alike)
    twice = {key: same for key, same in groups.items() if len(same) > 1}
    reported: set[tuple[str, ...]] = set()
    for key, same in twice.items():
        ids = tuple(sorted(subject(entry, folder) for entry in same))
        if ids not in reported:
            reported.add(ids)
            yield failed("no duplicates", ids[1], HASH, f"the same {key[0]} as {ids[0]}")
    if not twice and entries:
        yield passed("no duplicates", "records", f"{len(entries)} records, no copy among them")


def _possible(entries: Sequence[BoardEntry], folder: Path) -> Iterator[Check]:
    """Whether numbers of runs, and means over units, lie where their metric can."""
    n, before = 0, True
    for entry in entries:
        found = {name: value for name, value in entry.record.numbers.items() if value is not None}
        for said, value in {**found, **_means(entry)}.items():
            name = said.removeprefix("mean ")
            info = entry.track.metrics.get(name) or entry.track.number_info.get(name)
            if info is None:
                continue
            n += 1
            low, high = (bound + sign * BORDER * max(1.0, abs(bound)) for sign, bound in zip((-1, 1), info.range))
            if not low <= value <= high:
                before = False
                yield failed("values are possible", subject(entry, folder), METRIC, f"{said} is {value:.6g}")
                break
    if before and entries:
        yield passed("values are possible", "records", f"{n} numbers and means")


def _means(entry: BoardEntry) -> dict[str, float]:
    """Means over all units where there are any, by metric."""
    if entry.table is None:
        return {}
    block = entry.values.field(ALL, "value")
    columns = {name: block[np.isfinite(block[:, m]), m] for m, name in enumerate(entry.values.metrics)}
    return {f"mean {name}": float(known.mean()) for name, known in columns.items() if len(known)}


def _versions(entries: Iterable[BoardEntry], folder: Path) -> Iterator[Check]:
    """Whether the records of a board are of one scoring and one data set, and of today's scoring."""
    boards: dict[Path, list[BoardEntry]] = defaultdict(list)
    for entry in entries:
        boards[entry.path].append(entry)
    for path, same in sorted(boards.items()):
        name, short, track = "one scoring version", _short(path, folder), same[0].track
        versions = sorted({entry.record.track_version for entry in same})
        if not track.suffix:  # a spec says the version of the plain boards
            versions = sorted({*versions, *(entry.record.spec.scoring_version for entry in same)})
        if len(versions) > 1:
            odd = [entry for entry in same if entry.record.track_version != track.version]
            first = subject((odd or list(same))[0], folder)
            yield failed(name, short, METRIC, f"versions {', '.join(map(str, versions))} are mixed, as in {first}")
        elif versions != [track.version]:
            yield failed(name, short, METRIC, f"version {versions[0]}, and the code is at {track.version}")
        else:
            yield passed(name, short, f"version {versions[0]}")
        hashes = {entry.record.spec.data_hash for entry in same}
        if len(hashes) > 1:
            yield failed("one data set", short, HASH, f"records of {len(hashes)} versions of the data")


def nothing_kept(entry: BoardEntry, folder: Path) -> Check:
    """A row whose metrics cannot be computed again from the folder."""
    name = "metrics recomputed"
    if entry.track.takes in ("predictions", "candidates"):
        return skipped(name, subject(entry, folder), "no predictions kept")
    if entry.track.takes == "encoder":
        why = "it is learned, and no latents of this run are kept: its sums and chance are checked"
        return skipped(name, subject(entry, folder), why)
    if entry.track.takes == "latents":
        return skipped(name, subject(entry, folder), "published without moments of its latents")
    return skipped(name, subject(entry, folder), "embeddings are not kept: too large; its sums and chance are checked")
