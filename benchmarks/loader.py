"""Throughput of the training loader: perturbed cells per second, each with its paired control, as dense tensors.

    python benchmarks/loader.py [--cells 100000] [--genes 2000] [--density 0.15] [--batch-size 512]

Beside it the same with one ``toarray()`` for the cells and one for the controls.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import scipy.sparse as sp
import torch

from bench.core.conditions import CONTROL, single
from bench.data.controls import control_pools
from bench.data.datamodule import PerturbationDataModule
from bench.data.dataset import Dataset, build
from bench.data.splits.split import Split
from bench.data.task import Task


def screen(cells: int, genes: int, density: float) -> Dataset:
    """Generate cells of 100 conditions with 10% controls in four batches."""
    rng = np.random.default_rng(0)
    per_row = int(genes * density)
    # Sorted random columns: 1,000 patterns, repeated; what is measured is moving them, not drawing them.
    patterns = np.sort(np.argsort(rng.random((1000, genes)), axis=1)[:, :per_row], axis=1).astype(np.int32)
    indices = patterns[np.arange(cells) % 1000].ravel()
    indptr = np.arange(0, cells * per_row + 1, per_row)
    x = sp.csr_matrix((rng.random(cells * per_row, dtype=np.float32) + 0.1, indices, indptr), shape=(cells, genes))
    names = np.array([f"G{i:05d}" for i in range(genes)])
    labels = np.array([CONTROL, *(single(f"G{i:05d}") for i in range(100))])
    return build(
        "generated",
        x,
        genes=names,
        barcodes=np.array([f"c{i:07d}" for i in range(cells)]),
        condition=labels[np.where(np.arange(cells) % 10 == 0, 0, 1 + rng.integers(0, 100, cells))],
        context=np.full(cells, "line"),
        batch=np.array(["b0", "b1", "b2", "b3"])[rng.integers(0, 4, cells)],
        source="generated",
    )


def rate(batches: object, seconds: float) -> float:
    """Perturbed cells per second over some seconds."""
    n, begin = 0, time.perf_counter()
    for batch in batches:  # type: ignore[attr-defined]
        n += len(batch[0])
        if time.perf_counter() - begin > seconds:
            break
    return n / (time.perf_counter() - begin)


def main() -> None:
    """Measure both in turn and print rates and ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--density", type=float, default=0.15)
    parser.add_argument("--batch-size", type=int, default=512)
    options = parser.parse_args()
    data = screen(options.cells, options.genes, options.density)
    names = [name for name in data.conditions if name != CONTROL]
    inputs, reference, cells, _ = control_pools(data, 1, 0)
    split = Split(
        kind="custom",
        seed=1,
        control_fold=0,
        train=tuple(names[:80]),
        val=tuple(names[80:90]),
        test=tuple(names[90:]),
        unused=(),
        subgroups={"unseen_single": tuple(names[90:])},
        input_controls=inputs,
        reference_controls=reference,
        input_cells=cells,
    )
    loader = PerturbationDataModule(Task(data, split), batch_size=options.batch_size).train_dataloader()

    def separately() -> object:
        for rows, controls in loader.sampler:
            yield torch.from_numpy(data.x[rows].toarray()), torch.from_numpy(data.x[controls].toarray())

    ours, peer = [], []
    for _ in range(3):
        ours.append(rate(loader, 3.0))
        peer.append(rate(separately(), 3.0))
    print(f"{options.cells} x {options.genes} at {options.density:.0%}, batches of {options.batch_size}, median of 3")
    print(f"one row block:        {np.median(ours):9,.0f} perturbed cells/s with their controls")
    print(f"cells, then controls: {np.median(peer):9,.0f} perturbed cells/s")
    print(f"ratio: {np.median(ours) / np.median(peer):.2f}")


if __name__ == "__main__":
    main()
