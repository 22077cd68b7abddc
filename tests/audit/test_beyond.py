"""What pairs do beyond their singles, and signed precision, a second time: by hand, beside the first, and damaged."""

from dataclasses import replace
from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import screens
from audit_boards import board_of, edited, scored

from bench.audit import data_sets, rows
from bench.audit.data_sets import DataSets, problems_of
from bench.audit.report import OK
from bench.audit.second.beyond import Beyond, Sums
from bench.audit.second.scores import Scores
from bench.audit.second.truth import measure
from bench.audit.verify import verify
from bench.core.conditions import CONTROL, single
from bench.data.splits.split import draw
from bench.data.task import Task
from bench.results import everything, store
from bench.results.shifts import LEVELS, Rows, Shifts
from bench.results.tables import ALL
from bench.tracks import registry
from bench.tracks.response.align import align
from bench.tracks.response.metrics import METRICS, evaluate
from bench.tracks.response.track import TRACK
from bench.tracks.response.truth import truth

KIND = "doubles:keep_singles=0.3"


def interacting(genes: int = 60) -> object:
    """A screen of 12 singles and 10 doubles, of which every second one does more than its singles."""
    rng = np.random.default_rng(3)
    base, shift = rng.uniform(1.0, 4.0, 60), {g: rng.normal(0, 0.5, 60) for g in screens.SINGLES}
    names = [CONTROL, *map(single, screens.SINGLES)]
    doubles = [f"{screens.SINGLES[a]}+{screens.SINGLES[b]}" for a, b in screens.DOUBLES]
    rows, obs = [], []
    for i, name in enumerate([*names, *doubles]):
        n = 120 if name == CONTROL else 40
        more = rng.normal(0, 0.6, 60) if name in doubles and i % 2 else np.zeros(60)
        rate = base * np.exp(sum((shift[g] for g in name.split("+") if g != CONTROL), more))
        rows.append(rng.poisson(rate, (n, 60)))
        obs += [(name, "line0", "b0")] * n
    frame = pd.DataFrame(obs, columns=["condition", "context", "batch"])
    frame.index = pd.Index([f"cell{i:05d}" for i in range(len(frame))])
    return screens.screen(sp.csr_matrix(np.vstack(rows)[:, :genes]), frame, "pairs")


@pytest.fixture(scope="module")
def pairs():
    return interacting()


def test_what_is_left_is_what_instruments_leave_by_hand():
    rng = np.random.default_rng(0)
    whole, *halves, moved, kept, d = rng.normal(size=(6, 4, 50))
    common, mask = np.tile(rng.normal(size=50), (4, 1)), rng.random((4, 50)) < 0.8
    d, kept, halves = d + 0.8 * whole, kept + whole + moved, [whole + 0.3 * half for half in halves]
    sums = Sums(np.arange(4), whole, np.stack(halves), moved, kept, np.ones(4, dtype=np.bool_))
    beyond = Beyond(sums, mask, common[0], common + moved)

    def left(shift, common, single, instrument):
        out = np.zeros((4, 50))
        for t, genes in enumerate(mask):
            x, z = (np.column_stack([np.ones(50), common[t], v[t]])[genes] for v in (single, instrument))
            out[t, genes] = shift[t, genes] - x @ np.linalg.solve(z.T @ x, z.T @ shift[t, genes])
        return out

    near = {"rtol": 0, "atol": 1e-9}
    np.testing.assert_allclose(beyond.claimed(d), left(d, common, whole, whole), **near)
    np.testing.assert_allclose(beyond.claimed(d, "first", "second"), left(d, common, *halves), **near)
    np.testing.assert_allclose(beyond.done(d), left(d, common + moved, kept, whole + moved), **near)
    # A sum of the singles says nothing beyond them, nor does the common shift; at most twice the singles are taken off.
    np.testing.assert_allclose(beyond.claimed(1.7 * whole + 0.4 * common + 3.0), 0.0, atol=1e-9)
    for t, genes in enumerate(mask):
        known, rest = np.column_stack([np.ones(50), common[t]])[genes], 3.0 * whole[t, genes]
        rest = rest - known @ np.linalg.lstsq(known, rest, rcond=None)[0]
        np.testing.assert_allclose(beyond.claimed(5.0 * whole)[t, genes], rest, **near)


def test_signed_precision_is_the_mean_over_all_orders_of_ties():
    rng, k = np.random.default_rng(1), 3
    for _ in range(6):
        d_hat, z = rng.integers(-2, 3, (1, 7)) / 4.0, rng.permutation([-4.0, -3, -2, 1, 2.5, 5, 6])[None]
        scored = np.arange(7)[None] != 2
        facts = SimpleNamespace(
            c_in=np.ones((1, 7)), c_ref=np.zeros((1, 7)), y=np.ones((1, 1, 7)), z=z[None], d_var=np.zeros((1, 1, 7)),
            scored=scored,
        )  # fmt: skip
        top = sorted(np.flatnonzero(scored[0]), key=lambda g: -abs(z[0, g]))[:k]
        found = []
        for order in permutations(np.flatnonzero(scored[0]).tolist()):
            placed = sorted(order, key=lambda g: -abs(d_hat[0, g]))[:k]
            hits = [g in top and d_hat[0, g] * z[0, g] > 0 for g in placed]
            found.append(sum(sum(hits[: n + 1]) / (n + 1) for n, hit in enumerate(hits) if hit) / k)
        assert Scores(facts, d_hat).signed_precision(k)[0] == pytest.approx(np.mean(found), abs=1e-12)


@pytest.mark.thinned(1)
@pytest.mark.parametrize(("kind", "fold"), [(KIND, 0), ("doubles", 1)])
def test_both_implementations_agree(kind, fold, pairs):
    compared_with_first(Task(pairs, draw(pairs, kind, 1, fold)), resolved=True)


