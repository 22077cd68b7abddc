"""Values as records keep them."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from harness import collect, made, made_table

from bench.results import records, store, tables
from bench.results.precision import BITS, LEARNED_BITS, kept, kept_draws, kept_learned
from bench.tracks import registry

BOARDS = Path(__file__).resolve().parents[2] / "leaderboards"
TRACK = registry.get("response")


def test_what_is_kept_is_off_by_less_than_the_tolerance_of_closed_forms():
    x = np.random.default_rng(0).normal(size=1000) * 10.0 ** np.random.default_rng(1).integers(-12, 12, 1000)
    off = np.abs(kept(x) - x) / np.abs(x)
    assert off.max() < 1.2e-10
    assert off.max() > 1e-12, "something was rounded"
    np.testing.assert_array_equal(kept(kept(x)), kept(x))


def test_it_is_the_nearest_number_of_so_many_bits():
    for value in (np.pi, -1 / 3, 1e-5, 12345.678):
        exact, found = Fraction(value), Fraction(float(kept(np.array([value]))[0]))
        unit = Fraction(2) ** (int(np.frexp(value)[1]) - BITS)
        assert (found / unit).denominator == 1
        assert abs(found - exact) <= unit / 2


def test_what_is_no_ordinary_number_stays():
    x = np.array([0.0, -0.0, 1.0, -2.5, np.nan, np.inf, -np.inf])
    np.testing.assert_array_equal(kept(x), x)
    flags = np.array([True, False])
    assert kept(flags) is flags


def test_what_was_trained_is_off_by_less_than_a_part_in_sixty_thousand():
    x = np.random.default_rng(0).normal(size=1000) * 10.0 ** np.random.default_rng(1).integers(-12, 12, 1000)
    rounded = kept_learned(x, np.full_like(x, np.nan))
    off = np.abs(rounded - x) / np.abs(x)
    assert 1e-7 < off.max() < 1.6e-5
    units = [Fraction(2) ** (int(np.frexp(value)[1]) - LEARNED_BITS) for value in rounded]
    assert all((Fraction(float(value)) / unit).denominator == 1 for value, unit in zip(rounded, units))
    np.testing.assert_array_equal(kept_learned(rounded, np.full_like(x, np.nan)), rounded)


def test_the_variance_of_draws_is_kept_within_a_twentieth_of_what_chance_does_to_it():
    sizes = 10.0 ** np.random.default_rng(1).uniform(-3, 3, (200, 1))
    changes = sizes * np.random.default_rng(0).normal(size=(200, 50))
    rounded = kept_draws(changes)
    normal = rounded[np.abs(rounded) >= 2**-14]
    stored = normal.astype(np.float16)
    assert np.array_equal(stored, normal), "a float16 holds it"
    assert not (stored.view(np.uint16) & 0b1111).any(), "its last four bits are none"
    off = rounded.var(axis=1, ddof=1) / changes.var(axis=1, ddof=1) - 1
    assert 1e-5 < np.abs(off).max() < 5e-3, "by chance: 10%"
    np.testing.assert_array_equal(kept_draws(np.array([np.nan, 0.0, 1e6, -1e6])), [np.nan, 0.0, 65024.0, -65024.0])


def test_a_trained_value_that_is_the_floor_stays_it():
    floor = np.array([1 / 3, 1 / 3, 1 / 3, np.nan, np.inf])
    values = np.array([1 / 3, 1 / 3 + 5e-10, 1 / 3 + 1e-8, 1 / 7, np.inf])
    found = kept_learned(values, floor)
    assert found[:2].tolist() == values[:2].tolist()
    assert found[2:].tolist() == kept(values, LEARNED_BITS)[2:].tolist() and found[2] != values[2]


@pytest.mark.parametrize("steps", [0, 200])
def test_records_name_the_hash_of_what_is_kept_in_a_folder_and_on_a_board(tmp_path, steps):
    values = {"pearson_delta": 0.1 / 3, "r2": -7 / 9}
    record, table = made("a", values, floor=0.1 / 3, steps=steps)
    measured = tables.from_long(TRACK, made_table(values, 0.1 / 3, 0.75, 0.05))
    assert (table.hash != measured.hash) == record.learned == bool(steps)
    assert table.task.hash == measured.task.hash, "a task is as exact for every row"
    assert table.hash == record.values_hash
    for name in tables.OWN_FIELDS:
        np.testing.assert_allclose(table.numbers[name], measured.numbers[name], rtol=1.6e-5, atol=0)
    assert records.with_values(record, table)[0] == record, "rounded once"
    path = tmp_path / "run" / "record.json"
    records.write(path, record, table)
    store.add(tmp_path / "boards", TRACK, [(record, table)])
    (entry,) = collect(tmp_path / "boards")
    assert entry.record == record == records.read(path)
    assert entry.table.hash == records.read_table(TRACK, path, record).hash == record.values_hash


def test_committed_records_are_as_short_as_they_are_written():
    """Of one track; a slow test looks at all."""
    found = store.collect(registry.get("planning"), [BOARDS])
    learned = [entry for entry in found if entry.record.learned]
    assert len(learned) >= 30 and len(found) > len(learned)
    assert [entry.where for entry in found if records.with_values(entry.record, entry.values)[0] != entry.record] == []


@pytest.mark.slow
def test_all_committed_records_are_as_short_as_they_are_written():
    found = [entry for track in registry.tracks() for entry in store.collect(track, [BOARDS]) if entry.table]
    assert sum(entry.record.learned for entry in found) > 500
    assert [entry.where for entry in found if records.with_values(entry.record, entry.values)[0] != entry.record] == []
