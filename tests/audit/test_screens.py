"""Boards of known latents: each screen is drawn again under its data seed, and a record of other cells is named."""

import pytest

from bench.audit import screens
from bench.results import store
from bench.runner.identify import identify
from bench.runner.latents import Effort
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
