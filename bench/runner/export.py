"""``bench data export``: what a model may see of a task, as files that any tool can read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bench.core.conditions import written
from bench.core.files import write_json
from bench.core.h5ad import write_h5ad
from bench.data.cell_states import input_states
from bench.data.dataset import Dataset
from bench.data.task import Part, Task, load_task


def export(task: Task, folder: Path) -> list[Path]:
    """Write train and val cells with the *input* controls, and the split.

    Test cells and reference controls are not written: whoever predicts from these files cannot have used them.

    Args:
        task: The task.
        folder: Gets ``train.h5ad`` (``obs``: condition, context, batch, part, input, state: that of an
            input cell, -1 = none) and ``split.json``, whose
            ``units`` are the (condition, context) of each part; those of ``test`` are to be predicted.

    Returns:
        The paths.
    """
    import anndata

    index = task.dataset.barcode_index
    part = np.full(len(task.dataset.barcodes), "", dtype="<U7")
    learned: tuple[Part, ...] = ("train", "val")
    for name in learned:
        part[task.rows(name)] = name
    controls = [index[b] for pool in task.split.input_controls.values() for b in pool]
    part[controls] = "control"
    rows = np.flatnonzero(part != "")
    cells = {b for pool in task.split.input_cells.values() for b in pool}
    states: dict[str, int] = {}
    for c, of in input_states(task).items():
        states |= dict(zip(task.split.input_cells[task.dataset.contexts[c]], of.tolist(), strict=True))
    obs = pd.DataFrame(
        {
            "condition": np.array([written(name) for name in task.dataset.conditions])[task.dataset.condition[rows]],
            "context": np.array(task.dataset.contexts)[task.dataset.context[rows]],
            "batch": np.array(task.dataset.batches)[task.dataset.batch[rows]],
            "part": part[rows],
            "input": [b in cells for b in task.dataset.barcodes[rows].tolist()],
            "state": [states.get(b, -1) for b in task.dataset.barcodes[rows].tolist()],
        },
        index=task.dataset.barcodes[rows],
    )
    dataset, split = task.dataset, task.split
    named = {"data": dataset.name, "data_hash": dataset.hash, "split_id": split.split_id, "controls_used": "input"}
    table = anndata.AnnData(task.dataset.x[rows], obs=obs, var=pd.DataFrame(index=task.dataset.genes), uns=dict(named))
    cells_path, split_path = folder / "train.h5ad", folder / "split.json"
    write_h5ad(cells_path, table, compressed=True)
    lists = split.model_dump(mode="json", include={"kind", "seed", "control_fold", "train", "val", "test", "subgroups"})
    lists |= {part: [written(name) for name in lists[part]] for part in ("train", "val", "test")}
    lists["subgroups"] = {group: [written(name) for name in of] for group, of in lists["subgroups"].items()}
    asked = {"train": task.units_of("train"), "val": task.units_of("val"), "test": task.units}
    units = {
        part: [{"condition": written(u.perturbation), "context": u.context} for u in of] for part, of in asked.items()
    }
    write_json(split_path, {**lists, "units": units, **named})
    return [cells_path, split_path]


def export_cells(dataset: Dataset, path: Path) -> Path:
    """Write every cell without its label, for a tool that embeds them all.

    Conditions are not there, and the cells are in no order: an encoder that learns from this file knows of no cell what
    was done to it, but has seen test cells, which ours have not.

    Args:
        dataset: The cells.
        path: Gets them (``obs``: context, batch).
    """
    import anndata

    rows = np.random.default_rng(0).permutation(len(dataset.barcodes))
    obs = pd.DataFrame(
        {
            "context": np.array(dataset.contexts)[dataset.context[rows]],
            "batch": np.array(dataset.batches)[dataset.batch[rows]],
        },
        index=dataset.barcodes[rows],
    )
    named = {"data": dataset.name, "data_hash": dataset.hash}
    table = anndata.AnnData(dataset.x[rows], obs=obs, var=pd.DataFrame(index=dataset.genes), uns=named)
    write_h5ad(path, table, compressed=True)
    return path


def export_task(
    name: str, kind: str | None, seed: int, fold: int, custom: Path | None, out: Path, cells: bool = False
) -> list[Path]:
    """``bench data export``: write what a model may see, and all cells without labels if asked; return the paths."""
    task = load_task(name, kind, seed, fold, custom)
    return [*export(task, out), *([export_cells(task.dataset, out / "cells.h5ad")] if cells else [])]
