"""Time and memory from an h5ad file to a model that can be trained: this harness against cell-gears.

Both sides read the same 20,000 x 2,000 file in a fresh process. Ours reads, takes the cached split, computes the
truth with differential expression over all cells and its halves, and draws the first training batch. cell-gears runs
``new_data_process`` (differential expression, one graph object per cell, pickled); its constructor downloads the GO
table, so the object is made without it and given a table with every gene.

    python benchmarks/ready_to_train.py [--cells 20000] [--genes 2000] [--repeats 3]

prints one line per side (seconds of the work alone, of the whole process with its imports, peak MiB) and the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.data.task import Task


def generate(path: Path, cells: int, genes: int, conditions: int = 100) -> None:
    """Write log1p counts, 15% non-zero, with 10% controls and shifted genes, in the columns that GEARS expects."""
    import anndata
    import pandas as pd
    import scipy.sparse as sp

    rng = np.random.default_rng(0)
    n_control = cells // 10
    label = np.concatenate([np.zeros(n_control, dtype=int), 1 + np.arange(cells - n_control) % conditions])
    rate = rng.gamma(0.3, 0.6, genes)
    moved = rng.random((conditions, genes)) < 0.1
    shift = np.vstack([np.zeros(genes), rng.normal(0, 0.5, (conditions, genes)) * moved])
    blocks = [
        sp.csr_matrix(np.log1p(rng.poisson(rate * np.exp(shift[part]))).astype(np.float32))
        for part in np.array_split(label, max(1, cells // 2000))
    ]
    names = [f"G{i:05d}" for i in range(genes)]
    conditions_of = np.array(["ctrl", *(f"{names[i]}+ctrl" for i in range(conditions))])[label]
    obs = pd.DataFrame({"condition": conditions_of, "cell_type": "K562"}, index=[f"c{i}" for i in range(cells)])
    var = pd.DataFrame({"gene_name": names}, index=names)
    anndata.AnnData(sp.vstack(blocks, format="csr"), obs=obs, var=var).write_h5ad(path)


def peak_mib() -> float:
    """Largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ours(path: Path) -> tuple[float, float]:
    """Read, split, truth, first batch; return seconds, and the peak that the imports alone had."""
    import illico  # noqa: F401 - imported where it is used, but not the work that is timed

    import bench.data.datamodule as datamodule
    from bench.data import load
    from bench.data.splits import split as splits
    from bench.tracks.response.truth import truth

    imports = peak_mib()
    begin = time.perf_counter()
    dataset = load.load(load.resolve(str(path))[0])
    split = splits.draw(dataset, "simulation", 1)
    truth.compute(Task(dataset, split))
    next(iter(datamodule.PerturbationDataModule(Task(dataset, split)).train_dataloader()))
    return time.perf_counter() - begin, imports


def gears(path: Path) -> tuple[float, float]:
    """cell-gears' ``new_data_process``, likewise."""
    import scanpy as sc
    from gears import PertData

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        module = PertData.__new__(PertData)
        module.data_path, module.gene_set_path, module.default_pert_graph = folder, None, False
        imports = peak_mib()
        begin = time.perf_counter()
        adata = sc.read_h5ad(path)
        module.gene2go = {gene: {"GO:0"} for gene in adata.var["gene_name"]}
        module.new_data_process("peer", adata)
        return time.perf_counter() - begin, imports


def measure(side: str, path: Path) -> dict[str, float]:
    """Run one side in a fresh process."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--side", side, "--file", str(path)], capture_output=True, text=True, check=False
    )
    whole = time.perf_counter() - begin
    if done.returncode:
        sys.exit(f"{side} failed:\n{done.stderr[-2000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "whole_s": whole}


def main() -> None:
    """Alternate the two sides and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", choices=("ours", "gears"), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        seconds, imports = {"ours": ours, "gears": gears}[options.side](options.file)
        print(json.dumps({"work_s": seconds, "peak_mib": peak_mib(), "work_mib": peak_mib() - imports}))
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BENCH_CACHE"] = str(Path(folder) / "cache")
        path = Path(folder) / "peer.h5ad"
        generate(path, options.cells, options.genes)
        measure("ours", path)  # fills the split cache and the disk cache
        runs: dict[str, list[dict[str, float]]] = {"ours": [], "gears": []}
        for _ in range(options.repeats):
            for side, results in runs.items():
                results.append(measure(side, path))
    median = {s: {k: statistics.median(r[k] for r in rs) for k in rs[0]} for s, rs in runs.items()}
    print(f"{options.cells} cells x {options.genes} genes, 100 conditions, median of {options.repeats}")
    for side, values in median.items():
        print(
            f"{side:>6}: work {values['work_s']:6.2f} s, {values['work_mib']:5.0f} MiB above its imports;   "
            f"whole process {values['whole_s']:6.2f} s, peak {values['peak_mib']:5.0f} MiB"
        )
    for key, what in (
        ("work_s", "work, times faster"),
        ("work_mib", "memory above the imports, times less"),
        ("whole_s", "whole process, times faster"),
        ("peak_mib", "peak of the whole process, times less"),
    ):
        print(f"{what}: {median['gears'][key] / median['ours'][key]:.1f}")


if __name__ == "__main__":
    main()
