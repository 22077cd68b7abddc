"""Trees that faults happen to: copies of them, and what in them must not change."""

import shutil

from harness import collect

from bench.results import records


def copy_of(source, target):
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("cache", "runs"))
    return target


def numbers_of(folder):
    """What must not depend on what happened on the way: everything but time, place and costs."""
    found = {str(path.relative_to(folder)): records.read(path) for path in sorted(folder.glob("runs/*/record.json"))}
    for entry in collect(folder / "runs" / "leaderboards"):
        assert entry.table.hash == entry.record.values_hash
        found[f"board {entry.record.run_id}"] = entry.record
    kept = {"created", "budget", "hashes", "git_sha", "git_dirty"}
    return {name: record.model_dump(exclude=kept) for name, record in found.items()}


def csvs_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.csv"))}


LEADERBOARD = ["leaderboard", "--leaderboards", "runs/leaderboards", "--quiet"]
SCORE = ["score", "given.h5ad", "--data", "t.yaml", "--split-file", "split.json", "--name", "given"]


def without_csvs(six, folder):
    shutil.copytree(six, folder)
    old = sorted(folder.rglob("*.csv"))
    for path in old[1:]:
        path.unlink()
    old[0].write_text("old\n")
    return folder
