"""Rows of planning are ranked a second time from what is kept, and every planted defect is found."""

import shutil
from dataclasses import replace

import members
import numpy as np
import pytest
import screens
from audit_boards import edited
from harness import BUDGET, made_spec

from bench.audit import plans
from bench.audit.data_sets import DataSets
from bench.audit.report import HASH, METRIC, MISSING, OK
from bench.audit.second import places, planning
from bench.audit.verify import verify
from bench.core.conditions import constituents
from bench.data.splits.split import draw
from bench.data.task import Task
from bench.results import everything, records, shifts, store
from bench.results.tables import BLIND
from bench.runner import by_track, kept_predictions
from bench.runner.config import make_config, task_fields
from bench.runner.model_choice import choose
from bench.tracks import registry
from bench.tracks.planning import kept as kept_rows
from bench.tracks.planning import run as evaluation
from bench.tracks.planning import truth
from bench.tracks.planning.evaluate import Predictions, evaluate
from bench.tracks.planning.ranking import measure
from bench.tracks.planning.ranking import places as first_places
from bench.tracks.planning.track import TRACK

#: Screens are published and audited whole: a tenth of what the fast suite may take.
pytestmark = pytest.mark.ci

NAMES = list(TRACK.metrics)


def answer(task, noise):
    """A sum of what was measured of genes, with noise; candidates that are one; some of which nothing is known."""
    facts, rng = truth.load(task), np.random.default_rng(5)
    own = {gene: rng.normal(0, 0.4, len(task.dataset.genes)) for gene in screens.SINGLES}
    means, fallbacks = {}, {}
    for here in facts.contexts:
        for i, unit in enumerate(here.candidates.units):
            genes = constituents(unit.perturbation)
            rows = task.dataset.unit_rows(unit) if unit.perturbation in task.dataset.conditions else []
            shift = sum(own[gene] for gene in genes)
            if len(rows):
                shift = 0.3 * shift + np.asarray(task.dataset.x[rows].mean(axis=0)).ravel() - here.c_in
            means[unit] = (here.c_in + shift + noise * rng.normal(size=len(own[genes[0]]))).astype(np.float32)
            fallbacks[unit] = len(genes) if i % 17 == 3 else 0
        same = here.candidates.units[-1], here.candidates.units[-4]
        means[same[0]] = means[same[1]]
    return Predictions(means, fallbacks)


def made(name, task, found):
    """A record of predictions, its table, and what is kept of them."""
    spec = made_spec(name, **task_fields(task))
    budget = BUDGET.model_copy(update={"fit_s": 1 + np.random.random()})
    record, table = evaluation.evaluate(task, found.means, found.fallbacks, spec, "model", budget)
    return record, table, evaluation.kept(task, found.means, found.fallbacks)


def put(folder, *rows):
    store.add(folder, TRACK, [row[:2] for row in rows], {record.run_id: kept for record, _, kept in rows})
    everything.regenerate(registry.tracks(), folder)


@pytest.fixture(scope="module")
def data():
    """The tiny screen, with effects that leave room to steer."""
    return screens.tiny_screen(effect=2.0)


@pytest.fixture(scope="module")
def drawn(data):
    return Task(data, draw(data, "doubles", 1, 0))


@pytest.fixture
def audit(data):
    return lambda folder: verify(folder, DataSets({"tiny": data}))


