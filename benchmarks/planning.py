"""How long a search takes and what it loses: candidates one by one, and pairs by three searches.

    python -P benchmarks/planning.py [--model jepa] [--data simulated] [--targets 5] [--run FOLDER]

On the built-in screen; the model is fitted first (or read from a folder that ``--save`` wrote), which is not counted.
Printed: seconds for 1,000 candidates and for all pairs of 1,001 genes (500,500; further genes have the features of
known ones, under other names, on which time does not depend), and, on some 3,000 pairs and several goals, the share of
the exhaustive search's top 50 that each search finds, whether it finds the very first, and the predictions that it asks
of the model.
"""

import argparse
import copy
import dataclasses
import tempfile
import time
from itertools import combinations
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import torch

import bench
from bench.core.conditions import constituents
from bench.core.errors import BenchError
from bench.runner import known, planner
from bench.runner.home import load_model

TOP = 50

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--model", default="jepa")
parser.add_argument("--epochs", type=int, help="a shorter training, where only time is asked for")
parser.add_argument("--run", type=Path, help="folder of a saved model, instead of fitting one")
parser.add_argument("--data", default="simulated")
parser.add_argument("--pairs", type=int, default=3_000, help="pairs of the comparison")
parser.add_argument("--targets", type=int, default=5)
parser.add_argument("--only-time", action="store_true")
parser.add_argument("--seed", type=int, default=1)
options = parser.parse_args()

task = bench.load_task(options.data, seed=options.seed)
folder = options.run
if folder is None:
    folder = Path(tempfile.mkdtemp())
    arguments = {"epochs": options.epochs} if options.epochs else {}
    bench.run(options.model, task, out=folder / "runs", **arguments).save(folder / "model")
    folder = folder / "model"
model = load_model(folder)
genes = known.known_of(model).genes


def with_more_genes(model, count):
    """The model with features of so many genes: those of known ones, again."""
    facts = copy.deepcopy(model.kept.facts)
    tables = dict(model.kept.tables)
    for i, bank in enumerate(facts["actions"]["banks"]):
        new = [f"AGAIN{j}" for j in range(count - len(genes))]
        at = [j % len(bank["genes"]) for j in range(len(new))]
        bank["genes"] += new
        tables[f"actions.bank_{i}"] = torch.cat([tables[f"actions.bank_{i}"], tables[f"actions.bank_{i}"][at]])
    return dataclasses.replace(model, kept=dataclasses.replace(model.kept, facts=facts, tables=tables))


data = task.dataset
print(f"{model.described.model}: knows {len(genes)} genes, predicts {len(model.described.genes)}", flush=True)


def cells(condition):
    """Cells of a condition, without their labels."""
    rows = data.cells_of[condition]
    obs, var = pd.DataFrame(index=data.barcodes[rows]), pd.DataFrame(index=data.genes)
    return anndata.AnnData(data.x[rows], obs=obs, var=var)


def timed(what, **asked):
    """One search, and what it took."""
    wall, processor = time.perf_counter(), time.process_time()
    found = planner.solve(model, goal, start, **asked)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(
        f"{what}: {found.considered:,} candidates, {found.calls:,} predictions, "
        f"{wall:.1f} s, of one core {processor:.1f} s",
        flush=True,
    )
    return found


doubles = [unit.perturbation for unit in task.units if len(constituents(unit.perturbation)) == 2]
start, goal = cells("ctrl"), cells(doubles[0])
planner.solve(model, goal, start, candidates=[genes[0]])  # what is loaded once is not counted
rng = np.random.default_rng(0)
some = [tuple(rng.choice(genes, 2, replace=False)) for _ in range(max(1_000 - len(genes), 0))]
timed("one by one", candidates=[*genes, *("+".join(pair) for pair in some)][:1_000])
small, model = model, with_more_genes(model, 1_001)
timed("pairs", candidates="pairs")
model = small
if options.only_time:
    raise SystemExit

few = sorted(rng.choice(genes, int((2 * options.pairs) ** 0.5) + 1, replace=False))
names = ["+".join(pair) for pair in combinations(few, 2)]
rows = []
for condition in doubles[: options.targets]:
    goal = cells(condition)
    whole = planner.solve(model, goal, start, candidates=names, top=TOP, search="exhaustive")
    best = whole.table["perturbation"].tolist()
    for search in ("surrogate", "gradient"):
        for shortlist in (100, 250, 500):
            try:
                quick = planner.solve(model, goal, start, candidates=names, top=TOP, search=search, shortlist=shortlist)
            except BenchError as error:
                print(error)
                break
            found, lost = quick.table["perturbation"].tolist(), quick.projection
            rows.append(
                {
                    "search": search,
                    "called": shortlist,
                    "predictions": quick.calls,
                    "recall": len(set(best) & set(found)) / TOP,
                    "first": found[0] == best[0],
                    "worse": quick.table["after"][0] - whole.table["after"][0],
                    "free": lost.free if lost else np.nan,
                    "nearest": lost.nearest if lost else np.nan,
                    "away": lost.away if lost else np.nan,
                }
            )
table = pd.DataFrame(rows).groupby(["search", "called"], sort=False).mean().reset_index()
print(
    f"{len(names):,} pairs, {len(doubles[: options.targets])} goals; by chance {100 / len(names):.1%} of them per 100"
)
print(table.to_string(index=False, float_format="%.3f"))
