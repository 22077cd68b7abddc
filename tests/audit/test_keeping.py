"""How exactly predictions are kept: as coarsely as their metrics follow, and not at all where they never do."""

from types import SimpleNamespace

import numpy as np
import pytest

from bench.audit import keeping
from bench.audit.data_sets import DataSets
from bench.audit.keeping import Lost
from bench.core.errors import BenchError
from bench.results import store
from bench.results.shifts import LEVELS, Rows, Shifts
from bench.runner import kept_predictions
from bench.tracks.response.track import TRACK

GENES = tuple(f"G{i}" for i in range(12))


@pytest.fixture(scope="module")
def entries(original):
    return {entry.record.spec.label: entry for entry in store.collect(TRACK, [original])}


@pytest.fixture
def lost(tiny, original):
    return Lost(original, DataSets({"tiny": tiny}))


def kept(original, entry):
    (board,) = store.boards(original, TRACK)
    return board.kept.rows(entry.record.run_id)


def test_the_second_implementation_says_what_coarse_predictions_lose(entries, original, lost, monkeypatch):
    monkeypatch.setattr(keeping, "SHARE", 1.0)  # the few units of this screen were kept as usual, without asking
    for entry in entries.values():
        rows = kept(original, entry)
        assert lost(entry, rows) == ""
        assert lost(entry, rows._replace(names=rows.names[::-1])) != ""
        assert lost(entry, rows._replace(names=tuple("xyz") + rows.names[3:])) == "other genes or units"
    rows = kept(original, entries["additive"])
    assert "is tolerated" in (lost(entries["additive"], rows._replace(shifts=1.01 * rows.shifts)) or "")


def test_what_cannot_be_told_is_kept_as_usual(entries, original):
    entry = entries["additive"]
    nowhere = Lost(original, DataSets({}))
    assert nowhere(entry, kept(original, entry)) is None
    rows = Rows(GENES, np.random.default_rng(0).normal(size=(6, len(GENES))))
    assert kept_predictions._coarsest(entry, rows, nowhere, Shifts()) == rows


def test_the_coarsest_that_loses_nothing_is_taken():
    """Against an outside truth: the exact shifts, and how far a reader's may be from them."""
    exact = np.random.default_rng(1).normal(size=(40, len(GENES)))
    entry = SimpleNamespace(record=SimpleNamespace(run_id="a"))
    for limit in (3e-2, 3e-3, 6e-4):
        found = kept_predictions._coarsest(
            entry,
            Rows(GENES, exact),
            lambda _, rows, limit=limit: "" if np.abs(rows.shifts - exact).max() < limit else "far off",
            Shifts(),
        )
        errors = [
            np.abs(Shifts().with_run("a", Rows(GENES, exact, levels=n)).of("a") - exact).max()
            for n in LEVELS
            if n <= found.levels
        ]
        assert errors[-1] < limit and all(error >= limit for error in errors[:-1])
    with pytest.raises(BenchError, match=r"metrics of a do not follow from what can be kept \(far off\)"):
        kept_predictions._coarsest(entry, Rows(GENES, exact), lambda _, rows: "far off", Shifts())


def test_a_row_is_judged_as_it_stands_beside_the_others_of_its_board():
    """Along directions of other rows the same number of digits can lose more than along a row's own."""
    rng = np.random.default_rng(1)
    exact, entry = rng.normal(size=(40, len(GENES))), SimpleNamespace(record=SimpleNamespace(run_id="a"))
    beside = Shifts().with_run("b", Rows(GENES, rng.normal(size=(40, len(GENES)))))
    asked = []

    def lost(_, rows):
        asked.append(rows.shifts)
        return "" if len(asked) > 1 else "far off"

    found = kept_predictions._coarsest(entry, Rows(GENES, exact), lost, beside)
    np.testing.assert_array_equal(asked[-1], beside.with_run("a", found).of("a"))
    assert np.abs(asked[-1] - Shifts().with_run("a", found).of("a")).max() > 1e-6
