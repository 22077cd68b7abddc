"""What bootstraps of the reference controls do to a row and to its task is drawn again: intervals are made of it."""

from dataclasses import replace

import numpy as np
import pytest
from audit_boards import again, board_of, caught, first

from bench.audit import rows
from bench.audit.bootstraps import SHARE
from bench.audit.records import look
from bench.audit.report import METRIC
from bench.audit.second.resampled import weights
from bench.results import shifts
from bench.stats.differential import bootstrap_weights


@pytest.fixture(scope="module")
def judged(original, task):
    """A row with its predicted shifts, and who judges it."""
    entry = first(board_of(original), "latent_additive")
    judge = rows.judge_of(task, entry, original)
    (kept,) = look(original).predictions.values()
    shift = rows.by_name(kept.genes, kept.shifts[entry.record.run_id], task.dataset.genes.tolist(), judge.order)
    return entry, judge, shift


def of_row(judge, entry, shift):
    return next(check for check in judge.row(entry, shift) if check.name == "bootstraps drawn again")


def moved(entry, change):
    return replace(entry, load=lambda: replace(entry.values, draws=change(dict(entry.values.draws))))


def of_task(entry, change):
    task = replace(entry.values.task, draws=change(dict(entry.values.task.draws)))
    return replace(entry, load=lambda: replace(entry.values, task=task))


def only(key, change):
    return lambda draws: {**draws, key: change(draws[key])}


def test_changes_as_they_were_recorded(judged):
    entry, judge, shift = judged
    assert {metric for _, metric in entry.values.draws} == set(SHARE)
    check = of_row(judge, entry, shift)
    assert check.status == "ok" and check.detail == f"{len(entry.values.draws)} changes of means", check
    assert judge.changes(entry, "").status == "ok", judge.changes(entry, "")


#: Identity of few units is told to within a step alone: two of five tested here beat one more.
SMOOTH = [name for name in SHARE if name != "discrimination"]


@pytest.mark.parametrize("metric", SMOOTH)
@pytest.mark.parametrize(
    "change", [lambda draw: draw * 0.5, lambda draw: draw * 1.2, lambda draw: draw[::-1], lambda draw: draw[:10]]
)
def test_changes_of_a_row_that_are_smaller_larger_in_another_order_or_fewer(metric, change, judged):
    entry, judge, shift = judged
    found = of_row(judge, moved(entry, only(("all", metric), change)), shift)
    assert (found.status, found.code) == ("failed", METRIC) and f"{metric} in all" in found.detail, found


def test_changes_of_identity_beyond_what_near_ties_explain(judged):
    entry, judge, shift = judged
    more = np.where(np.arange(50) % 2, 0.3, -0.3)
    found = of_row(judge, moved(entry, only(("all", "discrimination"), lambda draw: draw + more)), shift)
    assert found.status == "failed" and "discrimination in all" in found.detail, found
    key = ("all", "discrimination", "replicate")
    found = judge.changes(of_task(entry, only(key, lambda draw: draw + more)), "")
    assert found.status == "failed" and "of replicate, changes of discrimination in all" in found.detail, found


def test_changes_that_are_gone(judged):
    """Without any, the variance is 0."""
    entry, judge, shift = judged
    found = of_row(judge, moved(entry, lambda draws: {}), shift)
    assert found.status == "failed" and "has values, and no changes" in found.detail
    gone = ("combo_seen2", "discrimination")
    found = of_row(judge, moved(entry, lambda draws: {k: v for k, v in draws.items() if k != gone}), shift)
    assert found.status == "failed" and "discrimination in combo_seen2 has values, and no changes" in found.detail


@pytest.mark.parametrize("metric", [name for name in SMOOTH if name != "signed_rank_z"])
def test_changes_of_the_ceiling(metric, judged):
    entry, judge, _ = judged
    for change in (lambda draw: draw * 0.5, lambda draw: draw * 1.2, np.flip):
        found = judge.changes(of_task(entry, only(("all", metric, "replicate"), change)), "")
        assert found.status == "failed" and f"of replicate, changes of {metric} in all" in found.detail, found
    found = judge.changes(of_task(entry, lambda draws: {k: v for k, v in draws.items() if k[1] != metric}), "")
    assert found.status == "failed" and "has values, and no changes" in found.detail


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        *((name, "pearson_delta") for name in ("mean", "c_in", "span")),
        *((name, "signed_rank_z") for name in ("-pc1", "ranks", "span")),
        *((name, "shift_ratio") for name in ("size_rms", "span")),
    ],
)
def test_changes_of_the_floor(name, metric, judged):
    """The best of these answers is the floor, which every row's skill is counted from."""
    entry, judge, _ = judged
    for change in (lambda draw: draw * 0.5, lambda draw: draw * 1.2, np.flip):
        found = judge.changes(of_task(entry, only(("all", metric, name), change)), "")
        assert found.status == "failed" and f"of {name}, changes of {metric} in all" in found.detail, found
    gone = ("all", metric, name)
    found = judge.changes(of_task(entry, lambda draws: {k: v for k, v in draws.items() if k != gone}), "")
    assert f"of {name}, {metric} in all has values, and no changes" in found.detail


def test_chance_that_moves(judged):
    entry, judge, _ = judged
    key = ("all", "discrimination", "chance")
    found = judge.changes(of_task(entry, only(key, lambda draw: draw + 0.01)), "")
    assert found.status == "failed" and "chance does not depend on the controls" in found.detail


def test_weights_are_those_of_the_definition(task):
    """Every control of the data is drawn at once; a pool's weights come to its size."""
    controls = task.dataset.cells_of["ctrl"]
    every = bootstrap_weights(len(controls), 50, np.random.default_rng([len(controls), 0xB007]))
    np.testing.assert_array_equal(weights(controls, controls), every)
    some = controls[::3]
    np.testing.assert_allclose(weights(controls, some).sum(axis=0), len(some), rtol=1e-12, atol=0)


def test_a_run_of_which_nothing_is_kept_has_changes(boards, audit):
    """Without them the reference controls would add nothing to its intervals."""

    def still(record, table):
        if record.spec.label != "cpa_like":
            return record, table
        table = replace(table, draws={key: each for key, each in table.draws.items() if key[1] != "pearson_delta"})
        hashes = {key: value for key, value in record.hashes.items() if key != shifts.HASH}
        return record.model_copy(update={"values_hash": table.hash, "hashes": hashes}), table

    again(boards, still)
    caught(audit(boards), METRIC, "bootstraps drawn again", "cpa_like", "pearson_delta in all has values, and no 50")
