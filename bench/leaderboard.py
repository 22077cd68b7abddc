"""Records -> boards: one CSV per data set and split, and one per subgroup. Generated, never edited.

Columns: rank, model, n_seeds, n_conditions, n_informative, the mean of every metric, n_fallback, wall_s, parameters,
run_ids. ``n_conditions`` counts (condition, seed) pairs. Levels are means over seeds of the mean over conditions, on
control fold 0; records of fold 1 are kept for the spread between folds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from bench import records
from bench.errors import BenchError
from bench.files import write_text
from bench.metrics import METRICS
from bench.records import Level, Record

FLOOR = "train_mean"
REPLICATE = "replicate"
#: What the table is sorted by.
SORT_METRIC = "pearson_delta"
ALL = "all"


@dataclass(frozen=True)
class Found:
    """A record and where it lies."""

    record: Record
    path: Path


def collect(folders: Iterable[Path], dataset: str | None = None) -> list[Found]:
    """Read all records under leaderboards folders, sorted by path; of one run id the first folder's wins.

    Args:
        folders: Leaderboards folders; one that does not exist holds nothing.
        dataset: Only this data set's.

    Raises:
        BenchError: A damaged record.
    """
    found: dict[str, Found] = {}
    for folder in folders:
        for path in sorted((folder / "records").glob(f"{dataset or '*'}/*/*.json")):
            record = records.read(path)
            found.setdefault(record.run_id, Found(record, path))
    return list(found.values())


def group(found: Iterable[Found]) -> dict[tuple[str, str], list[Found]]:
    """Group records by (data set, split) and refuse what cannot stand in one table.

    Raises:
        BenchError: Different data, scoring versions, or splits for one (data set, kind, seed, fold).
    """
    boards: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for item in found:
        boards[item.record.spec.dataset, item.record.spec.split].append(item)
    for (dataset, split), items in boards.items():
        _same(items, "data_hash", f"data set '{dataset}'", lambda r: r.spec.data_hash)
        _same(items, "scoring_version", f"board {dataset}__{split}", lambda r: str(r.spec.scoring_version))
        by_draw: dict[tuple[int, int], list[Found]] = defaultdict(list)
        for item in items:
            by_draw[item.record.spec.split_seed, item.record.spec.control_fold].append(item)
        for (seed, fold), same in by_draw.items():
            _same(same, "split_id", f"board {dataset}__{split}, seed {seed}, fold {fold}", lambda r: r.spec.split_id)
    return dict(boards)


def _same(items: Sequence[Found], what: str, where: str, key: Callable[[Record], str]) -> None:
    first = items[0]
    for item in items[1:]:
        if key(item.record) != key(first.record):
            raise BenchError(
                f"{where}: records differ in {what} and cannot stand in one table: "
                f"{first.path} has {key(first.record)}, {item.path} has {key(item.record)}. "
                f"Remove the outdated ones and run them again."
            )


def board(items: Sequence[Found], scope: str = ALL, seeds: Sequence[int] | None = None) -> pd.DataFrame:
    """Make the table of one data set and split.

    Args:
        items: Its records.
        scope: ``all`` or a subgroup.
        seeds: Split seeds to average over; absent = those of the floor's own records, or else all. Rows that lack one
            of them are listed without a rank, so that no row's numbers depend on which other rows are there.

    Returns:
        One row per model and variant, then the replicate and the floor; undefined numbers are NaN.
    """
    records_ = [item.record for item in items if item.record.spec.control_fold == 0 and _levels(item.record, scope)]
    if not records_:
        return pd.DataFrame()
    floor_seeds = {r.spec.split_seed for r in records_ if r.spec.label == FLOOR}
    wanted = sorted(set(seeds) if seeds is not None else floor_seeds or {r.spec.split_seed for r in records_})
    folds: dict[str, list[str]] = defaultdict(list)
    for item in items:
        folds[item.record.spec.label].append(item.record.run_id)
    by_label: dict[str, dict[int, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records_:
        if record.spec.split_seed in wanted:
            by_label[record.spec.label][record.spec.split_seed].append(record)
    rows = [
        _row(label, by_seed, scope, sorted(folds[label]) if seeds is None else _ids(by_seed))
        for label, by_seed in by_label.items()
        if label != FLOOR
    ]
    everyone: dict[int, list[Record]] = defaultdict(list)
    for record in records_:
        if record.spec.split_seed in wanted:
            everyone[record.spec.split_seed].append(record)
    if not everyone:
        return pd.DataFrame()
    _check_floor(everyone, scope)
    bars = [_bar(REPLICATE, everyone, scope, "replicate")]
    own = by_label.get(FLOOR)
    ids = sorted(folds[FLOOR]) if seeds is None else _ids(own or {})
    bars.append(_row(FLOOR, own, scope, ids) if own else _bar(FLOOR, everyone, scope, "floor"))

    table = pd.DataFrame([*rows, *bars])
    complete = (table["n_seeds"] == len(wanted)) & ~table["model"].isin([FLOOR, REPLICATE])
    table["rank"] = table.loc[complete, SORT_METRIC].rank(ascending=False, method="min")
    table["_bar"] = table["model"].map({REPLICATE: 1, FLOOR: 2}).fillna(0)
    table = table.sort_values(["_bar", "rank", "model"], na_position="last", ignore_index=True).drop(columns="_bar")
    counts = ["rank", "n_seeds", "n_conditions", "n_informative", "n_fallback", "parameters"]
    table[counts] = table[counts].astype("Int64")
    return table


def _levels(record: Record, scope: str) -> dict[str, Level]:
    return record.metrics if scope == ALL else record.subgroups.get(scope, {})


def _ids(by_seed: dict[int, list[Record]]) -> list[str]:
    return sorted(record.run_id for group_ in by_seed.values() for record in group_)


def _average(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None and value == value]
    return float(np.mean(known)) if known else float("nan")


def _row(label: str, by_seed: dict[int, list[Record]], scope: str, run_ids: list[str]) -> dict[str, object]:
    ordered = [by_seed[seed] for seed in sorted(by_seed)]

    def over_seeds(one: Callable[[Record], float | None]) -> float:
        return _average(_average(one(record) for record in group_) for group_ in ordered)

    def total(one: Callable[[Record], int]) -> int:
        return sum(one(group_[0]) for group_ in ordered)

    return {
        "rank": None,
        "model": label,
        "n_seeds": len(ordered),
        "n_conditions": total(lambda r: _size(_levels(r, scope))),
        "n_informative": total(lambda r: _size(_levels(r, scope)) - r.n_fallback[scope]),
        **{name: over_seeds(partial(_level_mean, scope=scope, name=name)) for name in METRICS},
        "n_fallback": total(lambda r: r.n_fallback[scope]),
        "wall_s": over_seeds(lambda r: r.budget.fit_s + r.budget.predict_s),
        "parameters": max(sum(r.budget.parameters.values()) for group_ in ordered for r in group_),
        "run_ids": " ".join(run_ids),
    }


def _size(levels: dict[str, Level]) -> int:
    return max((level.n + level.n_undefined for level in levels.values()), default=0)


def _level_mean(record: Record, scope: str, name: str) -> float | None:
    level = _levels(record, scope).get(name)
    return level.mean if level else None


def _bar(label: str, by_seed: dict[int, list[Record]], scope: str, field: str) -> dict[str, object]:
    first = [by_seed[seed][0] for seed in sorted(by_seed)]
    return {
        "rank": None,
        "model": label,
        "n_seeds": len(first),
        "n_conditions": sum(_size(_levels(record, scope)) for record in first),
        "n_informative": None,
        **{
            name: _average(
                getattr(_levels(record, scope)[name], field) for record in first if name in _levels(record, scope)
            )
            for name in METRICS
        },
        "n_fallback": None,
        "wall_s": None,
        "parameters": None,
        "run_ids": "",
    }


def _check_floor(by_seed: dict[int, list[Record]], scope: str) -> None:
    for seed, group_ in by_seed.items():
        values = [_levels(record, scope)[SORT_METRIC] for record in group_]
        for field in ("floor", "replicate"):
            known = [v for level in values if (v := getattr(level, field)) is not None]
            if known and max(known) - min(known) > 1e-6:  # machines round differently, tasks do not
                ids = ", ".join(record.run_id for record in group_)
                raise BenchError(
                    f"seed {seed}: records of one task disagree on its {field} ({min(known)} to {max(known)}): {ids}."
                )


def to_csv(table: pd.DataFrame) -> str:
    """Write a board as CSV text: plain numbers in full precision, missing cells empty, ``\\n`` line ends."""
    return str(table.to_csv(index=False, lineterminator="\n"))


def expected_files(folder: Path) -> dict[Path, str]:
    """Compute every CSV that the records under a leaderboards folder give.

    Raises:
        BenchError: Records that are damaged or cannot stand in one table.
    """
    files: dict[Path, str] = {}
    for (dataset, split), items in sorted(group(collect([folder])).items()):
        table = board(items)
        if table.empty:
            continue
        files[folder / f"{dataset}__{split}.csv"] = to_csv(table)
        for scope in sorted({name for item in items for name in item.record.subgroups}):
            part = board(items, scope)
            if not part.empty:
                files[folder / "subgroups" / f"{dataset}__{split}__{scope}.csv"] = to_csv(part)
    return files


def _present(folder: Path) -> set[Path]:
    return {*folder.glob("*__*.csv"), *(folder / "subgroups").glob("*__*.csv")}


def regenerate(folder: Path) -> list[Path]:
    """Write all CSVs of a leaderboards folder and remove those that no record gives; return the changed ones."""
    wanted = expected_files(folder)
    changed = []
    for path, text in wanted.items():
        if not path.is_file() or path.read_bytes() != text.encode():
            write_text(path, text)
            changed.append(path)
    for path in sorted(_present(folder) - set(wanted)):
        path.unlink()
        changed.append(path)
    return changed


def check(folder: Path) -> int:
    """Compare the CSVs of a folder with what its records give; return how many there are.

    Raises:
        BenchError: Naming the files that differ.
    """
    wanted = expected_files(folder)
    wrong = [path for path, text in wanted.items() if not path.is_file() or path.read_bytes() != text.encode()]
    wrong += sorted(_present(folder) - set(wanted))
    if wrong:
        raise BenchError(
            f"{len(wrong)} CSVs differ from what the records give: {', '.join(str(path) for path in wrong[:5])}. "
            f"Run 'bench leaderboard --leaderboards {folder}'."
        )
    return len(wanted)