def test_both_implementations_agree_on_few_genes():
    data = interacting(genes=45)
    compared_with_first(Task(data, draw(data, KIND, 2, 0)), resolved=False)


def compared_with_first(task, resolved):
    """Values of both, against all cells and a half, and who has none: of predictions of every kind."""
    facts, mine = truth.load(task), measure(data_sets.cells_of(task))
    assert facts.units == task.units
    rng = np.random.default_rng(5)
    row = facts.double_row
    np.testing.assert_array_equal(np.flatnonzero(row >= 0), mine.beyond.sums.units)
    known = np.stack([facts.epistasis_resolved[row >= 0], facts.kept_resolved[row >= 0]])
    np.testing.assert_array_equal(mine.resolved, known)
    if resolved:  # some are, and some are not
        assert 0 < known[0].sum() < known.shape[1] and known[1].any() == (facts.kept_additive != 0).any()
    additive = np.zeros_like(facts.y)
    additive[row >= 0] = facts.additive[0, row[row >= 0]]
    d = facts.y - facts.c_ref
    predictions = {
        "nothing": np.zeros_like(d),
        "mean": np.tile(facts.train_delta, (len(d), 1)),
        "sum": additive,
        "sum and mean": 0.5 * additive - facts.train_delta,
        "noisy truth": d + rng.normal(0, 0.2, d.shape),
        "noise": rng.normal(0, 1.0, d.shape),
        "reversed": -d,
        "tied": np.round(2.0 * d) / 2.0,
        "few genes": np.where(np.arange(d.shape[1]) < 5, d, 0.0),
    }
    for what, d_hat in predictions.items():
        for half in (None, 0, 7):
            whole = align(facts, facts.c_in + d_hat, half)
            again = Scores(mine, d_hat, 0 if half is None else half + 1)
            values = {
                "epistasis_r": again.epistasis(kept=False),
                "epistasis_kept_r": again.epistasis(kept=True),
                "signed_ap@50": again.signed_precision(),
            }
            for name, value in values.items():
                expected = evaluate(METRICS[name], whole).values
                np.testing.assert_allclose(value, expected, rtol=0, atol=2e-6, err_msg=f"{name} of {what}, {half}")


@pytest.mark.ci
def test_a_board_with_kept_singles_and_what_is_edited_of_it(pairs, clean_tree, tmp_path):
    task, folder = Task(pairs, draw(pairs, KIND, 1, 0)), tmp_path / "boards"
    made = [scored(name, task, tmp_path / "runs") for name in ("train_mean", "additive", "multiplicative")]
    store.add(folder, TRACK, [one[:2] for one in made], {record.run_id: kept for record, _, kept in made})
    everything.regenerate(registry.tracks(), folder)
    report = verify(folder, DataSets({"pairs": pairs}))
    assert (
        report.exit_code == OK
        and [one.status for one in report.checks if one.name == "metrics recomputed"] == ["ok"] * 3
    )

    board, m = board_of(folder), list(TRACK.metrics).index("epistasis_kept_r")
    entries = {entry.record.spec.label: entry for entry in board.entries()}
    values = {name: entry.values.column(ALL, "value", m) for name, entry in entries.items()}
    some = np.isfinite(values["additive"])
    assert some.any() and not values["additive"][some].any() and values["multiplicative"][some].all()
    judge = rows.judge_of(task, entries["additive"], folder)
    exact = {name: board.kept.of(entry.record.run_id) for name, entry in entries.items()}

    def said(entry):
        d_hat = rows.by_name(board.kept.genes, exact[entry.record.spec.label], pairs.genes.tolist(), judge.order)
        return judge.metrics(entry, d_hat)[0]

    for name, metric, field, by in (
        ("multiplicative", "epistasis_kept_r", "value", 0.05),
        ("multiplicative", "epistasis_kept_r", "half_value", -0.05),
        ("multiplicative", "epistasis_r", "value", 0.05),
        ("multiplicative", "signed_ap@50", "value", 0.1),
        ("additive", "epistasis_kept_r", "value", 0.05),  # 0 by definition, whatever rounding leaves of it
    ):
        assert said(entries[name]) == ""
        found = said(edited(entries[name], metric, field, by))
        assert metric in found and ("against halves" in found) == (field == "half_value")
    for metric, field in (("epistasis_kept_r", "half_replicate"), ("epistasis_r", "floor"), ("signed_ap@50", "floor")):
        check = judge.facts(edited(entries["additive"], metric, field, 1e-4, of_task=True), "")
        assert check.status == "failed" and f"{field}: " in check.detail and metric in check.detail

    # Of few digits the sum of the singles is not quite what it is: what is left of it is nothing.
    coarse = Shifts().with_run("a", Rows(board.kept.genes, exact["additive"], levels=LEVELS[0])).of("a")
    d_hat = rows.by_name(board.kept.genes, coarse, pairs.genes.tolist(), judge.order)
    scores = Scores(judge.truth, d_hat)
    assert (np.abs(scores.epistasis(kept=True)[judge.order][some]) > 1e-3).any()
    assert (judge._unresolved(entries["additive"], d_hat)["epistasis_kept_r"][some] == 0).all()


def test_kept_cells_that_models_see_are_told(pairs):
    task = Task(pairs, draw(pairs, KIND, 1, 0))
    assert problems_of(task) == []
    leaking = replace(task.dataset, kept=task.dataset)
    (said,) = problems_of(replace(task, dataset=leaking))
    assert (
        said == f"{len(task.dataset.barcodes)} cells of singles that are kept from models are among those that they see"
    )
