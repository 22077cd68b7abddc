"""Cells of train units that a split keeps from all models: they are taken out of the data set that models see."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.core.errors import BenchError

if TYPE_CHECKING:
    from bench.data.dataset import Dataset
    from bench.data.splits.split import Split


def without_kept(dataset: Dataset, split: Split) -> Dataset:
    """Take the cells that a split keeps out of a data set; they are a data set of their own, ``kept``.

    Args:
        dataset: The cells.
        split: With kept cells; without, the data set itself is returned.

    Raises:
        BenchError: Cells were kept for another split already.
    """
    if dataset.kept_for == (split.split_id if split.kept else ""):
        return dataset
    if dataset.kept_for:
        raise BenchError(f"{dataset.name}: cells of this data set are kept for another split; load it anew.")
    kept = np.isin(dataset.barcodes, [barcode for barcodes in split.kept.values() for barcode in barcodes])
    return replace(_of(dataset, ~kept), kept=_of(dataset, kept), kept_for=split.split_id)


def _of(dataset: Dataset, chosen: NDArray[np.bool_]) -> Dataset:
    """Some cells; names of conditions, contexts and batches stay."""
    return replace(
        dataset,
        x=dataset.x[chosen],
        deep=None if dataset.deep is None else dataset.deep[chosen],
        barcodes=dataset.barcodes[chosen],
        condition=dataset.condition[chosen],
        context=dataset.context[chosen],
        batch=dataset.batch[chosen],
    )
