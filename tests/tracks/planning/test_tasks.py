"""E1 to E7 on small screens: a constant is exactly at chance, the other half is the ceiling, no control is shared."""

from dataclasses import replace

import contexts
import numpy as np
import pytest
import scipy.sparse as sp
import screens

from bench.core.conditions import constituents
from bench.data.splits.split import draw
from bench.data.task import Task
from bench.results.skill import bars as family_bars
from bench.results.summary import plan_for
from bench.results.tables import ALL, from_long
from bench.tracks.planning import bars, tasks, truth
from bench.tracks.planning.asked import asked, candidates_of
from bench.tracks.planning.evaluate import Predictions, evaluate
from bench.tracks.planning.metrics import FAMILIES, METRICS
from bench.tracks.planning.scoring import Gallery
from bench.tracks.planning.tasks import Predictor
from bench.tracks.planning.track import TRACK


@pytest.fixture(scope="module")
def facts():
    data = screens.tiny_screen(effect=2.0)
    return truth.load(Task(data, screens.hand_split(data)))


@pytest.fixture(scope="module")
def lines():
    """Three lines, of which one is held out."""
    data = screens.tiny_screen(contexts=3, cells=14, controls=40)
    return truth.load(Task(data, draw(data, "unseen_context", 1)))


def predictions(facts, shift, dtype=np.float64, fallbacks=lambda unit: 0):
    means, missing = {}, {}
    for here in facts.contexts:
        for unit in here.candidates.units:
            means[unit] = (here.c_in + shift(unit)).astype(dtype)
            missing[unit] = fallbacks(unit)
    return Predictions(means, missing)


def by_metric(frame, column="value"):
    return {name: part[column].to_numpy() for name, part in frame.groupby("metric", sort=False)}


@pytest.mark.thinned(1)
@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 0.3), (np.float64, 0.0)])
def test_a_constant_is_exactly_at_chance_in_every_task_and_metric(facts, lines, dtype, size):
    for known in (facts, lines):
        rng = np.random.default_rng(0)
        vector = rng.normal(0, size, len(known.task.dataset.genes))
        jitter = 1e-7 if dtype is np.float32 else 1e-15  # what a model that computes each anew leaves
        found = predictions(known, lambda unit, r=rng, v=vector, j=jitter: v + j * r.normal(size=len(v)), dtype)
        scored = evaluate(known, found)
        values, chance = by_metric(scored.frame), by_metric(scored.frame, "floor")
        for name in METRICS:
            np.testing.assert_allclose(values[name], chance[name], atol=1e-12, err_msg=name)


def test_chance_is_the_harmonic_number_over_the_candidates(facts):
    n = len(facts.units)
    values = by_metric(evaluate(facts, no_change(facts)).frame)
    assert values["e1_mrr_20"] == pytest.approx([sum(1 / k for k in range(1, n + 1)) / n] * n, abs=1e-12)
    assert values["e1_hit5_20"] == pytest.approx([5 / n] * n, abs=1e-12) and set(values["e1_rank_20"]) == {0.5}


def no_change(facts):
    return predictions(facts, lambda unit: np.zeros(len(facts.task.dataset.genes)))


def test_every_task_has_a_value_where_it_is_asked(facts):
    values = by_metric(evaluate(facts, no_change(facts)).frame)
    pair = np.array([len(constituents(unit.perturbation)) == 2 for unit in facts.units])
    for name in METRICS:
        if METRICS[name].optional:  # in latents, of which there are none here
            assert np.isnan(values[name]).all(), name
        elif name.startswith(("e1", "e2", "e4")):
            assert np.isfinite(values[name]).all(), name
        elif name.startswith(("e3", "e6")):
            assert (np.isfinite(values[name]) == pair).all(), name


def test_a_perfect_prediction_beats_chance_and_the_other_half_is_the_ceiling(facts):
    """What the generator planted, as cells would show it: many cells of each condition, another draw of the same."""
    many, obs = screens.tiny_counts(seed=0, cells=400, effect=2.0)
    big = screens.screen(many, obs)
    c_in = facts.contexts[0].c_in
    mean = {name: np.asarray(big.x[rows].mean(axis=0)).ravel() for name, rows in big.cells_of.items()}
    whole = {frozenset(constituents(name)): mean[name] - mean["ctrl"] for name in mean if name != "ctrl"}

    def shift(unit):
        genes = constituents(unit.perturbation)
        return whole.get(frozenset(genes), sum(whole[frozenset([g])] for g in genes))

    scored = evaluate(facts, predictions(facts, shift))
    values, floor, ceiling = (by_metric(scored.frame, c) for c in ("value", "floor", "half_replicate"))
    assert c_in.shape == (60,)
    for name in ("e1_mrr_20", "e2_mrr_20", "e3_mrr_20", "e1_mrr_expression_20"):
        assert np.nanmean(values[name]) > np.nanmean(floor[name]) + 0.2, name
    assert np.nanmean(values["e4_regret"]) < np.nanmean(floor["e4_regret"]) - 0.3
    for name in ("e1_mrr_20", "e2_mrr_20"):
        assert np.nanmean(ceiling[name]) == pytest.approx(np.nanmean(values[name]), abs=0.25), name
    assert abs(np.nanmean(ceiling["e4_regret"])) < 0.15
    assert np.nanmean(values["e1_mrr_1"]) < np.nanmean(values["e1_mrr_5"]) < np.nanmean(values["e1_mrr_100"]) + 0.02
    assert scored.numbers["e1_mrr_null_p"] < 0.02 and scored.numbers["n_unknown"] == 0


