"""The command line as a function, and a folder to use it in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import screens

from bench.cli import main as cli
from bench.core.conditions import single

ROOT = Path(__file__).resolve().parents[1]
TEST = ["G07+ctrl", "G08+ctrl", "G06+G07", "G08+G09", "G00+G01"]
RUN = ["run", "--model", "train_mean", "--data", "t.yaml", "--split", "custom", "--split-file", "split.json"]
RUN += ["--tracking", "off"]


def furnish(folder):
    """Put a file, its card and a custom split into a folder."""
    counts, obs = screens.tiny_counts(cells=12, controls=60)
    screens.write_h5ad(folder / "t.h5ad", counts, obs)
    (folder / "t.yaml").write_text("source: t.h5ad\nexpression: counts\ncolumns: {context: context}\n")
    parts = {"train": [single(g) for g in screens.SINGLES[:7]] + ["G02+G01"], "val": ["G09"], "test": TEST}
    (folder / "split.json").write_text(json.dumps(parts))


def bench(capsys, *argv):
    capsys.readouterr()
    code = cli.main(list(map(str, argv)))
    out, err = capsys.readouterr()
    return code, out, err


def last(out):
    """The last line of standard output: the path of the record."""
    return out.rstrip("\n").rpartition("\n")[2]


def refuse(capsys, argv, *words):
    code, out, err = bench(capsys, *argv)
    last = err.rstrip("\n").split("\n")[-1]
    assert (code, out) == (2, ""), err
    assert last.startswith("error: ") and err.count("error:") == 1
    for word in words:
        assert str(word) in last, last


def process(*argv, **options):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-m", "bench.cli.main", *argv], env=env, text=True, **options)
