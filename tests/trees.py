"""Trees that faults happen to: copies of them, and what in them must not change."""

import shutil

from command import RUN
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
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.csv"))}


LEADERBOARD = ["leaderboard", "--leaderboards", "runs/leaderboards", "--quiet"]
SCORE = ["score", "given.h5ad", "--data", "t.yaml", "--split-file", "split.json", "--name", "given"]


def without_csvs(six, folder):
    shutil.copytree(six, folder)
    old = sorted(folder.rglob("*.csv"))
    for path in old[1:]:
        path.unlink()
    old[0].write_text("old\n")
    return folder


SMALL = {"epochs": 10, "width": 16, "hidden": 32, "depth": 1, "heads": 2, "batch_size": 32, "action_width": 16}
SMALL |= {"head_steps": 100, "head_width": 32, "head_depth": 1}
FLAGS = [word for key, value in SMALL.items() for word in (f"--{key.replace('_', '-')}", str(value))]
LEARNED = ["run", "--model", "mae", *FLAGS, *RUN[3:]]
PUBLISH = ["publish", "--leaderboards", "boards"]


def spent(folder):
    """Seconds of training that the checkpoint of a killed run has; it is whole, as all files that are in place."""
    import torch

    from bench.training import checkpoints

    found = list(folder.glob("runs/encoders/*/last.ckpt"))
    return sum(torch.load(path, weights_only=True)[checkpoints.KEY]["seconds"] for path in found)
