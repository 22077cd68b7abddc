"""Screens of known latents: which cells are learned from, which are held out, and which data have no truth."""

import numpy as np
import pytest

from bench.core.errors import BenchError
from bench.data.known_latents import load


def test_held_out_cells_are_in_no_training():
    problem = load("g2:cells=40,controls=60", 1)
    learned = set(problem.task.dataset.barcodes.tolist())
    held = problem.dataset.barcodes[problem.held]
    assert not learned & set(held.tolist())
    assert len(held) == 5 * 8 + 12 and problem.half.sum() == 5 * 4 + 6
    assert (problem.dataset.condition[problem.held] == problem.dataset.condition[problem.held]).all()
    names = np.array(problem.dataset.conditions)[problem.dataset.condition[problem.held]]
    assert (names == problem.truth.conditions[problem.code]).all()
    doubles = {name for name in problem.dataset.conditions if name.count("P") == 2}
    assert len(doubles) == 10 and set(problem.task.split.test) == doubles
    assert not doubles & set(problem.task.split.train) and not doubles & set(names)


@pytest.mark.parametrize(("data", "message"), [("simulated", "--check simulated"), ("g1:seed=2", "--data-seed")])
def test_data_without_a_truth_are_refused(data, message):
    with pytest.raises(BenchError, match=message):
        load(data, 1)