@pytest.fixture(scope="module")
def published(drawn, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plans")
    facts = truth.load(drawn)
    units = {unit: here for here in facts.contexts for unit in here.candidates.units}
    still = Predictions({u: here.c_in.astype(np.float32) for u, here in units.items()}, dict.fromkeys(units, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "git_state", lambda: ("0" * 40, False))
        put(folder, made("near", drawn, answer(drawn, 0.1)), made("still", drawn, still))
    return folder


@pytest.fixture
def folder(published, clean_tree, tmp_path):
    return shutil.copytree(published, tmp_path / "boards")


def failures(report):
    return [check for check in report.checks if check.status == "failed"]


def board_of(folder):
    (board,) = store.boards(folder, TRACK)
    return board


def again(folder, change=lambda record, table: (record, table), rows=lambda kept: kept):
    """Rewrite the board with all hashes made anew."""
    board = board_of(folder)
    entries = {entry.record.spec.label: (entry.record, entry.table) for entry in board.entries()}
    record, table = change(*entries["near"])
    kept = rows(board.kept.rows(record.run_id))
    still = entries["still"][0].run_id
    board.path.unlink()
    put(folder, (record, table, kept), (*entries["still"], board.kept.rows(still)))


def moved(metric, by):
    def change(record, table):
        values = table.numbers["value"].copy()
        at = np.flatnonzero(np.isfinite(values[:, NAMES.index(metric)]))[0]
        values[at, NAMES.index(metric)] += by
        table = replace(table, numbers={**table.numbers, "value": values})
        return record.model_copy(update={"values_hash": table.hash}), table

    return change


def test_every_metric_of_what_was_published_is_recomputed(folder, audit):
    report = audit(folder)
    assert failures(report) == [] and report.exit_code == OK
    done = [check for check in report.checks if check.name == "metrics recomputed"]
    assert [check.status for check in done] == ["ok", "ok"] and all("values" in check.detail for check in done)
    assert [c.status for c in report.checks if c.name == "floor and replicate recomputed"] == ["ok"]
    assert max(entry.record.numbers["n_unknown"] for entry in board_of(folder).entries()) > 0


@pytest.mark.parametrize("several", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_both_implementations_agree_where_nothing_is_rounded(several, drawn, tmp_path, monkeypatch):
    """The same answer, unrounded, ranked by both: every value, chance, the other half, and the null."""
    monkeypatch.setattr(kept_rows, "STEPS", 2.0**40)
    monkeypatch.setattr(kept_rows, "NOTHING", 0.0)
    lines = screens.tiny_screen(contexts=3, cells=14, controls=40) if several else drawn.dataset
    task = Task(lines, draw(lines, "unseen_context", 1) if several else screens.hand_split(lines))
    found = answer(task, 0.2)
    scored = evaluate(truth.load(task), found)
    judge, kept = plans.Judge(task, tmp_path), kept_rows.rows_of(truth.load(task), found)
    answers = judge._answers(kept.shifts, kept.steps)
    mine = judge._joined(lambda one: planning.scored(one, answers[one.asked.context], judge.scales))
    ceiling = judge._joined(lambda one: planning.ceiling(one, judge.scales))
    chance = judge._joined(lambda one: planning.chance(one, judge.scales))
    compared = 0
    for name, part in scored.frame.groupby("metric", sort=False):
        for column, values in (("value", mine), ("half_replicate", ceiling), ("floor", chance)):
            if name in values:
                np.testing.assert_allclose(values[name], part[column], rtol=1e-6, atol=1e-6, err_msg=f"{name} {column}")
                compared += bool(np.isfinite(values[name]).any())
    assert compared > (60 if several else 90)
    for one in judge.every:
        for task_name, (null, p, _) in planning.nulls(one, answers[one.asked.context], judge.seed).items():
            assert scored.numbers[f"{task_name}_mrr_null"] == pytest.approx(null, abs=1e-9)
            assert scored.numbers[f"{task_name}_mrr_null_p"] == pytest.approx(p)


def test_places_by_counting():
    scores = np.array([[3.0, 1.0, 3.0, -np.inf, 2.0, -np.inf]])
    above, tied = places.counted(scores)
    assert above.tolist() == [[0, 3, 0, 4, 2, 4]] and tied.tolist() == [[2, 1, 2, 2, 1, 2]]
    np.testing.assert_allclose(places.reciprocal(above, tied)[0], [0.75, 0.25, 0.75, 11 / 60, 1 / 3, 11 / 60])
    where = first_places(scores)
    for name, mine in places.measures(above, tied, 6).items():
        np.testing.assert_allclose(mine, measure(name, where, 6))
    for one in range(6):
        assert [each[0] for each in places.counted_of(scores, np.array([one]))] == [above[0, one], tied[0, one]]
    levels = np.array([[1, 0, 1, -1]])
    found = [places.counted_of(np.zeros((1, 4)), np.array([one]), levels) for one in range(4)]
    assert [(int(a[0]), int(b[0])) for a, b in found] == [(0, 2), (2, 1), (0, 2), (3, 1)]


@pytest.mark.thinned(2)
@pytest.mark.parametrize(
    ("metric", "by"), [("e1_mrr_20", 0.3), ("e2_rank_20", 0.05), ("e3_mrr_20", 0.4), ("e4_excess", 0.3)]
)
def test_an_edited_value_with_all_hashes_made_anew(metric, by, folder, audit):
    again(folder, moved(metric, by))
    report = audit(folder)
    (found,) = failures(report)
    assert report.exit_code == METRIC and found.name == "metrics recomputed"
    assert "near" in found.subject and metric in found.detail


def test_an_edited_number_of_the_whole_run(folder, audit):
    def change(record, table):
        return record.model_copy(update={"numbers": {**record.numbers, "e1_mrr_null": 0.01}}), table

    again(folder, change)
    (found,) = failures(audit(folder))
    assert found.name == "metrics recomputed" and "e1_mrr_null" in found.detail


def test_an_edited_kept_file(folder, audit):
    board = board_of(folder)
    book, run_id = board.kept, next(e.record.run_id for e in board.entries() if e.record.spec.label == "near")
    numbers = book.runs[run_id].numbers.copy()
    numbers[0, 5] += 1
    edited = replace(book, runs={**book.runs, run_id: shifts.Kept(book.runs[run_id].scale, numbers)})
    members.put(board.path, store.PREDICTIONS, shifts.pack(edited))
    report = audit(folder)
    assert report.exit_code == HASH
    assert any(c.name == "kept predictions" and "not those that its record names" in c.detail for c in failures(report))
    members.put(board.path, store.PREDICTIONS, None)
    assert audit(folder).exit_code == MISSING


@pytest.mark.thinned(1)
@pytest.mark.parametrize("what", ["rows of two test units", "a row is lacking", "unknown is said to be known"])
def test_rows_that_are_not_those_of_the_candidates(what, folder, audit, drawn):
    tested = truth.load(drawn).contexts[0].candidates.tested

    def change(kept):
        order = np.arange(len(kept.shifts))
        a, b = 1 + tested[0], 1 + tested[3]  # the mean comes first
        if what.startswith("rows"):
            order[[a, b]] = order[[b, a]]
        if what.endswith("lacking"):
            order = order[:-1]
        steps = kept.steps[order]
        return shifts.Rows(kept.names, kept.shifts[order], np.abs(steps) if what.endswith("known") else steps)

    again(folder, rows=change)
    report = audit(folder)
    (found,) = failures(report)
    assert report.exit_code == METRIC and found.name == "metrics recomputed" and "near" in found.subject
    assert "candidates need" in found.detail if what.endswith("lacking") else True


@pytest.mark.slow
def test_rows_without_coordinates_are_skipped(folder, audit):
    board = board_of(folder)
    board.write([(kept_predictions.without(e.record), e.table) for e in board.entries()])
    report = audit(folder)
    skips = [check for check in report.checks if check.detail == "no predictions kept"]
    assert failures(report) == [] and len(skips) == 2


def test_publishing_takes_coordinates_along(drawn, clean_tree, tmp_path, monkeypatch, audit):
    """From a run's folder, and from a board that has them: the same to the last bit."""
    monkeypatch.setattr(kept_predictions, "load_dataset", lambda name: drawn.dataset)
    config = make_config(
        choose("additive"), {}, data="tiny", split="doubles", seeds=((1, 1, 1),), out=tmp_path / "runs",
        leaderboards=tmp_path / "a",
    )  # fmt: skip
    by_track.run(TRACK, config, drawn)
    (entry,) = store.collect(TRACK, [tmp_path / "a"])
    run_id = entry.record.run_id
    found, lacking = kept_predictions.kept_of([entry], tmp_path / "runs")
    assert list(found) == [run_id] and not lacking
    store.add(tmp_path / "b", TRACK, [(entry.record, entry.table)], found)
    (there,) = store.collect(TRACK, [tmp_path / "b"])
    done = [check for check in audit(tmp_path / "b").checks if check.name == "metrics recomputed"]
    assert [check.status for check in done] == ["ok"], done
    again_found, _ = kept_predictions.kept_of([there], tmp_path / "nowhere")
    store.add(tmp_path / "c", TRACK, [(kept_predictions.without(there.record), there.table)], again_found)
    (copy,) = store.collect(TRACK, [tmp_path / "c"])
    assert copy.record.hashes[shifts.HASH] == there.record.hashes[shifts.HASH]
    (tmp_path / "runs" / run_id / "candidates.h5ad").write_bytes(b"another")
    assert "not the predictions" in kept_predictions.kept_of([entry], tmp_path / "runs")[1][run_id]


@pytest.mark.ci
def test_orders_that_look_at_no_query_are_floors_too(folder, drawn):
    entry = next(entry for entry in board_of(folder).entries() if entry.record.spec.label == "near")
    judge, answers = plans.Judge(drawn, folder), entry.values.task.answers
    assert judge.facts(entry, "").status == "ok" and {"chance", "largest", "unseen_smallest"} <= answers
    fields, numbers = ["half_floor", *(f"{BLIND}{name}" for name in sorted(answers))], entry.values.task.numbers
    known = {field: np.isfinite(numbers[field]).any(axis=0) for field in fields}
    kinds = [(field, name) for field in fields for m, name in enumerate(NAMES) if known[field][m]]
    assert {metric for _, metric in kinds} >= {"e1_mrr_20", "e2_mrr_20", "e3_mrr_20"}
    for field, metric in kinds:
        check = judge.facts(edited(entry, metric, field, -1e-4, of_task=True), "")
        assert (check.status, check.code) == ("failed", METRIC)
        assert f"{field}: " in check.detail and f"one of {metric} is off by" in check.detail
    numbers = {name: block for name, block in numbers.items() if name != f"{BLIND}unseen"}
    lacking = replace(entry.values, task=replace(entry.values.task, numbers=numbers))
    assert "unseen is not among the floor's answers" in judge.facts(replace(entry, load=lambda: lacking), "").detail