def test_the_centred_form_does_not_see_what_is_added_to_all(facts):
    rng = np.random.default_rng(2)
    own = {unit: rng.normal(0, 0.2, 60) for here in facts.contexts for unit in here.candidates.units}
    plain, moved = (by_metric(evaluate(facts, predictions(facts, lambda u, v=v: own[u] + v)).frame) for v in (0.0, 0.7))
    for name in METRICS:
        if "raw" not in name and not name.startswith("e6"):  # a sum of two singles holds the vector twice
            np.testing.assert_allclose(plain[name], moved[name], atol=1e-9, err_msg=name)
    assert np.abs(plain["e1_mrr_raw_20"] - moved["e1_mrr_raw_20"]).max() > 1e-3


def test_the_unknown_are_last_and_counted(facts):
    rng = np.random.default_rng(3)
    own = {unit: rng.normal(0, 0.2, 60) for here in facts.contexts for unit in here.candidates.units}
    at = next(i for i, unit in enumerate(facts.units) if len(constituents(unit.perturbation)) == 1)
    found = evaluate(facts, predictions(facts, own.get, fallbacks=lambda u: int(u == facts.units[at])))
    assert found.numbers["n_unknown"] == 1
    assert by_metric(found.frame)["e1_rank_20"][at] == 1.0
    assert by_metric(found.frame, "fallbacks")["e1_rank_20"].tolist() == [int(i == at) for i in range(len(facts.units))]


def rebuilt(data, x):
    return replace(data, x=sp.csr_matrix(x.astype(np.float32)))


def test_queries_and_predictions_share_no_control(facts):
    """With other input controls queries stay as they are; with other reference controls, what models are given."""
    task = facts.task
    for pool, same, other in (
        ("input_controls", "halves", "measured"),
        ("reference_controls", "measured", "halves"),
    ):
        x = task.dataset.x.toarray()
        rows = screens.rows_of(task.dataset, [b for part in getattr(task.split, pool).values() for b in part])
        x[rows] = np.random.default_rng(0).exponential(1, (len(rows), x.shape[1]))
        changed = truth.compute(Task(rebuilt(task.dataset, x), task.split))
        a, b = facts.contexts[0], changed.contexts[0]
        axes = facts.space.axes if pool == "reference_controls" else None
        if axes is not None:
            np.testing.assert_allclose(axes, changed.space.axes, atol=1e-9)
            np.testing.assert_allclose(getattr(a, same), getattr(b, same), atol=1e-9)
            assert np.abs(getattr(a, other) - getattr(b, other)).max() > 0.01
        else:  # the space is fitted on train effects, which input controls are part of: compared over genes
            shifts = [truth.bag_shifts(f.task.dataset, f, f.contexts[0], 0) for f in (facts, changed)]
            both = np.intersect1d(facts.space.genes, changed.space.genes)
            at = [np.searchsorted(f.space.genes, both) for f in (facts, changed)]
            np.testing.assert_allclose(shifts[0][:, at[0]], shifts[1][:, at[1]], atol=1e-9)


def test_test_cells_are_in_no_fitted_part(facts):
    """The space and the systematic shift are of train cells and input controls alone."""
    task = facts.task
    x = task.dataset.x.toarray()
    rows = task.rows("test")
    x[rows] = np.random.default_rng(0).exponential(1, (len(rows), x.shape[1]))
    changed = truth.compute(Task(rebuilt(task.dataset, x), task.split))
    np.testing.assert_array_equal(facts.space.axes, changed.space.axes)
    np.testing.assert_array_equal(facts.centre, changed.centre)


def test_what_is_perturbed_is_not_looked_at(facts):
    genes = set(facts.task.dataset.genes[facts.space.genes].tolist())
    assert not genes & {gene for unit in facts.units for gene in constituents(unit.perturbation)}
    assert np.allclose(facts.space.axes @ facts.space.axes.T, np.eye(len(facts.space.axes)), atol=1e-5)


