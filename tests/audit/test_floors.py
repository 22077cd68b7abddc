"""What all rows of a task share is recomputed: blind answers, replicate, and what is said of units."""

import json
from dataclasses import replace

import numpy as np
import pytest
import screens
from audit_boards import again, board_of, caught, edited, first, scored
from scipy.special import ndtr
from scipy.stats import mannwhitneyu

from bench.audit import rows, words
from bench.audit.report import HASH, METRIC
from bench.audit.second.ranksum import z_scores
from bench.core.conditions import CONTROL
from bench.data.load import inspect, load
from bench.data.splits.split import draw
from bench.data.task import Task
from bench.results.entries import BoardEntry
from bench.results.tables import ALL, BLIND
from bench.tracks.response.track import TRACK

PATTERN, IDENTITY, SIZE, DE = "pearson_delta", "discrimination", "shift_ratio", "signed_rank_z"
#: A value of each kind that is stored of a task.
KINDS = [
    *(("half_floor", metric) for metric in (PATTERN, IDENTITY, SIZE, DE)),
    ("half_replicate", IDENTITY),
    ("floor", "discrimination_raw"),
    (f"{BLIND}chance", IDENTITY),
    (f"{BLIND}nothing", SIZE),
    *((f"{BLIND}{name}", PATTERN) for name in ("mean", "sign_rms", "ranks", "pc1", "-pc3", "c_in", "ones", "span")),
    *((f"{BLIND}{name}", DE) for name in ("ranks", "-control_sd", "pc2", "span")),
    *((f"{BLIND}{name}", SIZE) for name in ("size_mean", "size_median", "size_rms", "size_sign_rms", "span")),
]


def with_task(entry, **changes):
    """The same record, of whose task something else is said."""
    return replace(entry, load=lambda: replace(entry.values, task=replace(entry.values.task, **changes)))


def floors(entry, **changes):
    """The same with other fields of the task; None = without that."""
    numbers = {**entry.values.task.numbers, **changes}
    return with_task(entry, numbers={name: block for name, block in numbers.items() if block is not None})


@pytest.fixture(scope="module")
def judged(original, task):
    entry = first(board_of(original), "additive")
    return entry, rows.judge_of(task, entry, original)


@pytest.mark.ci
def test_a_lower_floor_of_each_kind_is_told(judged):
    entry, judge = judged
    assert judge.facts(entry, "").status == "ok"
    for field, metric in KINDS:
        check = judge.facts(edited(entry, metric, field, -1e-4, of_task=True), "")
        assert (check.status, check.code) == ("failed", METRIC), (field, metric)
        assert f"{field}: " in check.detail and f"one of {metric} is off by" in check.detail


def test_floors_of_a_subgroup_that_is_a_gallery(judged):
    entry, judge = judged
    task, m = entry.values.task, list(TRACK.metrics).index(IDENTITY)
    (row, *_) = np.flatnonzero(task.words["scope"] == "combo_seen2")
    for field in ("floor", "half_floor", "half_replicate", f"{BLIND}chance"):
        block = task.numbers[field].copy()
        block[row, m] -= 1e-4
        assert f"{field}: " in judge.facts(floors(entry, **{field: block}), "").detail


def test_answers_that_are_missing_or_too_many_or_have_no_value_for_a_unit(judged):
    """Where one answer has a value for more units than the others, it alone would be the floor."""
    entry, judge = judged
    numbers, m = entry.values.task.numbers, list(TRACK.metrics).index(PATTERN)
    holed, more = numbers[f"{BLIND}mean"].copy(), numbers[f"{BLIND}chance"].copy()
    holed[np.flatnonzero(np.isfinite(holed[:, m]))[0], m] = np.nan
    more[:, m] = -1.0
    for change, said in (
        ({f"{BLIND}span": None}, "span is not among the floor's answers"),
        ({f"{BLIND}other": more}, f"{BLIND}other is an answer of another kind of task"),
        ({f"{BLIND}mean": holed}, f"{BLIND}mean: {PATTERN} has a value where none is"),
        ({f"{BLIND}chance": more}, f"{BLIND}chance: {PATTERN} has no value where one is recorded"),
    ):
        assert said in judge.facts(floors(entry, **change), "").detail


@pytest.mark.parametrize("what", ["floor", "subgroup", "effect", "cells"])
def test_a_task_that_is_edited_with_all_hashes_made_anew(what, boards, audit):
    def change(record, table):
        task = table.task
        if what == "floor":
            task = edited(BoardEntry(TRACK, record, boards, lambda: table), PATTERN, f"{BLIND}span", -0.05, True).values
            task, name, said = task.task, "floor and replicate recomputed", f"{BLIND}span"
        elif what == "cells":
            task, name, said = replace(task, cells=task.cells + 1), "units recomputed", "cells, and"
        else:
            words, name = {key: column.copy() for key, column in task.words.items()}, "units recomputed"
            if what == "effect":
                (row, *_), said = np.flatnonzero(words["effect"] != "effect_high"), "'effect_high'"
                words["effect"][row] = "effect_high"
            else:  # the first unit, which stays the first of its rows
                mine, said = words["condition"] == words["condition"][0], "of its subgroup"
                words["subgroup"][mine] = "combo_seen1"
                words["scope"][mine & (words["scope"] != ALL)] = "combo_seen1"
            task = replace(task, words=words)
        expected.append((name, said))
        table = replace(table, task=task)
        return record.model_copy(update={"values_hash": table.hash}), table

    expected = []
    again(boards, change)
    name, said = expected[0]
    found = caught(audit(boards), METRIC, name, "tiny__doubles", said)
    # In another subgroup a unit is told from others, and other means move with the controls.
    also = {"subgroup": None, "effect": {name, "bootstraps drawn again"}}.get(what, {name})
    assert also is None or {check.name for check in found} == also


