"""Bootstraps of the reference controls, against tests and metrics of the very cells that each of them drew."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats
from screens import dense, rows_of

from bench.data.task import Task
from bench.stats.differential import bootstrap_weights, wilcoxon_draws
from bench.stats.halved import Halved
from bench.tracks.response import score
from bench.tracks.response.bars import effect_tertiles, load
from bench.tracks.response.metrics import METRICS, evaluate
from bench.tracks.response.truth import truth
from bench.tracks.response.truth.references import DRAWS, reference_weights


def resampled_z(mine, reference, drawn):
    """Mann-Whitney's U of scipy against the cells drawn, in the SD of the test against all of them ``[G]``."""
    n, m = len(mine), len(reference)
    u = stats.mannwhitneyu(mine, reference[drawn], axis=0, method="asymptotic").statistic * len(reference) / len(drawn)
    ties = np.array([stats.tiecorrect(stats.rankdata(column)) for column in np.concatenate([mine, reference]).T])
    sd = np.sqrt(ties * n * m * (n + m + 1) / 12)
    return np.divide(u - n * m / 2, sd, out=np.zeros_like(sd), where=sd > 0)


def integer_weights(dataset, rows):
    """How often each cell was drawn: the weights before they are scaled to the size of the pool."""
    weights = reference_weights(dataset, rows)
    least = np.where(weights > 0, weights, np.inf).min(axis=0)
    for times in (1, 2, 3):  # the least is a cell that was drawn that often
        counts = weights / least * times
        if np.allclose(counts, counts.round(), rtol=0, atol=1e-9):
            return counts.round()
    raise AssertionError("no whole number of draws")


