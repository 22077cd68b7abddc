"""Frozen-encoder records -> ``<dataset>__frozen.csv``: one row per split kind and model. Generated, never edited.

Columns: split, rank, rank_low, rank_high, model, kind, n_seeds; every number of the protocol (means over split seeds of
the means over records; chance in columns of its own, as it depends on how many units there are), followed by the bounds
of its 95% interval over units where it has a value per unit; the standard deviation of the primary number over seeds;
run_ids. Rows are sorted by it; references stand last, unranked. Control fold 0 only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench.core.errors import BenchError
from bench.core.files import locked
from bench.core.typing import Floats
from bench.results.generated import compare, refuse_mixed, rewrite, to_csv
from bench.tracks.representation import record as frozen_record
from bench.tracks.representation import references
from bench.tracks.representation.estimates import interval_half_widths, plan_for, shared_ranks
from bench.tracks.representation.metrics import METRICS, NAMES, PRIMARY
from bench.tracks.representation.record import FrozenRecord
from bench.tracks.representation.scores import unit_key
from bench.tracks.representation.track import TRACK

SUFFIX = f"{TRACK.suffix}.csv"
_RANKS = ("rank", "rank_low", "rank_high")
_METRICS = tuple(METRICS)
#: Records of one row by split seed.
BySeed = Mapping[int, Sequence[FrozenRecord]]


class Found(NamedTuple):
    """A record and where it lies."""

    record: FrozenRecord
    path: Path


def collect(folders: Iterable[Path], dataset: str | None = None) -> list[Found]:
    """Read all frozen-encoder records under leaderboards folders; of one run id the first folder's wins.

    Args:
        folders: Leaderboards folders; one that does not exist holds nothing.
        dataset: Only this data set's.

    Raises:
        BenchError: A damaged record.
    """
    found: dict[str, Found] = {}
    for folder in folders:
        for path in sorted((folder / "frozen").glob(f"{dataset or '*'}/*/*.json")):
            record = frozen_record.read(path)
            found.setdefault(record.run_id, Found(record, path))
    return list(found.values())


def group(found: Iterable[Found]) -> dict[str, list[Found]]:
    """Group records by data set and refuse what cannot stand in one table.

    Raises:
        BenchError: Different data, protocol versions, or splits or units for one (kind, seed, fold).
    """
    boards: dict[str, list[Found]] = defaultdict(list)
    for item in found:
        boards[item.record.spec.dataset].append(item)
    for dataset, items in boards.items():
        refuse_mixed(items, "data_hash", f"data set '{dataset}'", lambda r: r.spec.data_hash)
        refuse_mixed(items, "protocol_version", f"{dataset}{SUFFIX}", lambda r: str(r.protocol_version))
        by_draw: dict[tuple[str, int, int], list[Found]] = defaultdict(list)
        for item in items:
            spec = item.record.spec
            by_draw[spec.split, spec.split_seed, spec.control_fold].append(item)
        for (split, seed, fold), same in by_draw.items():
            where = f"{dataset}{SUFFIX}, split {split}, seed {seed}, fold {fold}"
            refuse_mixed(same, "split_id", where, lambda r: r.spec.split_id)
            for item in same[1:]:
                if item.record.units != same[0].record.units:
                    raise BenchError(
                        f"{where}: {same[0].path} and {item.path} are about different units. Delete them and run again."
                    )
    return dict(boards)


def board(items: Sequence[Found], seeds: Sequence[int] | None = None) -> pd.DataFrame:
    """Make the table of one data set.

    Args:
        items: Its records.
        seeds: Split seeds wanted; absent = those of the split's references, or else all. A row that lacks one is
            listed without a rank.

    Returns:
        One row per split and label; undefined numbers are NaN. Empty without a record on control fold 0.
    """
    tables: dict[str, list[FrozenRecord]] = defaultdict(list)
    for item in items:
        if item.record.spec.control_fold == 0:
            tables[item.record.spec.split].append(item.record)
    table = pd.DataFrame([line for split in sorted(tables) for line in _lines(split, tables[split], seeds)])
    if len(table):
        table[list(_RANKS)] = table[list(_RANKS)].astype("Int64")
    return table


def _lines(split: str, found: Sequence[FrozenRecord], seeds: Sequence[int] | None) -> list[dict[str, Any]]:
    bars = {record.spec.split_seed for record in found if record.kind == "reference"}
    wanted = set(seeds) if seeds is not None else bars or {record.spec.split_seed for record in found}
    rows: dict[tuple[str, str], dict[int, list[FrozenRecord]]] = defaultdict(lambda: defaultdict(list))
    for record in sorted(found, key=lambda r: (r.spec.split_seed, r.run_id)):
        if record.spec.split_seed in wanted:
            rows[record.kind, record.label][record.spec.split_seed].append(record)
    complete = tuple(sorted({seed for by_seed in rows.values() for seed in by_seed}))
    alike: dict[tuple[int, ...], list[tuple[str, str]]] = defaultdict(list)
    for row, by_seed in rows.items():
        alike[tuple(by_seed)].append(row)
    lines = []
    for present, same in alike.items():  # rows with the same seeds share their draws
        lines += _group_lines(split, {row: rows[row] for row in same}, ranked=present == complete)
    return sorted(lines, key=lambda line: (_order(line), -np.nan_to_num(line[PRIMARY], nan=-np.inf), line["model"]))


def _order(line: dict[str, Any]) -> int:
    if line["kind"] == "model":
        return 0
    return 1 + references.NAMES.index(line["model"]) if line["model"] in references.NAMES else 1 + len(references.NAMES)


def _group_lines(split: str, rows: Mapping[tuple[str, str], BySeed], ranked: bool) -> list[dict[str, Any]]:
    """Lines of rows with records of the same split seeds."""
    first = next(iter(rows.values()))
    plan = plan_for([[unit_key(unit) for unit in same[0].units] for same in first.values()])
    values = [np.stack([_per_unit(by_seed[seed]) for by_seed in rows.values()], axis=1) for seed in first]
    widths = interval_half_widths(plan, values)
    lines = [_line(split, *row, by_seed, width) for (row, by_seed), width in zip(rows.items(), widths, strict=True)]
    placed = [i for i, line in enumerate(lines) if line["kind"] == "model" and np.isfinite(line[PRIMARY])]
    if ranked and placed:
        level = np.array([lines[i][PRIMARY] for i in placed])
        primary = [block[:, placed, _METRICS.index(PRIMARY)] for block in values]
        for i, places in zip(placed, shared_ranks(plan, level, primary).tolist(), strict=True):
            lines[i].update(zip(_RANKS, places, strict=True))
    return lines


def _per_unit(same: Sequence[FrozenRecord]) -> Floats:
    """Values of all metrics ``[U, M]``, averaged over a split seed's records; nothing of records without any."""
    blocks = [
        np.stack([record.per_unit(name) if record.values else np.empty(0) for name in _METRICS], axis=1)
        for record in same
    ]
    return np.asarray(np.mean(blocks, axis=0))


