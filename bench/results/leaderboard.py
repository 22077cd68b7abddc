"""Records -> boards: one CSV per data set and split, and one per subgroup. Generated, never edited.

Columns: rank, rank_high, model, kind, mean skill with its interval, n_seeds, n_training_seeds, n_contexts,
n_conditions, n_informative; per metric its mean, ci_low, ci_high and, of families, skill; beat_rate, numbers of the
whole run, control_sd, n_fallback, wall_s, parameters, run_ids. ``n_conditions`` counts (unit, seed) pairs. Levels are
means over seeds of the mean over units, on control fold 0; fold 1 gives ``control_sd``. A track may have one CSV for
all splits of a data set, with a column ``split``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from bench.core.console import note
from bench.core.errors import BenchError
from bench.core.track import Track
from bench.results.board import board
from bench.results.board_lines import ends
from bench.results.entries import BoardEntry
from bench.results.generated import to_csv
from bench.results.records import Record, in_the_future
from bench.results.store import collect
from bench.results.tables import ALL

__all__ = ["collect", "csvs", "current", "expected_files", "group", "present"]

#: Records of one track by (data set, split).
Groups = Mapping[tuple[str, str], Sequence[BoardEntry]]


def outdated(items: Sequence[BoardEntry]) -> dict[str, tuple[str, BoardEntry]]:
    """Find the records of one data set that newer ones replace: of an older data hash or an older track version.

    Returns:
        By run id, in what it is older, and the entry.
    """
    out: dict[str, tuple[str, BoardEntry]] = {}
    if not items:
        return out
    version = max(item.record.track_version for item in items)
    newest = max((item.record.created, item.record.spec.data_hash) for item in items)[1]
    for item in items:
        if item.record.spec.data_hash != newest:
            out[item.record.run_id] = ("data", item)
        elif item.record.track_version != version:
            out[item.record.run_id] = ("scoring", item)
    return out


def ahead(items: Sequence[BoardEntry]) -> str:
    """Say that nobody can tell which records of one data set are older, as the newest is of the future; else empty."""
    newest = max(items, key=lambda item: item.record.created).record
    if not in_the_future(newest.created) or len({item.record.spec.data_hash for item in items}) < 2:
        return ""
    return (
        f"{newest.spec.dataset}: the newest record, {newest.run_id}, is dated {newest.created}, which is in the "
        f"future: a clock was set back, or was wrong. Which data are older cannot be told; 'bench prune RUN_ID' "
        f"removes records by name."
    )


def current(found: Iterable[BoardEntry], say: Callable[[str], None] = note) -> list[BoardEntry]:
    """Leave out what newer records of the same data set replace, and say so.

    Args:
        found: Records of one track.
        say: Is told how many were left out of which data set.
    """
    by_data: dict[str, list[BoardEntry]] = defaultdict(list)
    for item in found:
        by_data[item.record.spec.dataset].append(item)
    kept = []
    for dataset, items in by_data.items():
        old = outdated(items)
        if old:
            kinds = sorted({what for what, _ in old.values()})
            say(
                f"{dataset}: {len(old)} records of older {' and '.join(kinds)} are left out; 'bench prune --outdated' "
                f"removes them."
            )
            if doubt := ahead(items):
                say(doubt)
        kept += [item for item in items if item.record.run_id not in old]
    return kept


def group(found: Iterable[BoardEntry], say: Callable[[str], None] = note) -> dict[tuple[str, str], list[BoardEntry]]:
    """Group records of one track by (data set, split), the newest data and version of each, and refuse mixed splits.

    Raises:
        BenchError: Different splits for one (data set, kind, seed, fold).
    """
    boards: dict[tuple[str, str], list[BoardEntry]] = defaultdict(list)
    for item in current(found, say):
        boards[item.record.spec.dataset, item.record.spec.split].append(item)
    for (dataset, split), items in boards.items():
        by_draw: dict[tuple[int, int], list[BoardEntry]] = defaultdict(list)
        for item in items:
            by_draw[item.record.spec.split_seed, item.record.spec.control_fold].append(item)
        for (seed, fold), same in by_draw.items():
            where = f"board {dataset}__{split}, seed {seed}, fold {fold}"
            _refuse_mixed(same, "split_id", where, lambda r: r.spec.split_id)
    return dict(boards)


def _refuse_mixed(items: Sequence[BoardEntry], what: str, where: str, key: Callable[[Record], str]) -> None:
    first = items[0]
    for item in items[1:]:
        if key(item.record) != key(first.record):
            raise BenchError(
                f"{where}: records differ in {what} and cannot stand in one table: {first.where} has "
                f"{key(first.record)}, {item.where} has {key(item.record)}. Remove the outdated ones "
                f"('bench prune RUN_ID') and run them again."
            )


def scopes(items: Sequence[BoardEntry]) -> list[str]:
    """Subgroups and tertiles that records of one board have units of."""
    names = {scope for item in items if item.table is not None for scope in item.table.conditions}
    return sorted(names - {ALL})


def csvs(folder: Path, track: Track, groups: Groups) -> dict[Path, str]:
    """The CSVs that records of one track give.

    Args:
        folder: Their leaderboards folder.
        track: The track.
        groups: From :func:`group`.

    Raises:
        BenchError: Records that are damaged or cannot stand in one table.
    """
    files: dict[Path, str] = {}
    together: dict[str, list[pd.DataFrame]] = defaultdict(list)
    for (dataset, split), items in sorted(groups.items()):
        table = track.board([item.record for item in items]) if track.board else board(items, remarks=False)
        if table.empty:
            continue
        if track.suffix:
            table.insert(0, "split", split)
            together[dataset].append(table)
            continue
        name = f"{dataset}__{split}.csv"
        files[folder / name] = to_csv(shown(track, table))
        if parts := _parts(items):
            files[folder / "subgroups" / name] = to_csv(shown(track, pd.concat(parts, ignore_index=True)))
    for dataset, tables in together.items():
        files[folder / f"{dataset}{track.suffix}.csv"] = to_csv(shown(track, pd.concat(tables, ignore_index=True)))
    return files


def _parts(items: Sequence[BoardEntry]) -> list[pd.DataFrame]:
    """A board of each subgroup and tertile that has rows, its name in the first column."""
    parts = []
    for scope in scopes(items):
        part = board(items, scope, remarks=False)
        if not part.empty:
            part.insert(0, "subgroup", scope)
            parts.append(part)
    return parts


def shown(track: Track, table: pd.DataFrame) -> pd.DataFrame:
    """A table without the columns of optional metrics that no row has: they came later than many records."""
    columns = {
        name: [f"{name}{end}" for end in ends(track, name)] for name, info in track.metrics.items() if info.optional
    }
    return table.drop(columns=[each for name, all_ in columns.items() if table[name].isna().all() for each in all_])


def present(folder: Path) -> set[Path]:
    """The CSVs that lie in a leaderboards folder."""
    return {*folder.glob("*__*.csv"), *(folder / "subgroups").glob("*__*.csv")}


def expected_files(tracks: Iterable[Track], folder: Path, say: Callable[[str], None] = note) -> dict[Path, str]:
    """Compute every CSV that the records under a leaderboards folder give.

    Raises:
        BenchError: Records that are damaged or cannot stand in one table.
    """
    files: dict[Path, str] = {}
    for track in tracks:
        files |= csvs(folder, track, group(collect(track, [folder]), say))
    return files