def test_pools_that_share_cells_move_together(tiny):
    """A cell counts as often in one pool as in another, but for the pool's size: split seeds draw halves of one set."""
    controls = tiny.cells_of["ctrl"]
    a, b = controls[: len(controls) // 2], controls[len(controls) // 4 :]
    one, two = reference_weights(tiny, a), reference_weights(tiny, b)
    np.testing.assert_allclose(one.sum(axis=0), len(a), rtol=1e-12)
    shared = np.intersect1d(a, b)
    ratio = one[np.isin(a, shared)] / np.where(two[np.isin(b, shared)] > 0, two[np.isin(b, shared)], np.nan)
    assert np.nanmax(np.nanstd(ratio, axis=0)) < 1e-9
    assert ((one[np.isin(a, shared)] > 0) == (two[np.isin(b, shared)] > 0)).all()


def test_z_of_each_bootstrap_is_that_of_its_cells():
    rng = np.random.default_rng(0)
    x = np.log1p(rng.poisson(rng.uniform(0, 2, 7), (60, 7))).astype(np.float32)
    x[:, 5], x[:30, 6] = 0, 0
    group = np.repeat([0, 1, -1], [12, 9, 39])
    rows = np.flatnonzero(group >= 0)
    side = rng.integers(0, 2, (2, len(rows))).astype(np.uint8)
    reference = np.flatnonzero(group < 0)
    weights = bootstrap_weights(len(reference), 6, rng)
    assert (weights.sum(axis=0) == len(reference)).all() and weights.std() > 0.5
    found = np.zeros((5, 2, 7, 6))
    for gene, z in wilcoxon_draws(sp.csr_matrix(x), Halved(rows, group[rows], side, 2), reference, weights):
        found[:, :, gene] = z
    for b in range(6):
        drawn = np.repeat(np.arange(len(reference)), weights[:, b].astype(int))
        for k in (0, 1):
            mine = rows[group[rows] == k]
            cut = side[:, group[rows] == k]
            parts = [mine, *(mine[c == s] for c in cut for s in (0, 1))]
            for h, part in enumerate(parts):
                expected = resampled_z(x[part], x[reference], drawn)
                np.testing.assert_allclose(found[h, k, :, b], expected, rtol=1e-9, atol=1e-9)


def test_the_truth_under_a_bootstrap_is_that_of_its_cells(tiny, tiny_split, facts):
    rows = np.array(rows_of(tiny, tiny_split.reference_controls[tiny.contexts[0]]))
    reference = dense(tiny, rows)
    weights = integer_weights(tiny, rows)
    for b in (0, 49):
        drawn = np.repeat(np.arange(len(rows)), weights[:, b].astype(int))
        np.testing.assert_allclose(
            facts.c_ref_draws[0, b], reference[drawn].mean(0) - reference.mean(0), rtol=1e-9, atol=1e-9
        )
        for i in (0, 5):
            mine = dense(tiny, tiny.cells_of[facts.conditions[i]])
            np.testing.assert_allclose(
                facts.de_z_draws[b, i], resampled_z(mine, reference, drawn), rtol=1e-5, atol=1e-5
            )


def under(facts, b, half=None):
    """The truth as bootstrap ``b`` has it, of all cells; its noise is kept."""
    from dataclasses import replace

    moved = facts.c_ref_draws[facts.context, b]
    changed = replace(facts, de_z=facts.de_z_draws[b].astype(np.float64), c_ref=facts.c_ref + moved)
    if half is not None:
        changed = replace(changed, y=facts.half_y[half])
    return changed


@pytest.fixture(scope="module")
def scored(tiny, tiny_split):
    facts = truth.compute(Task(tiny, tiny_split))
    rng = np.random.default_rng(0)
    y_hat = facts.c_in + 0.1 * (facts.y - facts.c_ref) + rng.normal(0, 0.3, facts.y.shape)
    return facts, y_hat, score.score_table(facts, y_hat, np.zeros(len(y_hat), dtype=int))


def centred(draws):
    return np.array(draws) - np.mean(draws)


def test_draws_are_the_metric_under_each_bootstrap(scored):
    facts, y_hat, found = scored
    number = np.array(["ctrl" not in name for name in facts.conditions])
    for name in ("pearson_delta", "signed_rank_z", "shift_ratio", "discrimination"):
        metric = METRICS[name]
        plain = evaluate(metric, score.align(facts, y_hat).subset(number)).values if "peers" in metric.needs else None
        draws = []
        for b in range(DRAWS):
            case = score.align(under(facts, b), y_hat)
            if plain is not None:
                case = case.subset(number)
            draws.append(np.nanmean(evaluate(metric, case).values))
        assert np.std(draws) > 0
        np.testing.assert_allclose(found.draws["all", name], centred(draws), rtol=0, atol=1e-6, err_msg=name)


def test_subgroups_and_tertiles_have_draws_of_their_own_units(scored):
    facts, y_hat, found = scored
    names = effect_tertiles(
        found.frame.query("metric == 'pearson_delta' and scope == 'all'")["half_replicate"].to_numpy()
    )
    wanted = {
        "unseen_single": np.array(facts.subgroup) == "unseen_single",
        "effect_low": np.array(names) == "effect_low",
    }
    for scope, rows in wanted.items():
        assert 0 < rows.sum() < len(rows)
        draws = [
            evaluate(METRICS["pearson_delta"], score.align(under(facts, b), y_hat)).values[rows].mean()
            for b in range(DRAWS)
        ]
        np.testing.assert_allclose(found.draws[scope, "pearson_delta"], centred(draws), rtol=0, atol=1e-9)


def test_the_ceiling_moves_as_halves_do(tiny, tiny_split, scored):
    """Pattern and DE of one half as a prediction of the other, under every bootstrap: each half is tested anew."""
    facts, _, found = scored
    rows = np.array(rows_of(tiny, tiny_split.reference_controls[tiny.contexts[0]]))
    reference = dense(tiny, rows)
    weights = integer_weights(tiny, rows)
    tested = [np.random.default_rng([tiny_split.seed, 0, 0x4A1F])]
    halves = [tested[0].permutation(tiny.cells_of[name]) for name in facts.conditions]
    assert facts.replicate_de_draws.shape == (DRAWS, len(halves))
    i, b = 0, 3
    drawn = np.repeat(np.arange(len(rows)), weights[:, b].astype(int))
    scored_genes = facts.scored[i]
    r = []
    for repeat in range(5):
        cells = halves[i]
        if repeat:
            rng = np.random.default_rng([tiny_split.seed, repeat, 0x4A1F])
            cells = rng.permutation(tiny.cells_of[facts.conditions[i]])
        parts = [dense(tiny, cells[k::2]) for k in (0, 1)]
        for a, other in ((0, 1), (1, 0)):
            d_hat = (parts[other].mean(0) - facts.c_in[i])[scored_genes]
            ranks = np.sign(d_hat) * stats.rankdata(np.abs(d_hat).round(6))
            r.append(stats.pearsonr(ranks, resampled_z(parts[a], reference, drawn)[scored_genes]).statistic)
    assert facts.replicate_de_draws[b, i] == pytest.approx(np.mean(r), abs=1e-4)
    pattern = []
    for b in range(DRAWS):
        values = []
        for h in range(10):
            case = score.align(under(facts, b, h), facts.half_y[h ^ 1])
            values.append(evaluate(METRICS["pearson_delta"], case).values)
        pattern.append(np.sqrt(np.maximum(np.mean(values, axis=0), 0)).mean())
    np.testing.assert_allclose(
        found.task_draws["all", "pearson_delta", "replicate"], centred(pattern), rtol=0, atol=1e-9
    )
    assert load(facts).task_draws.keys() >= {("all", "discrimination", "chance"), ("all", "shift_ratio", "replicate")}
