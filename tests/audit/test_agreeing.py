"""Values that cannot be, whatever was predicted: nothing is kept of a run, or means stay what they are."""

from dataclasses import replace

import numpy as np
import pytest
from audit_boards import again, board_of, caught, failures

from bench.audit.records import _possible
from bench.audit.report import METRIC
from bench.results import shifts
from bench.tracks import registry
from bench.tracks.response.track import TRACK

NAMES = list(TRACK.metrics)


def changed(table, field, metric, change):
    """A table with other values of one metric over all units."""
    block = table.numbers[field].copy()
    rows, column = np.flatnonzero(table.task.words["scope"] == "all"), NAMES.index(metric)
    block[rows, column] = change(block[rows, column])
    return replace(table, numbers={**table.numbers, field: block})


def edit(boards, kept, *changes):
    """Change values of a row, with all hashes; ``kept``: whether its predictions stay."""

    def one(record, table):
        if record.spec.label != "cpa_like":
            return record, table
        for change in changes:
            table = changed(table, *change)
        hashes = {key: value for key, value in record.hashes.items() if kept or key != shifts.HASH}
        return record.model_copy(update={"values_hash": table.hash, "hashes": hashes}), table

    again(boards, one)


def a_unit(by):
    def change(values):
        out = values.copy()
        out[int(np.flatnonzero(np.isfinite(out))[0])] += by
        return out

    return change


@pytest.mark.thinned(2)
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([("value", "pearson_delta", a_unit(np.nan))], "pearson_delta: the cells alone say"),
        ([("half_value", "signed_rank_z", a_unit(np.nan))], "signed_rank_z: the cells alone say"),
        ([("half_value", "pearson_delta", a_unit(0.3))], "pearson_delta against halves"),
        ([("half_value", "shift_ratio", a_unit(0.05))], "shift_ratio against halves"),
        ([("value", "shift_ratio", a_unit(0.05))], "shift_ratio is not"),
        ([("value", "r2_delta", a_unit(0.05))], "r2_delta is not"),
        ([("value", "calibration_slope", a_unit(0.05))], "r2_delta is not"),
        ([("degenerate", "discrimination", lambda flags: ~flags)], "a unit that is recorded to be at chance"),
    ],
)
def test_values_of_which_nothing_is_kept_contradict_each_other(changes, said, boards, audit):
    edit(boards, False, *changes)
    caught(audit(boards), METRIC, "values agree with each other", "cpa_like", said)


def test_honest_rows_of_which_nothing_is_kept_are_believed(boards, audit):
    edit(boards, False)
    assert failures(audit(boards)) == []


def towards(values, by):
    """Values nearer to their mean, by so much at most, the mean as it was."""
    mean = np.nanmean(values)
    out = values - np.clip(values - mean, -by, by)
    return out - np.nanmean(out) + mean


@pytest.mark.parametrize(
    ("field", "change", "said"),
    [
        ("value", lambda values: towards(values, 0.1), "spread of discrimination"),
        ("half_value", lambda values: towards(values, 0.1), "spread of discrimination"),
        ("influence", np.zeros_like, "influence"),
    ],
)
def test_intervals_cannot_be_narrowed_behind_a_mean(field, change, said, boards, audit):
    """Each unit is moved by less than what is tolerated of a unit, the mean by nothing."""
    edit(boards, True, (field, "discrimination", change))
    caught(audit(boards), METRIC, "metrics recomputed", "cpa_like", said)


@pytest.mark.parametrize(("metric", "value"), [("pearson_delta", 1.2), ("discrimination", -0.1), ("wmse", -1.0)])
def test_a_mean_that_its_metric_cannot_have(metric, value, original):
    entry = board_of(original).entries()[0]
    assert [check.status for check in _possible([entry], original)] == ["ok"]
    table = changed(entry.table, "value", metric, lambda values: np.full_like(values, value))
    (found,) = _possible([replace(entry, load=lambda: table)], original)
    assert found.status == "failed" and f"mean {metric} is {value:g}" in found.detail


def test_a_number_of_a_run_that_its_metric_cannot_have(original):
    """Of a track whose records have numbers alone: an edited seed of which no moments are kept."""
    entry = board_of(original).entries()[0]
    track = next(track for track in registry.tracks() if track.takes == "latents")
    for value, status in ((0.7, "ok"), (1.01, "failed"), (-1.2, "failed")):
        record = entry.record.model_copy(update={"numbers": {track.primary: value}, "values_hash": None})
        (found,) = _possible([replace(entry, track=track, record=record)], original)
        assert found.status == status
