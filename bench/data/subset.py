"""Some cells of a data set, as a data set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.core.files import sha256_arrays, sha256_json
from bench.data.dataset import Dataset, build


def of_rows(dataset: Dataset, rows: NDArray[np.int64]) -> Dataset:
    """The cells of these rows, in their order; its identity is that of the whole and of which cells they are.

    Args:
        dataset: The cells.
        rows: Ascending.
    """
    return build(
        dataset.name,
        dataset.x[rows],
        genes=dataset.genes,
        barcodes=dataset.barcodes[rows],
        condition=np.array(dataset.conditions)[dataset.condition[rows]],
        context=np.array(dataset.contexts)[dataset.context[rows]],
        batch=np.array(dataset.batches)[dataset.batch[rows]],
        source=dataset.name,
        min_cells=dataset.min_cells,
        evidence=dataset.evidence,
        identity=sha256_json([dataset.hash, sha256_arrays(rows.astype(np.int64))]),
        card=dataset.card,
        smiles=dataset.smiles,
    )
