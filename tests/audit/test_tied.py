"""Numbers of runs of known latents of which nothing is kept: what they have to do with each other and with others."""

from dataclasses import replace

import numpy as np
import pytest

from bench.audit import screens
from bench.audit.second import known
from bench.audit.second.tied import Tied
from bench.data.known_latents import load
from bench.results import store
from bench.runner.effort import Effort
from bench.runner.identify import identify
from bench.tracks.identifiability.references import REFERENCES
from bench.tracks.identifiability.score import score
from bench.tracks.identifiability.track import TRACK

DATA = "g1:perturbations=8,cells=20,controls=60,d_v=3,max_hits=2,d_i=2"


@pytest.fixture(scope="module")
def problem():
    return load(DATA, 1)


@pytest.fixture(scope="module")
def tied(problem):
    return Tied(screens.screen_of(problem))


def numbers(problem, name):
    found = score(problem, REFERENCES[name].make(problem, 1))
    return {key: float(value) if np.isfinite(value) else None for key, value in found.items()}


@pytest.mark.parametrize("name", known.ROWS)
@pytest.mark.parametrize("data", [DATA, "g2:cells=40,controls=60"])
def test_numbers_of_one_run_are_believed(name, data, problem, tied):
    if data != DATA:
        problem = load(data, 2)
        tied = Tied(screens.screen_of(problem))
    assert tied.odd(numbers(problem, name)) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mcc_within": None}, "mcc_within has no value"),
        ({"r2_i": None}, "r2_i has no value"),
        ({"leak_i": None}, "leak_i has no value"),
        ({"double_error": 0.2}, "double_error has a value"),
        ({"better": 1.0}, "other numbers: better"),
        ({"shd": 0.5}, "shd is 0.5"),
        ({"shd": 4.0}, "shd is 4"),
        ({"width": 3.5}, "width"),
        ({"width": 6.0}, "width"),
        ({"label_v": 0.51}, "label_v"),
        ({"label_i": 0.0123}, "label_i"),
        ({"mask_f1": 0.7654}, "mask_f1"),
        ({"r2_v": -0.2}, "mcc_pooled is"),
        ({"width": 2.0}, "with 2 latents for 3"),
    ],
)
def test_numbers_that_cannot_be(change, said, problem, tied):
    honest = numbers(problem, "true_regression")
    assert honest["mcc_pooled"] > 0.7
    assert said in tied.odd({**honest, **change})


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    identify(TRACK, ("look_up", "noise"), DATA, (1, 2), (1,), Effort(), out, out / "boards")
    return out / "boards", store.collect(TRACK, [out / "boards"])


def checked(board, **fields):
    """What is found where the records of a row under its second seed say something else."""
    folder, entries = board
    entries = [
        replace(one, record=one.record.model_copy(update=fields))
        if one.record.spec.label == "noise" and one.record.spec.split_seed == 2
        else one
        for one in entries
    ]
    return [(check.name, check.detail) for check in screens.look(folder, entries) if check.status == "failed"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"evidence": "smoke"}, "its evidence is 'smoke'"),
        ({"status": "unpaired"}, "its status is 'unpaired'"),
        ({"warnings": ("no claim: of a rival",)}, "its warning that nothing can be claimed is"),
    ],
)
def test_what_a_record_says_of_its_screen(fields, said, board):
    assert checked(board) == []
    ((name, detail),) = checked(board, **fields)
    assert name == "data as recorded" and said in detail


def test_a_screen_of_which_nothing_can_be_claimed(tmp_path):
    """Without the warning a claim about it could be true."""
    identify(TRACK, ("look_up",), DATA.replace("=8", "=2"), (1,), (1,), Effort(), tmp_path, tmp_path / "boards")
    (entry,) = store.collect(TRACK, [tmp_path / "boards"])
    assert entry.record.unanswerable
    assert [check for check in screens.look(tmp_path, [entry]) if check.status == "failed"] == []
    bare = replace(entry, record=entry.record.model_copy(update={"warnings": ()}))
    (found,) = (check for check in screens.look(tmp_path, [bare]) if check.status == "failed")
    assert found.name == "data as recorded" and "nothing can be claimed" in found.detail


@pytest.mark.parametrize("what", ["steps", "cells_seen", "parameters"])
def test_a_run_that_spent_something_else_than_its_row(what, board):
    budget = store.collect(TRACK, [board[0]])[0].record.budget
    other = {"steps": 10, "cells_seen": 10, "parameters": {"encoder": 3}}[what]
    ((name, detail),) = checked(board, budget=budget.model_copy(update={what: other}))
    assert name == "values agree with each other" and f"its {what} is" in detail
