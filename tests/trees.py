"""Trees that faults happen to: copies of them, and what in them must not change."""

import shutil

from bench.results import records


def copy_of(source, target):
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("cache", "runs"))
    return target


def numbers_of(folder):
    """What must not depend on what happened on the way: everything but time, place and costs."""
    out = {}
    for path in sorted(folder.glob("runs/**/*.json")):
        if path.name not in ("spec.json", "split.json"):
            record = records.read(path)
            kept = record.model_dump(exclude={"created", "budget", "hashes", "git_sha", "git_dirty"})
            out[str(path.relative_to(folder))] = {**kept, "table": record.hashes["table"]}
    return out


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
