"""``bench data export``: what a model may see of a task, as files that any tool can read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bench.core.files import atomic, write_json
from bench.data.dataset import Dataset
from bench.data.load import load, resolve
from bench.data.splits import split as splits
from bench.data.splits.split import Split


def export(dataset: Dataset, split: Split, folder: Path) -> list[Path]:
    """Write train and val cells with the *input* controls, and the split.

    Test cells and reference controls are not written: whoever predicts from these files cannot have used them.

    Args:
        dataset: The cells.
        split: The split.
        folder: Gets ``train.h5ad`` (``obs``: condition, context, batch, part, input) and ``split.json``.

    Returns:
        The paths.
    """
    import anndata

    index = dataset.barcode_index
    part = np.full(len(dataset.barcodes), "", dtype="<U7")
    for name in ("train", "val"):
        part[dataset.rows(getattr(split, name))] = name
    controls = [index[b] for pool in split.input_controls.values() for b in pool]
    part[controls] = "control"
    rows = np.flatnonzero(part != "")
    cells = {b for pool in split.input_cells.values() for b in pool}
    obs = pd.DataFrame(
        {
            "condition": np.array(dataset.conditions)[dataset.condition[rows]],
            "context": np.array(dataset.contexts)[dataset.context[rows]],
            "batch": np.array(dataset.batches)[dataset.batch[rows]],
            "part": part[rows],
            "input": [b in cells for b in dataset.barcodes[rows].tolist()],
        },
        index=dataset.barcodes[rows],
    )
    task = {"data": dataset.name, "data_hash": dataset.hash, "split_id": split.split_id, "controls_used": "input"}
    table = anndata.AnnData(dataset.x[rows], obs=obs, var=pd.DataFrame(index=dataset.genes), uns=dict(task))
    cells_path, split_path = folder / "train.h5ad", folder / "split.json"
    with atomic(cells_path) as temporary:
        table.write_h5ad(temporary, compression="gzip")
    lists = split.model_dump(mode="json", include={"kind", "seed", "control_fold", "train", "val", "test", "subgroups"})
    write_json(split_path, {**lists, **task})
    return [cells_path, split_path]


def export_task(name: str, kind: str | None, seed: int, fold: int, custom: Path | None, out: Path) -> list[Path]:
    """``bench data export``: write what a model may see; return the paths."""
    card, _ = resolve(name)
    dataset = load(card)
    return export(dataset, splits.draw(dataset, kind or card.split, seed, fold, custom), out)