def _line(split: str, kind: str, label: str, by_seed: BySeed, width: Floats) -> dict[str, Any]:
    # [seeds, numbers]: seeds weigh the same, however many records one has.
    levels = np.array([np.mean([_row(record) for record in same], axis=0) for same in by_seed.values()])
    primary = levels[:, NAMES.index(PRIMARY)]
    line: dict[str, Any] = {
        "split": split,
        **dict.fromkeys(_RANKS),
        "model": label,
        "kind": kind,
        "n_seeds": len(by_seed),
    }
    half_widths = dict(zip(_METRICS, width.tolist(), strict=True))
    for name, level in zip(NAMES, levels.mean(axis=0).tolist(), strict=True):
        line[name] = level
        if name in half_widths:
            line |= {f"{name}_ci_low": level - half_widths[name], f"{name}_ci_high": level + half_widths[name]}
    line[f"{PRIMARY}_sd"] = float(primary.std(ddof=1)) if len(primary) > 1 else float("nan")
    line["run_ids"] = " ".join(record.run_id for same in by_seed.values() for record in same)
    return line


def _row(record: FrozenRecord) -> list[float]:
    values = (record.numbers.get(name) for name in NAMES)
    return [float("nan") if value is None else value for value in values]


def expected_files(folder: Path) -> dict[Path, str]:
    """Compute every CSV that the frozen-encoder records under a leaderboards folder give.

    Raises:
        BenchError: Records that are damaged or cannot stand in one table.
    """
    tables = {dataset: board(items) for dataset, items in sorted(group(collect([folder])).items())}
    return {folder / f"{dataset}{SUFFIX}": to_csv(table) for dataset, table in tables.items() if len(table)}


def _present(folder: Path) -> set[Path]:
    return set(folder.glob(f"*{SUFFIX}"))


def regenerate(folder: Path) -> list[Path]:
    """Write all CSVs of this kind and remove those that no record gives; return the changed ones."""
    with locked(folder):
        return rewrite(expected_files(folder), _present(folder))


def check(folder: Path) -> int:
    """Compare the CSVs of this kind with what their records give; return how many there are.

    Raises:
        BenchError: Naming the files that differ.
    """
    return compare(expected_files(folder), _present(folder), folder)
