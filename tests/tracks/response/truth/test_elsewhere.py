"""Answers that remember a perturbation from other contexts: by hand, by loops, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest
from contexts import lines

from bench.core.files import published_boards
from bench.core.units import Unit
from bench.data.splits.split import draw
from bench.data.task import Task, load_dataset
from bench.results import store
from bench.tracks.response.families import DE, IDENTITY, PATTERN, SIZE
from bench.tracks.response.metrics import METRICS, evaluate
from bench.tracks.response.score import align, score_table, table_of
from bench.tracks.response.track import TRACK
from bench.tracks.response.truth import truth
from bench.tracks.response.truth.elsewhere import elsewhere

#: Shift of each train unit in one gene.
LEARNED = {("A", "1"): 1.0, ("A", "2"): 3.0, ("A+B", "1"): 5.0, ("C", "1"): 2.0, ("C", "2"): 4.0, ("C", "3"): 7.0}


def answers(asked, learned=LEARNED):
    units = [Unit(*each) for each in learned]
    found = elsewhere(np.array(list(learned.values()))[:, None], units, [Unit(*each) for each in asked])
    return {name: shift[:, 0].tolist() for name, shift in found.items()}


def test_by_hand():
    assert answers([("A", "4"), ("B+A", "5")]) == {"same_perturbation": [2.0, 5.0]}
    # C is train in context 3, where it does 7 instead of 3: 4 more, which A gets all of, or less.
    found = answers([("A", "3"), ("A+B", "3")])
    assert found.pop("same_perturbation") == [2.0, 5.0]
    assert found == {f"two_way_sum_{p}": [2.0 + 4 * p / 100, 5.0 + 4 * p / 100] for p in (100, 75, 50, 25)}
    # Each test context needs train units of its own.
    assert list(answers([("A", "3"), ("A", "4")])) == ["same_perturbation"]


def test_of_what_no_other_context_holds_the_train_mean_is_left():
    mean = 22 / 6
    assert answers([("A", "4"), ("D", "4")]) == {"same_perturbation": [2.0, pytest.approx(mean)]}
    found = answers([("A", "3"), ("D", "3")])
    assert found["two_way_sum_50"] == [4.0, pytest.approx(mean + 2)]


def test_where_no_other_context_holds_any_there_is_no_such_answer():
    assert answers([("D", "4")]) == answers([("A+C", "4")]) == {}
    assert answers([("A+B", "1")]) == {}  # it is train in its own context only
    assert elsewhere(np.zeros((0, 1)), [], [Unit("A", "1")]) == {}


@pytest.fixture(scope="module")
def screen():
    return lines(6)[0]


@pytest.fixture(scope="module", params=["unseen_context", "few_shot_context:k=3"])
def known(request, screen):
    task = Task(screen, draw(screen, request.param, 1, 0))
    return task, truth.compute(task)


def table_for(facts, shift):
    return table_of(score_table(facts, facts.c_in + shift, np.zeros(len(facts.cells), np.int64)))


def means(data, rows):
    return data.x[rows].toarray().astype(np.float64).mean(axis=0)


def test_of_a_task_by_loops_over_cells(known):
    task, facts = known
    data = task.dataset
    inputs = {c: means(data, [data.barcode_index[b] for b in of]) for c, of in task.split.input_cells.items()}
    shifts = {u: means(data, data.unit_rows(u)) - inputs[u.context] for u in task.units_of("train")}
    elsewhere_of = {u: [v for w, v in shifts.items() if w.perturbation == u.perturbation and w.context != u.context]
                    for u in {*shifts, *facts.units}}  # fmt: skip
    for t, unit in enumerate(facts.units):
        same = np.mean(elsewhere_of[unit], axis=0)
        np.testing.assert_allclose(facts.elsewhere[0, t], same, atol=1e-9)
        if own := [v - np.mean(elsewhere_of[u], axis=0) for u, v in shifts.items() if u.context == unit.context]:
            assert len(own) == 3
            np.testing.assert_allclose(facts.elsewhere[2, t], same + 0.75 * np.mean(own, axis=0), atol=1e-9)
    shares = [f"two_way_sum_{p}" for p in (100, 75, 50, 25)] if task.split.kind.startswith("few") else []
    assert list(facts.elsewhere_names) == ["same_perturbation", *shares]


def test_it_scores_what_such_a_prediction_scores(known):
    """In every family, within every context, against halves and under bootstraps of the reference controls."""
    _, facts = known
    name = facts.elsewhere_names[-1]
    table = table_for(facts, facts.elsewhere[-1])
    assert len(table.task.scopes) > 1
    for metric in (PATTERN, DE, SIZE, IDENTITY):
        m = list(METRICS).index(metric)
        for scope in table.task.scopes:
            answer, own = (table.column(scope, field, m) for field in (f"blind:{name}", "half_value"))
            np.testing.assert_array_equal(answer, own)
            ours = table.task.draws.get((scope, metric, name))
            assert (ours is None) == ((scope, metric) not in table.draws) == np.isnan(own).all()
            if ours is not None:  # a gallery of under five has no identity
                np.testing.assert_array_equal(ours, table.draws[scope, metric])
    cases = [align(facts, facts.c_in + facts.elsewhere[-1], half) for half in range(10)]
    for metric in (PATTERN, IDENTITY):  # by the metrics themselves; within one context and stratum
        rows = [
            i for i, u in enumerate(facts.units) if u.context == facts.units[0].context and "ctrl" in u.perturbation
        ]
        values = np.mean([evaluate(METRICS[metric], case).values for case in _within(facts, cases, rows)], axis=0)
        place = {unit: i for i, unit in enumerate(table.task.units["all"])}
        found = table.column("all", f"blind:{name}", list(METRICS).index(metric))
        np.testing.assert_allclose(found[[place[facts.units[i]] for i in rows]], values, atol=1e-5)
    if name == "same_perturbation":  # who remembers perturbations tells them apart: no coin
        assert np.nanmean(table.column("all", f"blind:{name}", list(METRICS).index(IDENTITY))) > 0.6


def _within(facts, cases, rows):
    """The same predictions, of a few units alone."""
    return [align(facts, case.y_hat[rows], half, None, np.array(rows), True) for half, case in enumerate(cases)]


@pytest.mark.ci
def test_other_tasks_have_no_such_answer(tiny, tiny_split, screen):
    """One context; several, with perturbations held out in all; with both held out."""
    for each in (Task(tiny, tiny_split), Task(*lines(2)), Task(screen, draw(screen, "double_holdout", 1, 0))):
        facts = truth.compute(each)
        assert facts.elsewhere.shape == (0, *facts.y.shape) and not facts.elsewhere_names
        found = table_for(facts, facts.train_delta).task
        assert not [name for name in found.blind if name.startswith(("same_perturbation", "two_way_sum"))]


def test_where_contexts_are_held_out_all_other_facts_stay(known):
    _, facts = known
    now = table_for(facts, facts.train_delta).task
    plain = replace(facts, elsewhere=facts.elsewhere[:0], elsewhere_names=())
    before = table_for(plain, facts.train_delta).task
    assert now.answers - before.answers == set(facts.elsewhere_names)
    assert {*now.numbers} - {*before.numbers} == {f"blind:{name}" for name in facts.elsewhere_names}
    for name, block in before.numbers.items():
        np.testing.assert_array_equal(now.numbers[name], block)
    for key, row in before.draws.items():
        np.testing.assert_array_equal(now.draws[key], row)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["simulated__doubles", "simulated__simulation", "simulated_hard__simulation"])
def test_committed_boards_of_one_context_stay_as_they_are(name):
    """All facts of a task, computed today, are those that were stored before such answers were known."""
    path = published_boards() / "records" / "response" / f"{name}.zip"
    entry = next(one for one in store.Board(TRACK, path).entries() if one.table is not None)
    spec, stored = entry.record.spec, entry.values.task
    dataset = load_dataset(spec.dataset)
    facts = truth.compute(Task(dataset, draw(dataset, spec.split, spec.split_seed, spec.control_fold)))
    now = table_for(facts, facts.train_delta).task
    assert now.answers == stored.answers and now.same_units(stored)
    assert {*now.draws} == {*stored.draws}
    for field, block in stored.numbers.items():
        for m, metric in enumerate(stored.metrics):
            if np.isfinite(block[:, m]).any():  # others may be newer than the records
                again = now.numbers[field][:, now.metrics.index(metric)]
                np.testing.assert_allclose(again, block[:, m], rtol=1e-9, atol=1e-9, err_msg=f"{field} {metric}")
