"""An endless stream of batches, cut in rounds of equal length: what a training of so many steps can be resumed by.

Checkpoints are written between epochs. A stage that is told how many steps to take, and not how many passes over the
cells, would have few of them or none; in rounds it has some, and sees the same batches in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from torch.utils.data import DataLoader, Sampler


def round_length(steps: int, most: int) -> int:
    """The longest round of at most ``most`` steps of which a whole number makes ``steps``."""
    return max(n for n in range(1, max(1, min(most, steps)) + 1) if steps % n == 0)


class Rounds(Sampler[Any]):
    """A part of the stream that a sampler's epochs make one after the other.

    Args:
        inner: Gives the keys of an epoch; one that draws epochs anew has ``set_epoch``.
        length: Keys in a round.
    """

    def __init__(self, inner: Any, length: int) -> None:
        self.inner, self.length, self.round = inner, length, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the round; Lightning calls this."""
        self.round = epoch

    def drawn(self, rounds: int) -> Iterator[Any]:
        """The keys of some rounds, from the first one on."""
        for k in range(rounds):
            self.set_epoch(k)
            yield from self

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        epoch, skipped = divmod(self.round * self.length, len(self.inner))
        left = self.length
        while left:
            if hasattr(self.inner, "set_epoch"):
                self.inner.set_epoch(epoch)
            for key in islice(self.inner, skipped, skipped + left):
                left -= 1
                yield key
            epoch, skipped = epoch + 1, 0


def in_rounds(loader: Any, steps: int, rounds: int, dataset: Any = None) -> DataLoader[Any]:
    """A loader of whole batches, its stream cut in at least so many rounds (fewer where there are fewer steps).

    Args:
        loader: Of whole batches.
        steps: Batches in all.
        rounds: Least number of rounds.
        dataset: Makes batches of the keys in place of the loader's own.
    """
    sampler = Rounds(loader.sampler, round_length(steps, max(1, steps // rounds)))
    return DataLoader(dataset or loader.dataset, sampler=sampler, batch_size=None, collate_fn=loader.collate_fn)
