"""Cells of held-out contexts as if they had been sequenced less deeply: what models then see of such a context."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from bench.core.errors import BenchError
from bench.data.splits.kinds import INPUT_DEPTH, asked
from bench.stats.counts import recover, thin

if TYPE_CHECKING:
    from bench.data.dataset import Dataset
    from bench.data.splits.split import Split


def shallow(dataset: Dataset, split: Split) -> Dataset:
    """Take counts from the input controls of held-out contexts, where a split asks for it (``input_depth``).

    Truth, floor and replicate are of reference controls and perturbed cells, which keep their counts.

    Args:
        dataset: The cells.
        split: With an ``input_depth``; without, the data set itself is returned.

    Raises:
        BenchError: Values of these cells are not of counts, or cells of another split lost theirs already.
    """
    depth = asked(split.kind).input_depth
    if dataset.shallow_for == (split.split_id if depth < 1 else ""):
        return dataset
    if dataset.shallow_for:
        raise BenchError(f"{dataset.name}: cells of this data set lost counts for another split; load it anew.")
    pools = (split.input_controls, split.input_cells)
    barcodes = {b for pool in pools for context in split.held_out_contexts for b in pool[context]}
    rows = np.sort([dataset.barcode_index[barcode] for barcode in barcodes])
    known = recover(dataset.x[rows])
    if not known.exact.all():
        raise BenchError(
            f"split '{split.kind}': {INPUT_DEPTH} needs counts; {int((~known.exact).sum())} of {len(rows)} input "
            f"controls of {dataset.name} hold values that are not log1p of normalised counts."
        )
    fewer = thin(known, depth, np.random.default_rng([split.seed, 0xDEE9])).astype(dataset.x.dtype)
    # Rows are exchanged by selection from both, which keeps the matrix sparse.
    order = np.arange(dataset.x.shape[0])
    order[rows] = dataset.x.shape[0] + np.arange(len(rows))
    x = sp.vstack([dataset.x, fewer], format="csr")[order]
    x.sort_indices()
    return replace(dataset, x=x, shallow_for=split.split_id, deep=dataset.x)
