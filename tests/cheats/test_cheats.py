"""The contract of the scoring: no cheat earns on any data. Each is a file in ``answers``."""

import numpy as np
import pytest

from cheats.boards import BOARDS, FAST, ready
from cheats.registry import cheats
from cheats.table import REFERENCES, answers, scores

#: Boards on which nobody can earn much.
LITTLE = {"norman_slice", "weak", "common_program"}
CASES = [pytest.param(name, marks=pytest.mark.ci if name in FAST else pytest.mark.slow) for name in BOARDS]


@pytest.fixture(params=CASES)
def board(request):
    """A board's name; the real slice only where it is."""
    if request.param == "norman_slice":
        folder = request.getfixturevalue("real_data")
        request.getfixturevalue("monkeypatch").setenv("BENCH_DATA", str(folder))
    return request.param


def test_no_cheat_earns(board):
    found = scores(ready(board))
    references = {name: found[name] for name in REFERENCES}
    wrong = {name: said for name, cheat in cheats().items() if (said := cheat.bound(found[name], references))}
    assert not wrong, "\n".join([board, *(f"{name}: {said}" for name, said in wrong.items())])


@pytest.mark.parametrize("board", [case for case in CASES if case.values[0] not in LITTLE], indirect=True)
def test_the_good_model_is_good(board):
    """A bar that nobody clears would let every cheat pass."""
    assert scores(ready(board))["model"].skill > 0.05


def test_cheats_see_what_is_exported_and_no_more(board):
    for task, data in zip(ready(board).tasks, ready(board).data, strict=True):
        allowed = {*(u.perturbation for u in data.train), *task.split.val, "ctrl"}
        assert set(data.condition.tolist()) == allowed
        assert data.test == task.units
        reference = {b for pool in task.split.reference_controls.values() for b in pool}
        assert (data.part == "control").sum() <= len(task.dataset.cells_of["ctrl"]) - len(reference)


def test_every_cheat_answers_for_every_condition(board):
    made = ready(board)
    for name, own in answers(made).items():
        for answer, data in zip(own, made.data, strict=True):
            assert answer.shape[0] == len(data.test) and answer.shape[-1] == len(data.genes), name
            assert np.isfinite(answer).all() and answer.min() >= 0, name
