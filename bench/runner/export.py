"""``bench data export``: what a model may see of a task, as files that any tool can read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bench.core.files import atomic, write_json
from bench.data.dataset import PerturbationData
from bench.data.load import load, resolve
from bench.data.splits import split as splits
from bench.data.splits.split import Split


def export(data: PerturbationData, split: Split, folder: Path) -> list[Path]:
    """Write train and val cells with the *input* controls, and the split.

    Test cells and reference controls are not written: whoever predicts from these files cannot have used them.

    Args:
        data: The cells.
        split: The split.
        folder: Gets ``train.h5ad`` (``obs``: condition, context, batch, part, input) and ``split.json``.

    Returns:
        The paths.
    """
    import anndata

    index = data.barcode_index
    part = np.full(len(data.barcodes), "", dtype="<U7")
    for name in ("train", "val"):
        part[data.rows(getattr(split, name))] = name
    controls = [index[b] for pool in split.input_controls.values() for b in pool]
    part[controls] = "control"
    rows = np.flatnonzero(part != "")
    cells = {b for pool in split.input_cells.values() for b in pool}
    obs = pd.DataFrame(
        {
            "condition": np.array(data.conditions)[data.condition[rows]],
            "context": np.array(data.contexts)[data.context[rows]],
            "batch": np.array(data.batches)[data.batch[rows]],
            "part": part[rows],
            "input": [b in cells for b in data.barcodes[rows].tolist()],
        },
        index=data.barcodes[rows],
    )
    task = {"data": data.name, "data_hash": data.hash, "split_id": split.split_id, "controls_used": "input"}
    table = anndata.AnnData(data.x[rows], obs=obs, var=pd.DataFrame(index=data.genes), uns=dict(task))
    cells_path, split_path = folder / "train.h5ad", folder / "split.json"
    with atomic(cells_path) as temporary:
        table.write_h5ad(temporary, compression="gzip")
    lists = split.model_dump(mode="json", include={"kind", "seed", "control_fold", "train", "val", "test", "subgroups"})
    write_json(split_path, {**lists, **task})
    return [cells_path, split_path]


def export_task(name: str, kind: str | None, seed: int, fold: int, custom: Path | None, out: Path) -> list[Path]:
    """``bench data export``: write what a model may see; return the paths."""
    card, _ = resolve(name)
    data = load(card)
    return export(data, splits.draw(data, kind or card.split, seed, fold, custom), out)