def test_models_are_asked_for_every_pair_of_perturbed_genes(facts):
    candidates = candidates_of(facts.task)
    (here,) = candidates
    assert len(here.pairs) == 12 * 11 // 2 and here.measured == 22
    task, units = asked(facts.task, candidates)
    assert len(units) == len(here.conditions) == len(set(units)) == 12 + 66
    assert task.dataset.hash == facts.task.dataset.hash and task.units == facts.task.units
    assert task.dataset.conditions[: len(facts.task.dataset.conditions)] == facts.task.dataset.conditions
    for row, members in zip(here.pairs.tolist(), here.singles.tolist()):
        held = {gene for at in members for gene in constituents(here.conditions[at])}
        assert held == set(constituents(here.conditions[row]))


def test_a_held_out_context_is_asked_among_its_own_perturbations(lines):
    assert [one.candidates.context for one in lines.contexts] == list(lines.task.split.held_out_contexts)
    (here,) = lines.contexts
    assert len(here.candidates.tested) == 22 and here.candidates.measured == 22
    values = by_metric(evaluate(lines, no_change(lines)).frame)
    assert np.isnan(values["e2_mrr_20"]).all() and np.isfinite(values["e1_mrr_20"]).all()


def test_floors_hold_the_best_order_that_looks_at_no_query(facts):
    """In E1 every fixed order is chance; in E2 it pays to put what was never seen first."""
    known = bars.load(facts)
    n, c = len(facts.units), facts.contexts[0].candidates.measured
    for order in bars.ORDERS:
        assert known.blind[order]["e1_mrr_20"].mean() == pytest.approx(sum(1 / k for k in range(1, n + 1)) / n)
    assert known.blind["unseen"]["e2_mrr_20"].mean() > known.blind["chance"]["e2_mrr_20"].mean() + 0.05
    assert known.chance["e2_mrr_20"][0] == pytest.approx(sum(1 / k for k in range(1, c + 1)) / c)
    table = from_long(TRACK, evaluate(facts, no_change(facts)).frame)
    found = family_bars(TRACK, [table], ALL, plan_for([[table]], ALL))
    assert list(found) == list(FAMILIES) and found["mixed"].answer.startswith("unseen")


def test_reversal_by_hand():
    """P moves the first gene by +2, Q by -2, R by +1: from P, Q leads back, and with R it is 3 off."""
    shifts = {"ctrl": 0.0, "P+ctrl": 2.0, "Q+ctrl": -2.0, "R+ctrl": 1.0, "P+Q": 0.0, "P+R": 3.0, "Q+R": -1.0}
    blocks = [np.full((40, 4), 5.0) + shift * np.eye(4)[0] for shift in shifts.values()]
    labels = [(name, "line") for name in shifts for _ in range(40)]
    data = screens.from_cells("toy", blocks, labels)
    task = Task(data, contexts.split_of(data, ("P+ctrl", "Q+ctrl", "R+ctrl"), ("P+Q", "P+R", "Q+R")))
    (here,) = truth.compute(task).contexts
    flat = Predictor(order=np.zeros(len(here.candidates.conditions)))
    excess, room = tasks.reversal(here, flat)
    # From P: pairs at 0 and 9, start at 4; from Q: 0 and 1, start at 4; from R: 9 and 1, start at 1.
    np.testing.assert_allclose(room, [(4 + 4) / 2, (4 + 0) / 2, (4 + 0) / 2], atol=1e-6)
    np.testing.assert_allclose(excess, [(4.5 + 0.5) / 2, (4.5 + 4) / 2, (0.5 + 4) / 2], atol=1e-6)
    of = facts_of_pairs(here, {name: shift for name, shift in shifts.items() if name != "ctrl"})
    for centre in (None, np.zeros(len(here.measured[0]))):
        best = tasks.reversal(here, Predictor(lambda _: of, centre))[0]
        np.testing.assert_allclose(best, 0.0, atol=1e-6)


def facts_of_pairs(here, shifts):
    """A gallery that predicts what was planted, along the axis of the first gene."""
    by_identity = {frozenset(constituents(name)): shift for name, shift in shifts.items()}
    axis = here.measured[list(here.candidates.conditions).index("R+ctrl")]
    rows = np.array([by_identity[frozenset(constituents(name))] for name in here.candidates.conditions])
    return Gallery(rows[:, None] * axis, np.ones(len(rows), bool))


def test_contexts_are_put_together():
    data = screens.tiny_screen(contexts=2, cells=8, controls=40)
    known = truth.load(Task(replace(data, min_cells=4), screens.hand_split(data)))
    assert len(known.contexts) == 2 and {unit.context for unit in known.units} == set(data.contexts)
    found = bars.load(known)
    assert all(len(values) == len(known.units) for values in found.chance.values())
