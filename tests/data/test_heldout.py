"""Cells that an encoder never saw: which are refused, which are left out, and what a unit of them is."""

import numpy as np
import pytest
import screens

from bench.core.conditions import CONTROL
from bench.core.errors import BenchError
from bench.data import heldout
from bench.data.heldout import HeldOut
from bench.data.task import Task


@pytest.fixture(scope="module")
def screen():
    data = screens.tiny_screen(cells=60, effect=1.5)
    return data, screens.hand_split(data)


@pytest.fixture(scope="module")
def two_contexts():
    counts, obs = screens.tiny_counts(cells=40, contexts=2)
    data = screens.screen(counts, obs)
    return Task(data, screens.hand_split(data))


@pytest.mark.parametrize("part", ["train", "val"])
def test_cells_of_train_and_val_conditions_are_refused(screen, part):
    data, split = screen
    rows = data.rows(getattr(split, part))
    with pytest.raises(BenchError, match=f"is a {part} condition"):
        HeldOut(Task(data, split), rows)
    # One such cell among many is enough.
    with pytest.raises(BenchError, match=f"is a {part} condition"):
        HeldOut(Task(data, split), np.append(data.rows(split.test), rows[:1]))


def test_controls_among_the_cells_and_input_controls_are_refused(screen):
    data, split = screen
    test = data.rows(split.test)
    with pytest.raises(BenchError, match="control condition"):
        HeldOut(Task(data, split), np.append(test, data.cells_of[CONTROL][:1]))
    index = data.barcode_index
    inputs = np.array([index[b] for b in split.input_controls["line0"]])
    with pytest.raises(BenchError, match="reference controls only"):
        HeldOut(Task(data, split), test, inputs[:1])


def test_unused_conditions_are_refused(screen):
    data, split = screen
    moved = split.model_copy(update={"test": split.test[1:], "unused": split.test[:1]})
    with pytest.raises(BenchError, match="is an unused condition"):
        HeldOut(Task(data, moved), data.rows(split.test))


def test_a_condition_in_two_parts_counts_as_seen(screen):
    """Held out by name, seen by identity: ``B+A`` of a train condition ``A+B``."""
    data, split = screen
    double = next(name for name in split.test if CONTROL not in name)
    reverse = "+".join(reversed(double.split("+")))
    leaky = split.model_copy(update={"train": (*split.train, reverse)})
    with pytest.raises(BenchError, match="is a train condition"):
        HeldOut(Task(data, leaky), data.rows(split.test))


def test_one_condition_is_too_few(screen):
    data, split = screen
    fewer = screens.without(data, np.concatenate([data.cells_of[name][: 60 - 29] for name in split.test[1:]]))
    with pytest.raises(BenchError, match="1 of 10 test conditions have at least 30 cells"):
        heldout.draw(Task(fewer, split), 1)


def test_large_conditions_are_capped(screen, monkeypatch):
    data, split = screen
    monkeypatch.setattr(heldout, "MAX_CELLS", 35)
    found = heldout.draw(Task(data, split), 1)
    assert np.bincount(found.unit).tolist() == [35] * len(split.test)
    assert heldout.draw(Task(data, split), 2).rows.tolist() != found.rows.tolist()


def test_contexts_do_not_share_batches(two_contexts):
    assert len(np.unique(heldout.draw(two_contexts, 1).batches)) == 4


def test_a_unit_is_a_perturbation_in_a_context(two_contexts):
    task = two_contexts
    cells = heldout.draw(task, 1)
    names = [name for name in task.dataset.conditions if name in task.split.test]
    assert cells.units == tuple((name, context) for context in ("line0", "line1") for name in names)
    assert np.bincount(cells.unit).tolist() == [40] * len(cells.units)
    for row, code in zip(cells.rows.tolist(), cells.unit.tolist()):
        dataset = task.dataset
        at = (dataset.conditions[dataset.condition[row]], dataset.contexts[dataset.context[row]])
        assert cells.units[code] == at


def test_a_unit_with_few_cells_in_one_context_is_left_out_there(two_contexts):
    data, split = two_contexts.dataset, two_contexts.split
    rows = data.cells_of[split.test[0]]
    fewer = screens.without(data, rows[data.context[rows] == 1][:20])
    found = heldout.draw(Task(fewer, split), 1)
    assert found.left_out == 1
    assert (split.test[0], "line0") in found.units and (split.test[0], "line1") not in found.units
