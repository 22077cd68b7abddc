"""Time and memory of scoring, as ratios to cell-eval measured in the same minutes, and on large screens.

    python benchmarks/panel.py [--peer-python PYTHON] [--cells 10000] [--genes 2000] [--conditions 20]
    python benchmarks/panel.py --large [--scale 0.1] [--profile]
    python benchmarks/panel.py --records 1000 [--seeds 3] [--profile]

First form: our whole panel (files read, truth computed, all metrics of model, floor and replicate on all cells and on
ten halves, skill, intervals) against ``cell-eval run`` (profile full) on the same generated cells, in turn, medians of
3. "aside" is ours without floor, replicate and skill, which cell-eval does not have either. PYTHON is an interpreter
that has cell-eval: ``python -m venv peer && peer/bin/pip install cell-eval``, then ``--peer-python peer/bin/python``.

Second form: 1,000 test conditions x 5,000 genes x 100,000 cells. Third: the boards of many records.
"""

from __future__ import annotations

import argparse
import cProfile
import inspect
import json
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bench.core.conditions import CONTROL, single
from bench.data.task import Task

TRAIN = 4  # conditions that only our file has, of 25 cells: the floor is a mean of train shifts
CARD = "name: generated\nsource: ours.h5ad\nexpression: log1p\n"
PEER = """
import json, sys, time
from pathlib import Path
begin = time.perf_counter()
from cell_eval import MetricsEvaluator
imported = time.perf_counter()
folder, threads = sys.argv[1], int(sys.argv[2])
evaluator = MetricsEvaluator(
    adata_pred=f"{folder}/predicted.h5ad", adata_real=f"{folder}/real.h5ad", control_pert="ctrl",
    pert_col="condition", num_threads=threads, outdir=f"{folder}/peer",
)
evaluator.compute(profile="full", basename="results.csv")
work = time.perf_counter() - imported
print(json.dumps({"work_s": work, "peak_mib": peak()}))
"""


def peak() -> float:
    """Peak memory of this process in MiB."""
    # Not ru_maxrss: it is inherited from the process that started us.
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1024


def cells_of(rng: np.random.Generator, rates: np.ndarray, depth: float) -> sp.csr_matrix:
    """Poisson counts of given rates, normalised to 10,000 and log1p-transformed."""
    counts = rng.poisson(rates * rng.uniform(0.7, 1.3, (len(rates), 1)) * depth).astype(np.float32)
    counts *= 1e4 / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return sp.csr_matrix(np.log1p(counts))


