"""Screens of several contexts: one small enough to follow by hand, and one of many lines with gaps, as in McFaline."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
import screens

from bench.core.conditions import CONTROL
from bench.data.dataset import Dataset, build
from bench.data.splits.split import Split

#: Mean expression of every cell of a group, by (condition, context); gene by gene.
TOY = {
    (CONTROL, "left"): (1.0, 2.0, 3.0, 1.0),
    (CONTROL, "right"): (2.0, 2.0, 1.0, 4.0),
    ("A+ctrl", "left"): (2.0, 2.0, 3.0, 1.0),
    ("A+ctrl", "right"): (2.0, 5.0, 1.0, 4.0),
    ("B+ctrl", "left"): (1.0, 2.0, 5.0, 1.0),
    ("C+ctrl", "left"): (1.0, 3.0, 3.0, 1.0),
    ("C+ctrl", "right"): (2.0, 2.0, 1.0, 8.0),
    ("A+B", "left"): (2.5, 2.0, 5.0, 1.0),
    ("A+B", "right"): (2.0, 6.0, 1.0, 4.0),
}
#: Cells of each group but the controls, which are 40; a group of 3 is too small to be evaluated.
CELLS = {("A+ctrl", "right"): 30, ("C+ctrl", "right"): 3}


def toy() -> tuple[Dataset, Split]:
    """Two contexts, five conditions; all cells of a group alike, so that every mean can be read off :data:`TOY`.

    Train: A in both contexts (10 and 30 cells), B in one. Test: C in both (10 and 3 cells), A+B in both.
    """
    rows, labels = [], []
    for (condition, context), values in TOY.items():
        n = 40 if condition == CONTROL else CELLS.get((condition, context), 10)
        rows += [values] * n
        labels += [(condition, context)] * n
    dataset = build(
        "toy", sp.csr_matrix(np.array(rows, dtype=np.float32)), genes=np.array(["g0", "g1", "g2", "g3"]),
        barcodes=np.array([f"c{i:03d}" for i in range(len(rows))]), condition=np.array([c for c, _ in labels]),
        context=np.array([c for _, c in labels]), batch=np.full(len(rows), "b"), source="toy",
    )  # fmt: skip
    return dataset, split_of(dataset, ("A+ctrl", "B+ctrl"), ("A+B", "C+ctrl"))


def split_of(dataset: Dataset, train: tuple[str, ...], test: tuple[str, ...]) -> Split:
    """A split with these lists, all test conditions in one subgroup."""
    made = screens.control_pools(dataset, 1, 0)
    return Split(
        kind="custom", seed=1, control_fold=0, train=train, val=(), test=test, unused=(), subgroups={"test": test},
        input_controls=made[0], reference_controls=made[1], input_cells=made[2],
    )  # fmt: skip


def lines(contexts: int = 4) -> tuple[Dataset, Split]:
    """The tiny screen in several cell lines whose cells are unlike; some conditions lack some of the lines."""
    counts, obs = screens.tiny_counts(contexts=contexts, cells=24, controls=80)
    rng = np.random.default_rng(7)
    groups = obs.groupby(["condition", "context"]).ngroup().to_numpy()
    absent = rng.random(groups.max() + 1) < 0.2
    few = (rng.random(groups.max() + 1) < 0.1) & ~absent
    position = pd.Series(groups).groupby(groups).cumcount().to_numpy()
    keep = (obs["condition"] == CONTROL).to_numpy() | (~absent[groups] & (~few[groups] | (position < 5)))
    data = screens.screen(counts[np.flatnonzero(keep)], obs[keep], "lines")
    return data, screens.hand_split(data)
