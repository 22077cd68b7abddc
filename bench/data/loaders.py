"""What feeds a model: samplers, which draw batches from (seed, epoch) alone, and loaders, which carry their role."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch.utils import data as torch_data
from torch.utils.data import DataLoader, Sampler

from bench.data.controls import MIN_STRATUM
from bench.data.dataset import Dataset

Role = Literal["train", "val", "test", "predict"]
Rows = NDArray[np.int64]
#: Cells of an epoch of pretraining, at most: where there are more, each epoch draws others. What a pretraining costs is
#: then set by its epochs, and not by how large a screen is.
EPOCH_CELLS = 10_240


class PairSampler(Sampler[tuple[Rows, Rows]]):
    """Draw batches of (cell rows, control rows), freshly per epoch, from (seed, epoch) alone.

    Args:
        dataset: The cells.
        rows: Cells to draw ``[N]``.
        controls: Controls to pair them with.
        batch_size: Cells per batch.
        seed: Seed of order and pairing.
        shuffle: Whether to shuffle the cells; the pairing is random in any case.
        paired_once: Whether each cell keeps the control of its first draw in all epochs.
    """

    def __init__(
        self,
        dataset: Dataset,
        rows: Rows,
        controls: Rows,
        batch_size: int,
        seed: int,
        shuffle: bool,
        paired_once: bool = False,
    ) -> None:
        self.rows, self.batch_size, self.seed, self.shuffle, self.epoch = rows, batch_size, seed, shuffle, 0
        self.paired_once = paired_once
        stratum = dataset.context.astype(np.int64) * len(dataset.batches) + dataset.batch
        known, counts = np.unique(stratum[controls], return_counts=True)
        large = set(known[counts >= MIN_STRATUM].tolist())
        pools: dict[int, Rows] = {}
        for key in np.unique(stratum[rows]).tolist():
            same = stratum[controls] == key
            if key not in large:  # too few in this batch: pooled upward, first to the context, then to all
                same = dataset.context[controls] == key // len(dataset.batches)
                if same.sum() < MIN_STRATUM and len(dataset.contexts) > 1:
                    same = np.ones_like(same)
            pools[key] = controls[same]
        keys = np.array(sorted(pools))
        self._pool = np.concatenate([pools[key] for key in keys.tolist()])
        sizes = np.array([len(pools[key]) for key in keys.tolist()])
        which = np.searchsorted(keys, stratum[rows])
        self._size, self._start = sizes[which], (np.cumsum(sizes) - sizes)[which]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch's draw; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Rows, Rows]]:
        rng = np.random.default_rng([self.seed, self.epoch, 0xBA7C])
        order = rng.permutation(len(self.rows)) if self.shuffle else np.arange(len(self.rows))
        if self.paired_once:
            rng = np.random.default_rng([self.seed, 0xFA12])
        partner = self._pool[self._start + (rng.random(len(self.rows)) * self._size).astype(np.int64)]
        for i in range(0, len(order), self.batch_size):
            chosen = order[i : i + self.batch_size]
            yield self.rows[chosen], partner[chosen]


class CellSampler(Sampler[Rows]):
    """Draw batches of cell rows, freshly per epoch, from (seed, epoch) alone; the last batch is left out if not full.

    An epoch holds :data:`EPOCH_CELLS` cells at most.

    Args:
        rows: Cells to draw ``[N]``.
        batch_size: Cells per batch.
        seed: Seed of the order.
    """

    def __init__(self, rows: Rows, batch_size: int, seed: int) -> None:
        self.rows, self.batch_size, self.seed, self.epoch = rows, min(batch_size, len(rows)), seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch's draw; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return min(len(self.rows), max(EPOCH_CELLS, self.batch_size)) // self.batch_size

    def __iter__(self) -> Iterator[Rows]:
        order = np.random.default_rng([self.seed, self.epoch, 0xCE11]).permutation(self.rows)
        for i in range(len(self)):
            yield order[i * self.batch_size : (i + 1) * self.batch_size]


class RoleLoader(DataLoader[Any]):
    """A ``DataLoader`` that says what it is for, so that no evaluation is fed by a training loader.

    Attributes:
        role: ``train``, ``val``, ``test`` or ``predict``.
        conditions: The conditions its cells belong to, or that are to be predicted.
    """

    role: Role = "train"
    conditions: tuple[str, ...] = ()


def _identity(batch: Any) -> Any:
    return batch


def loader_for(
    role: Role, conditions: tuple[str, ...], batches: torch_data.Dataset[Any], sampler: Sampler[Any] | None = None
) -> RoleLoader:
    """Make a loader.

    Args:
        role: What it is for.
        conditions: The conditions its cells belong to, or that are to be predicted.
        batches: One whole batch per item.
        sampler: Draws the items' keys; absent = 0, 1, ...
    """
    loader = RoleLoader(batches, sampler=sampler, batch_size=None, collate_fn=_identity)
    loader.role, loader.conditions = role, conditions
    return loader
