"""A small simulated task that ships two feature tables, for tests of what learns from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from bench.core.conditions import constituents
from bench.data import load
from bench.data.cards import read_card
from bench.data.controls import control_pools
from bench.data.datamodule import PerturbationDataModule
from bench.data.splits.split import Split, subgroup
from bench.data.task import Task

PARAMETERS = {"n_genes": 200, "n_singles": 72, "n_doubles": 88, "cells_per_condition": 24, "n_controls": 240}


def simulated_module(folder: Path) -> PerturbationDataModule:
    """A simulated screen of 72 singles and 88 doubles with the tables view_a and view_b; 12 val conditions.

    Args:
        folder: Gets its card.
    """
    card = folder / "small_simulated.yaml"
    wanted = {"source": "simulated", "expression": "counts", "features": ["view_a", "view_b"], "parameters": PARAMETERS}
    card.write_text(yaml.safe_dump(wanted))
    dataset = load.load(read_card(card))
    names = [name for name in dataset.conditions if constituents(name)]
    order = np.random.default_rng(0).permutation(len(names))
    parts = {"test": order[:60], "val": order[60:72], "train": order[72:]}
    lists = {part: tuple(names[i] for i in sorted(rows)) for part, rows in parts.items()}
    inputs, reference, cells, notes = control_pools(dataset, 1, 0)
    groups: dict[str, list[str]] = {}
    for name in lists["test"]:
        groups.setdefault(subgroup(name, lists["train"]), []).append(name)
    split = Split(
        kind="custom", seed=1, control_fold=0, unused=(), **lists, subgroups={k: tuple(v) for k, v in groups.items()},
        input_controls=inputs, reference_controls=reference, input_cells=cells, notes=tuple(notes),
    )  # fmt: skip
    return PerturbationDataModule(Task(dataset, split), seed=1)
