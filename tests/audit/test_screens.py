"""Boards of known latents: each screen is drawn again, and with it the rows that follow from its cells."""

import numpy as np
import pytest

from bench.audit import screens
from bench.audit.second import known
from bench.data.known_latents import load
from bench.results import store
from bench.runner.effort import Effort
from bench.runner.identify import identify
from bench.tracks.identifiability.references import REFERENCES
from bench.tracks.identifiability.score import score
from bench.tracks.identifiability.track import TRACK

DATA = "g1:perturbations=4,cells=20,controls=40,d_v=3,max_hits=2,d_i=1,genes=8"


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    identify(TRACK, ("look_up", "noise"), DATA, (1, 2), (1,), Effort(), out, out / "boards")
    return out / "boards", store.collect(TRACK, [out / "boards"])


def test_screens_are_drawn_again_by_the_name_of_their_board(board):
    found = [check for check in screens.look(*board) if check.name == "screen drawn again"]
    assert [check.status for check in found] == ["ok", "ok"]
    assert all("the same for 2 records" in check.detail for check in found)


@pytest.mark.parametrize("what", ["data_hash", "split_id"])
def test_a_record_of_other_cells_is_named(board, what):
    folder, entries = board
    first = entries[0].record
    changed = first.model_copy(update={"spec": first.spec.model_copy(update={what: "0" * 16})})
    moved = type(entries[0])(TRACK, changed, entries[0].path, lambda: None)
    found = [check for check in screens.look(folder, [moved, *entries[1:]]) if check.name == "screen drawn again"]
    assert sorted(check.status for check in found) == ["failed", "ok"]
    assert any(first.run_id in check.subject for check in found if check.status == "failed")


def test_rows_that_follow_from_the_cells_are_computed_again(board):
    found = [check for check in screens.look(*board) if check.name == "metrics recomputed"]
    assert [check.status for check in found] == ["ok"] * 4
    assert tuple(name for name in REFERENCES if name != "ica") == known.ROWS


@pytest.mark.parametrize("metric", ["mcc_within", "mcc_pooled_spearman", "r2_v", "label_v", "mask_f1", "width", "shd"])
def test_an_edited_number_of_such_a_row_is_found(board, metric):
    folder, entries = board
    one = next(entry for entry in entries if entry.record.spec.label == "noise")
    numbers = {**one.record.numbers, metric: one.record.numbers[metric] + 0.03}
    edited = type(one)(TRACK, one.record.model_copy(update={"numbers": numbers}), one.path, lambda: None)
    rest = [entry for entry in entries if entry is not one]
    wrong = [check for check in screens.look(folder, [edited, *rest]) if check.status == "failed"]
    found = [check for check in wrong if check.name == "metrics recomputed"]
    assert len(found) == 1 and {check.name for check in wrong} <= {"metrics recomputed", "values agree with each other"}
    assert one.record.run_id in found[0].subject and metric in found[0].detail


@pytest.mark.parametrize("data", [DATA, "g2:cells=40,controls=60", "g3:perturbations=6,cells=30,controls=60,genes=30"])
@pytest.mark.parametrize("row", known.ROWS)
def test_both_implementations_agree(data, row):
    problem = load(data, 3)
    screen = screens.screen_of(problem)
    first = score(problem, REFERENCES[row].make(problem, 2))
    again = known.numbers(screen, known.latents(row, screen, 2))
    assert set(first) == set(again)
    for name, value in first.items():
        assert again[name] == pytest.approx(value, rel=1e-6, abs=1e-6, nan_ok=True), name


def test_true_latents_have_an_mcc_of_one_and_noise_of_none():
    rng = np.random.default_rng(0)
    true, half = rng.normal(size=(4000, 5)), np.arange(4000) % 2 == 0
    turned = true[:, [3, 0, 4, 1, 2]] * np.array([2.0, -1.0, 0.5, -3.0, 1.0])
    assert known.mcc(true, turned, half) == pytest.approx(1.0, abs=1e-12)
    assert abs(known.mcc(true, rng.normal(size=true.shape), half)) < 0.05
