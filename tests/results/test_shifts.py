"""Kept predictions: how exact they are, and that what is kept of a run stays the same whatever comes later."""

import numpy as np
import pytest
from harness import made
from members import put

from bench.audit.second import kept
from bench.core.errors import BenchError
from bench.results import npz, shifts, store
from bench.results.shifts import HASH, LEVELS, Rows, Shifts
from bench.runner.publish import prune
from bench.tracks.response.track import TRACK

GENES = tuple(f"G{i:03d}" for i in range(80))


def rows(seed, units, rank=9, noise=0.02):
    """Shifts near a few directions, as those of models are, and one unit that does not move."""
    rng = np.random.default_rng(seed)
    axes = np.random.default_rng(0).normal(size=(rank, len(GENES)))
    found = rng.normal(size=(units, rank)) @ axes * rng.uniform(0.01, 1, (units, 1))
    found += noise * rng.normal(size=found.shape) * np.abs(found).mean(axis=1, keepdims=True)
    found[0] = 0
    return found


def book_of(levels=512, **runs):
    book = Shifts()
    for name, shift in runs.items():
        book = book.with_run(name, Rows(GENES, shift, levels=levels))
    return book


@pytest.mark.parametrize("steps", LEVELS)
def test_shifts_are_exact_to_a_step_and_none_stays_none(steps):
    given = {"a": rows(1, 50), "b": rows(2, 50, noise=0.5)}
    read = shifts.unpack("p.npz", shifts.pack(book_of(steps, **given)))
    for name, shift in given.items():
        rms = np.sqrt((shift**2).mean(axis=1))
        error = np.sqrt(((read.of(name) - shift) ** 2).mean(axis=1))
        assert (error <= 0.5 * rms / steps).all() and (read.of(name)[0] == 0).all()


def test_what_is_kept_of_a_run_stays_when_others_come_and_go():
    one = book_of(a=rows(1, 30))
    both = one.with_run("b", Rows(GENES, rows(2, 30, rank=20, noise=1.0)))
    assert len(both.basis) > len(one.basis)
    assert both.digest("a") == one.digest("a") == both.only(["a"]).digest("a")
    assert np.array_equal(both.of("a"), one.of("a"))
    assert shifts.pack(both) == shifts.pack(both)
    with pytest.raises(BenchError, match="other genes"):
        both.with_run("c", Rows(GENES[::-1], rows(3, 30)))


def test_a_second_reader_finds_the_same():
    book = book_of(a=rows(1, 30), b=rows(2, 7))
    blob = shifts.pack(book)
    found = kept.read(blob)
    assert found.genes == GENES and found.digests == book.digests
    assert all(np.array_equal(found.shifts[name], book.of(name)) for name in "ab")
    with pytest.raises(ValueError, match="."):
        kept.read(blob[:-40])
    with pytest.raises(BenchError, match="^p.npz: damaged"):
        shifts.unpack("p.npz", blob[:-40])


def test_what_unpacks_to_more_than_is_read_is_refused(monkeypatch):
    blob = shifts.pack(book_of(a=rows(1, 300)))
    monkeypatch.setenv("BENCH_MAX_GB", "0.00001")
    with pytest.raises(BenchError, match="it would take .* of memory") as caught:
        shifts.unpack("p.npz", blob)
    assert "\n" not in str(caught.value)


def test_records_name_what_is_kept_and_lose_it_together(tmp_path):
    (a, table_a), (b, table_b) = (made(name, {"pearson_delta": 0.5}) for name in "ab")
    given = {a.run_id: Rows(GENES, rows(1, 12)), b.run_id: Rows(GENES, rows(2, 12))}
    store.add(tmp_path, TRACK, [(a, table_a)], given)
    store.add(tmp_path, TRACK, [(b, table_b)], given)
    (board,) = store.boards(tmp_path, TRACK)
    assert {run_id: record.hashes[HASH] for run_id, record in board.records.items()} == board.kept.digests
    store.add(tmp_path, TRACK, [(b, table_b)])  # made again, without predictions
    prune(tmp_path, [a.run_id], older=False)
    (board,) = store.boards(tmp_path, TRACK)
    assert list(board.records) == [b.run_id] and not board.kept.runs
    assert store.PREDICTIONS not in store.members(board.path)


def test_predictions_that_no_line_names_are_ignored_and_others_than_named_are_told(tmp_path):
    record, table = made("a", {"pearson_delta": 0.5})
    store.add(tmp_path, TRACK, [(record, table)])
    (board,) = store.boards(tmp_path, TRACK)
    book = book_of(**{record.run_id: rows(1, 12)})
    put(board.path, store.PREDICTIONS, shifts.pack(book))
    (board,) = store.boards(tmp_path, TRACK)
    assert not board.kept.runs and board.entries()[0].values is not None
    store.add(tmp_path, TRACK, [(record, table)], {record.run_id: Rows(GENES, rows(1, 12))})
    put(board.path, store.PREDICTIONS, shifts.pack(book_of(**{record.run_id: rows(5, 12)})))
    (board,) = store.boards(tmp_path, TRACK)
    with pytest.raises(BenchError, match=f"predictions of {record.run_id} are not those of its record"):
        _ = board.kept


@pytest.mark.parametrize("size", [2, 4])
def test_whole_numbers_as_planes_of_bytes(size):
    edges = np.iinfo(f"i{size}")
    numbers = np.array([[0, -1, 1], [-2, edges.max, edges.min]], dtype=f"i{size}")
    planes = npz.planes(numbers)
    assert planes.shape == (size, 2, 3) and planes[:, 0].T.tolist() == [[k] + [0] * (size - 1) for k in (0, 1, 2)]
    np.testing.assert_array_equal(npz.whole(planes), numbers)
    assert npz.whole(planes).dtype == numbers.dtype
    with pytest.raises(ValueError, match="expected 2 or 4 of bytes"):
        npz.whole(planes[:1])