def test_a_subgroup_without_its_own_rows_is_not_read(boards, audit):
    board = board_of(boards)
    entries = board.entries()
    column = entries[0].values.task.words["subgroup"].copy()
    column[0] = "combo_seen1"
    task = replace(entries[0].values.task, words={**entries[0].values.task.words, "subgroup": column})
    board.write([(entry.record, replace(entry.values, task=task)) for entry in entries])
    caught(audit(boards), HASH, "values", "rows of 'combo_seen2' are not those of its units")


def test_words_and_rows_of_units(judged, task):
    entry = judged[0]
    table = entry.values.task
    assert [check.status for check in words.look([entry], task, "")] == ["ok"]

    def said(**changes):
        (check,) = words.look([with_task(entry, **changes)], task, "")
        return check.detail

    for word, row, other in (("effect", -1, "effect_high"), ("subgroup", -1, "combo_seen1"), ("context", 0, "mars")):
        column = table.words[word].copy()
        column[row] = other if column[row] != other else "effect_low"
        assert said(words={**table.words, word: column}) != ""
    twice = {name: column.copy() for name, column in table.words.items()}
    twice["condition"][1] = twice["condition"][0]
    assert "is there twice" in said(words=twice)


@pytest.mark.ci
def test_answers_by_number_and_within_subgroups(simulated, tmp_path, clean_tree):
    task = simulated.task
    record, table, _ = scored("train_mean", task, tmp_path)
    entry = BoardEntry(TRACK, record, tmp_path, lambda: table)
    judge = rows.judge_of(task, entry, tmp_path)
    assert judge.facts(entry, "").status == "ok" and [c.status for c in words.look([entry], task, "")] == ["ok"]
    by_number = (("span_by_number", DE), ("mean_by_number", PATTERN), ("size_rms_by_number", SIZE))
    for name, metric in (
        *by_number,
        ("-pc2_by_number", DE),
        ("span@unseen_single", PATTERN),
        ("span@combo_seen1", SIZE),
    ):
        check = judge.facts(edited(entry, metric, f"{BLIND}{name}", -1e-4, of_task=True), "")
        assert f"{BLIND}{name}: " in check.detail and metric in check.detail


@pytest.mark.ci
def test_answers_by_dose(tmp_path, clean_tree):
    """Of compounds in two lines each dose that ten train units have is answered for by itself."""
    screen = load(inspect(screens.chemical_file(tmp_path))[1].card)
    order = np.random.default_rng(5).permutation(sorted(set(screen.perturbations) - {CONTROL})).tolist()
    lists = {"train": order[:23], "val": order[23:27], "test": order[27:]}
    (tmp_path / "lists.json").write_text(json.dumps(lists))
    task = Task(screen, draw(screen, "custom", custom=tmp_path / "lists.json"))
    record, table, _ = scored("train_mean", task, tmp_path)
    entry = BoardEntry(TRACK, record, tmp_path, lambda: table)
    judge = rows.judge_of(task, entry, tmp_path)
    assert {"mean_by_dose", "-pc1_by_dose", "size_rms_by_dose"} <= entry.values.task.answers
    assert judge.facts(entry, "").detail.endswith("blind answers") and judge.facts(entry, "").status == "ok"
    assert [c.status for c in words.look([entry], task, "")] == ["ok"]
    for name, metric in (("ranks_by_dose", DE), ("size_median_by_dose", SIZE), ("mean_by_dose", PATTERN)):
        check = judge.facts(edited(entry, metric, f"{BLIND}{name}", -1e-4, of_task=True), "")
        assert f"{BLIND}{name}: " in check.detail and metric in check.detail


def test_rank_sums_are_those_of_scipy():
    rng = np.random.default_rng(0)
    cells, reference = rng.poisson(1.0, (30, 6)) / 2.0, rng.poisson(0.8, (12, 6)) / 2.0
    cells[:, 5] = reference[:, 5] = 0.0
    group, side = np.repeat([0, 1, 2], 10), rng.integers(0, 2, (2, 30))
    found = z_scores(cells, group, side, reference)[0]
    assert not found[:, :, 5].any()
    parts = [np.ones(30, dtype=bool), *(half for of in side for half in (of == 0, of == 1))]
    for z, part in zip(found, parts, strict=True):
        for k in range(3):
            mine = cells[part & (group == k), :5]
            p = mannwhitneyu(mine, reference[:, :5], use_continuity=False, method="asymptotic").pvalue
            u = mannwhitneyu(mine, reference[:, :5]).statistic - len(mine) * len(reference) / 2.0
            np.testing.assert_allclose(2.0 * ndtr(-np.abs(z[k, :5])), p, rtol=1e-9)
            np.testing.assert_array_equal(np.sign(z[k, :5]), np.sign(u))
