"""Records -> boards: one CSV per data set and split, and one per subgroup. Generated, never edited.

Columns: rank, rank_low, rank_high, model, mean skill with its interval, n_seeds, n_conditions, n_informative; per
metric its mean, ci_low, ci_high and skill; beat_rate, control_sd, n_fallback, wall_s, parameters, run_ids.
``n_conditions`` counts (condition, seed) pairs. Levels are means over seeds of the mean over conditions, on control
fold 0; fold 1 gives ``control_sd``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from bench.core.files import locked
from bench.results import records
from bench.results.board import Found, board
from bench.results.generated import compare, refuse_mixed, rewrite, to_csv


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
        refuse_mixed(items, "data_hash", f"data set '{dataset}'", lambda r: r.spec.data_hash)
        refuse_mixed(items, "scoring_version", f"board {dataset}__{split}", lambda r: str(r.spec.scoring_version))
        by_draw: dict[tuple[int, int], list[Found]] = defaultdict(list)
        for item in items:
            by_draw[item.record.spec.split_seed, item.record.spec.control_fold].append(item)
        for (seed, fold), same in by_draw.items():
            where = f"board {dataset}__{split}, seed {seed}, fold {fold}"
            refuse_mixed(same, "split_id", where, lambda r: r.spec.split_id)
    return dict(boards)


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
    # The boards of frozen encoders come from other records: see bench.tracks.representation.board.
    return {
        path
        for path in (*folder.glob("*__*.csv"), *(folder / "subgroups").glob("*__*.csv"))
        if not path.name.endswith("__frozen.csv")
    }


def regenerate(folder: Path) -> list[Path]:
    """Write all CSVs of a leaderboards folder and remove those that no record gives; return the changed ones."""
    with locked(folder):  # whoever comes later reads the records later
        return rewrite(expected_files(folder), _present(folder))


def check(folder: Path) -> int:
    """Compare the CSVs of a folder with what its records give; return how many there are.

    Raises:
        BenchError: Naming the files that differ.
    """
    return compare(expected_files(folder), _present(folder), folder)