def generate(folder: Path, cells: int, genes: int, conditions: int, per_condition: int | None = None) -> None:
    """Write ``real.h5ad``, ``predicted.h5ad`` (cells of all conditions and controls), ``ours.h5ad``, card and split.

    A tenth of the cells are controls. Predicted cells have a noisy effect and as many cells as the truth, or
    ``per_condition``.
    """
    import anndata

    rng = np.random.default_rng(0)
    base = np.exp(rng.normal(-1.6, 1.3, genes))
    names = [CONTROL, *(single(f"G{i:05d}") for i in range(conditions + TRAIN))]
    effects = rng.normal(0, 0.8, (len(names), genes)) * (rng.random((len(names), genes)) < 0.05)
    effects[0] = 0
    noisy = 0.7 * effects + rng.normal(0, 0.1, effects.shape) * (effects != 0)
    sizes = np.full(len(names), (cells - cells // 10) // conditions)
    sizes[0], sizes[-TRAIN:] = cells // 10, 25

    def screen(strength: np.ndarray, n: np.ndarray, path: Path, columns: int) -> None:
        blocks, labels = [], []
        for i in range(columns):
            blocks.append(cells_of(rng, np.tile(base * np.exp(strength[i]), (int(n[i]), 1)), 2.0))
            labels += [names[i]] * int(n[i])
        obs = pd.DataFrame({"condition": labels}, index=pd.Index([f"c{i:07d}" for i in range(len(labels))]))
        var = pd.DataFrame(index=pd.Index([f"G{i:05d}" for i in range(genes)]))
        anndata.AnnData(sp.vstack(blocks, format="csr"), obs=obs, var=var).write_h5ad(path)

    screen(effects, sizes, folder / "ours.h5ad", len(names))
    whole = anndata.read_h5ad(folder / "ours.h5ad")
    whole[~whole.obs["condition"].isin(names[-TRAIN:])].copy().write_h5ad(folder / "real.h5ad")
    predicted = sizes if per_condition is None else np.where(np.arange(len(names)) > 0, per_condition, sizes[0])
    screen(noisy, predicted, folder / "predicted.h5ad", 1 + conditions)
    (folder / "card.yaml").write_text(CARD)
    lists = {"train": names[-TRAIN:], "val": [], "test": names[1 : 1 + conditions]}
    (folder / "split.json").write_text(json.dumps(lists))


def score(folder: Path, aside: bool) -> None:
    """Everything from files to levels with intervals."""
    from bench.data import load
    from bench.data.splits import split as splits
    from bench.results import predictions
    from bench.results.tables import ALL
    from bench.stats.design import design
    from bench.stats.jackknife import estimate
    from bench.tracks.response import score as scoring
    from bench.tracks.response.align import predicted_sample
    from bench.tracks.response.evaluate import over_units, values_of
    from bench.tracks.response.metrics import METRICS
    from bench.tracks.response.truth import truth

    if aside:
        truth.HALVINGS = 1  # the least that it can compute
    dataset = load.load(load.resolve(str(folder / "card.yaml"))[0])
    split = splits.draw(dataset, "custom", 1, 0, folder / "split.json")
    facts = timed("truth", lambda: truth.compute(Task(dataset, split)))
    got = timed(
        "predictions",
        lambda: predictions.read(folder / "predicted.h5ad", facts.units, facts.genes, {}),
    )
    if aside:
        sample = None if got.cells is None else predicted_sample(facts, got.cells)
        found = over_units(facts, values_of(facts, got.y_hat, sample))
        values = np.stack([found[name, ALL]["value"] for name in METRICS], axis=1)
        estimate(design([facts.units]), values)
        return
    table = timed("metrics", lambda: scoring.score_table(facts, got.y_hat, got.fallbacks, got.cells))
    timed("levels", lambda: scoring.levels(table))


def timed(name: str, work: Callable[[], object]):  # type: ignore[no-untyped-def]
    """Do something and say on stderr how long it took."""
    begin = time.perf_counter()
    result = work()
    print(f"  {name:<12}{time.perf_counter() - begin:7.1f} s   peak so far {peak():7,.0f} MiB", file=sys.stderr)
    return result


def profiled(work: Callable[[], object], wanted: bool) -> None:
    """Run something, under cProfile if wanted: what took the most time itself, and of ours with all it calls."""
    if not wanted:
        work()
        return
    profile = cProfile.Profile()
    profile.runcall(work)
    stats = pstats.Stats(profile, stream=sys.stderr)
    stats.sort_stats("tottime").print_stats(10)
    stats.sort_stats("cumtime").print_stats("/bench/", 20)


def worker(mode: str, folder: Path, profile: bool) -> None:
    """What a measured process of ours does."""
    import bench.results.predictions
    import bench.tracks.response.score
    import bench.tracks.response.truth.truth  # noqa: F401

    begin = time.perf_counter()
    profiled(lambda: score(folder, mode == "aside"), profile)
    print(json.dumps({"work_s": time.perf_counter() - begin, "peak_mib": peak()}))


def measure(command: list[str], quiet: bool = True) -> dict[str, float]:
    """Run a process; its last line says how long the work took."""
    begin = time.perf_counter()
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE if quiet else None, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{(done.stderr or '')[-3000:]}")
    return {"whole_s": time.perf_counter() - begin, **json.loads(done.stdout.strip().splitlines()[-1])}


def compare(folder: Path, options: argparse.Namespace) -> None:
    """Ours, ours without what the peer lacks, and the peer, in turn."""
    generate(folder, options.cells, options.genes, options.conditions)
    me = [sys.executable, __file__, "--folder", str(folder), "--worker"]
    commands = {"ours": [*me, "ours"], "aside": [*me, "aside"]}
    if options.peer_python:
        commands["cell-eval"] = [
            options.peer_python,
            "-c",
            inspect.getsource(peak) + PEER,
            str(folder),
            str(options.threads),
        ]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for command in commands.values():  # once for compiled caches (numba), not counted, the peer's too
        measure(command)
    for _ in range(options.repeats):
        for name, command in commands.items():
            found[name].append(measure(command))
    middle = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in found.items()
    }
    print(
        f"{options.cells:,} cells x {options.genes:,} genes, {options.conditions} conditions, {options.threads} cores, "
        f"median of {options.repeats}"
    )
    print(f"load average {os.getloadavg()[0]:.1f}: above the number of processes measured, others were at work too")
    for name, row in middle.items():
        print(
            f"{name:<10} whole {row['whole_s']:7.1f} s  work {row['work_s']:7.1f} s  peak {row['peak_mib']:7,.0f} MiB"
        )
    if "cell-eval" not in middle:
        print("cell-eval skipped: make an environment with it (pip install cell-eval) and name its --peer-python.")
        return
    for name in ("ours", "aside"):
        ratio = {key: middle["cell-eval"][key] / middle[name][key] for key in middle[name]}
        print(
            f"cell-eval / {name}: whole {ratio['whole_s']:.1f}x  work {ratio['work_s']:.1f}x  "
            f"memory {ratio['peak_mib']:.1f}x"
        )


def large(folder: Path, scale: float, profile: bool) -> None:
    """1,000 conditions x 5,000 genes x 100,000 cells, 50 predicted cells each; or a share of cells and conditions."""
    cells, conditions = round(100_000 * scale), round(1_000 * scale)
    generate(folder, cells, 5_000, conditions, per_condition=50)
    command = [sys.executable, __file__, "--folder", str(folder), "--worker", "ours"]
    row = measure([*command, *(["--profile"] if profile else [])], quiet=False)
    print(
        f"{cells:,} cells x 5,000 genes, {conditions:,} test conditions: {row['work_s']:.0f} s, "
        f"peak {row['peak_mib'] / 1024:.1f} GiB (under 180 s and 6 GB wanted for 1,000)"
    )


def write_records(folder: Path, n: int, seeds: int, conditions: int = 78) -> None:
    """Write ``n`` records of ``n / seeds`` models and the floor, on the same test conditions under each seed."""
    from bench.results import store, tables
    from bench.results.records import Budget, Record
    from bench.results.spec import RunSpec
    from bench.results.tables import EFFECTS
    from bench.tracks.response.metrics import METRICS
    from bench.tracks.response.track import TRACK

    made = []
    rng = np.random.default_rng(0)
    names = [f"P{i:03d}+ctrl" for i in range(conditions)]
    groups = np.array(["unseen_single", "combo_seen0", "combo_seen1", "combo_seen2"])[np.arange(conditions) % 4]
    per_metric = {name: rng.normal(0, 0.1, (seeds, conditions)) for name in METRICS}
    for i in range(n):
        seed, model = i % seeds, "train_mean" if i < seeds else f"model_{i // seeds:04d}"
        level = 0.2 if model == "train_mean" else 0.2 + 0.4 * rng.random()
        frames = []
        for name, metric in METRICS.items():
            base = per_metric[name][seed]
            value = level + base + rng.normal(0, 0.05, conditions)
            rows = pd.DataFrame(
                {
                    "condition": names,
                    "subgroup": groups,
                    "metric": name,
                    "scope": "all",
                    "value": value,
                    "floor": 0.2 + base,
                    "half_value": value,
                    "half_floor": 0.2 + base,
                    "half_replicate": 0.8 + base,
                    "degenerate": False,
                    "fallbacks": 0,
                    "cells": 50,
                    "effect": [EFFECTS[3 * c // conditions] for c in range(conditions)],
                }
            )
            frames.append(rows)
            if metric.info.by_gallery:
                frames += [rows[groups == group].assign(scope=group) for group in np.unique(groups)]
        spec = RunSpec(
            dataset="generated",
            data_hash="h",
            split="simulation",
            split_seed=seed + 1,
            control_fold=0,
            split_id=f"s{seed}",
            model=model,
            model_version=1,
            arguments={"width": 128, "depth": 4, "rate": 1e-3},
            variant={},
            pretrain_seed=seed,
            head_seed=seed,
        )
        table = tables.from_long(TRACK, pd.concat(frames, ignore_index=True))
        record = Record(
            track=TRACK.name,
            track_version=TRACK.version,
            run_id=spec.run_id,
            spec=spec,
            evidence="full",
            created="2026-01-01T00:00:00Z",
            controls_used="input",
            hashes={},
            git_sha=None,
            git_dirty=None,
            packages={},
            hardware={},
            budget=Budget(parameters={"fit": 1}, fit_s=1.0, predict_s=1.0),
            selection=None,
            warnings=(),
            values_hash=table.hash,
        )
        made.append((record, table))
    store.add(folder, TRACK, made)


def boards(folder: Path, n: int, seeds: int, profile: bool) -> None:
    """All CSVs of many records."""
    from bench.results import everything
    from bench.tracks import registry

    write_records(folder, n, seeds)
    begin = time.perf_counter()
    profiled(lambda: everything.regenerate(registry.tracks(), folder), profile)
    took = time.perf_counter() - begin
    size = sum(path.stat().st_size for path in folder.rglob("*.*") if path.is_file()) / 2**20
    print(f"boards of {n:,} records ({seeds} seeds, {size:.0f} MiB): {took:.1f} s (under 4 wanted)")


def main() -> None:
    """Choose what to measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--conditions", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--peer-python", help="an interpreter that has cell-eval")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the cells and conditions of --large")
    parser.add_argument("--records", type=int)
    parser.add_argument("--seeds", type=int, default=3, help="of the records")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--worker", choices=("ours", "aside"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.folder, options.profile)
        return
    with tempfile.TemporaryDirectory() as name:
        if options.records:
            boards(Path(name), options.records, options.seeds, options.profile)
        elif options.large:
            large(Path(name), options.scale, options.profile)
        else:
            compare(Path(name), options)


if __name__ == "__main__":
    main()
