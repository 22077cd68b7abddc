"""Streams cut in rounds: the same batches in the same order, whatever the length of a round."""

import numpy as np
import pytest
from torch.utils.data import DataLoader

from bench.training.rounds import Rounds, in_rounds, round_length


class Epochs:
    """A sampler whose epochs are shuffled anew."""

    epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return 5

    def __iter__(self):
        return iter((10 * self.epoch + np.random.default_rng(self.epoch).permutation(5)).tolist())


def stream(length, rounds):
    sampler, found = Rounds(Epochs(), length), []
    for r in range(rounds):
        sampler.set_epoch(r)
        assert len(sampler) == length
        found += list(sampler)
    return found


def test_the_stream_is_that_of_the_epochs():
    whole = []
    for epoch in range(6):
        inner = Epochs()
        inner.set_epoch(epoch)
        whole += list(inner)
    for length in (1, 3, 5, 7, 12):
        assert stream(length, 24 // length) == whole[: length * (24 // length)]


def test_a_round_can_be_begun_without_the_ones_before_it():
    sampler = Rounds(Epochs(), 3)
    sampler.set_epoch(4)
    assert list(sampler) == stream(3, 5)[12:]


@pytest.mark.parametrize(("steps", "most", "wanted"), [(100, 20, 20), (12, 2, 2), (7, 3, 1), (1, 5, 1), (9, 4, 3)])
def test_rounds_make_up_the_steps(steps, most, wanted):
    assert round_length(steps, most) == wanted


def test_loaders_of_plain_items():
    loader = in_rounds(DataLoader(range(10), batch_size=None, collate_fn=int), 10, 5)
    loader.sampler.set_epoch(3)
    assert list(loader) == [6, 7]
