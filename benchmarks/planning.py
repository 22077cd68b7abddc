"""How long a search takes and what it loses: candidates one by one, and pairs in two stages against all of them.

    python benchmarks/planning.py [--model jepa] [--exhaustive 3000]

On the built-in screen; the model is fitted first, which is not counted. Printed: seconds for 1,000 candidates, seconds
for 500,000 pairs, and the share of the true top 50 among an exhaustive search's pairs that two stages find.
"""

import argparse
import tempfile
import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd

import bench
from bench.core.conditions import constituents
from bench.runner import known, planner
from bench.runner.home import load_model

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--model", default="jepa")
parser.add_argument("--exhaustive", type=int, default=3_000, help="pairs of the exhaustive search")
parser.add_argument("--seed", type=int, default=1)
options = parser.parse_args()

task = bench.load_task("simulated", seed=options.seed)
folder = Path(tempfile.mkdtemp())
bench.run(options.model, task, out=folder / "runs").save(folder / "model")
model = load_model(folder / "model")
genes = known.known_of(model).genes
print(f"{options.model}: knows {len(genes)} genes")
data = task.dataset
double = next(unit for unit in task.units if len(constituents(unit.perturbation)) == 2)
rows = data.unit_rows(double)
target = anndata.AnnData(data.x[rows], obs=pd.DataFrame(index=data.barcodes[rows]), var=pd.DataFrame(index=data.genes))

rng = np.random.default_rng(0)
some = [tuple(rng.choice(genes, 2, replace=False)) for _ in range(max(1_000 - len(genes), 0))]
names = [*genes, *("+".join(pair) for pair in some)][:1_000]
begin = time.perf_counter()
found = planner.search(model, target, candidates=names)
print(f"{found.considered:,} candidates: {time.perf_counter() - begin:.1f} s")

begin = time.perf_counter()
found = planner.search(model, target, candidates="pairs")
print(f"{found.considered:,} pairs in two stages, {found.calls:,} calls: {time.perf_counter() - begin:.1f} s")

few = sorted(rng.choice(genes, int((2 * options.exhaustive) ** 0.5) + 1, replace=False))
left_out = [gene for gene in genes if gene not in few]
whole = planner.search(model, target, candidates="pairs", avoid=left_out, top=50, shortlist=10**9)
for shortlist in (100, 250, 500):
    quick = planner.search(model, target, candidates="pairs", avoid=left_out, top=50, shortlist=shortlist)
    recall = len(set(whole.table["perturbation"]) & set(quick.table["perturbation"])) / 50
    print(f"{whole.considered:,} pairs, {shortlist} called: {recall:.0%} of the true top 50")
