"""Answers that do not know the condition: each scores what the same prediction scores, and the span what loops give."""

import numpy as np
import pytest
from scipy import stats
from simulated_tasks import task

from bench.tracks.response import blind, score
from bench.tracks.response.bars import load
from bench.tracks.response.families import DE, PATTERN, SIZE
from bench.tracks.response.metrics import METRICS, evaluate


@pytest.fixture(scope="module")
def known():
    t = task(n_singles=30, n_doubles=80, n_genes=200, cells_per_condition=40, n_controls=400)
    return t.facts, load(t.facts)


def half_mean(facts, name, shift):
    """What a prediction scores against the halves, one by one ``[T]``."""
    values = [evaluate(METRICS[name], score.align(facts, facts.c_in + shift, h)).values for h in range(10)]
    known = np.isfinite(values)
    mean = np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known.any(axis=0), mean, np.nan)


def column(bars, answer, metric):
    return bars.blind[bars.answers.index(answer), (PATTERN, DE, SIZE).index(metric)]


def test_directions_score_what_such_predictions_score(known):
    facts, bars = known
    shape = np.broadcast_to(0.0, facts.y.shape)
    given = dict(zip(facts.direction_names, facts.directions, strict=True))
    np.testing.assert_allclose(given["mean"], facts.train_delta, atol=1e-12)
    directions = {
        "mean": given["mean"], "sign_rms": given["sign_rms"], "ranks": given["ranks"], "pc2": given["pc2"],
        "-pc1": -given["pc1"], "c_in": 0.3 * facts.c_in, "-control_sd": -0.3 * facts.control_sd, "nothing": shape,
        "ones": shape + 0.2,
        "mean_by_number": np.stack([given[f"mean@{n}"] for n in facts.stratum.tolist()]),
    }  # fmt: skip
    for name, direction in directions.items():
        for metric in (PATTERN, DE):
            expected = half_mean(facts, metric, direction + shape)
            np.testing.assert_allclose(column(bars, name, metric), expected, rtol=0, atol=2e-4, err_msg=name)
    assert not column(bars, "nothing", PATTERN).any() and not column(bars, "ones", DE).any()
    np.testing.assert_array_equal(column(bars, "-pc1", PATTERN), -column(bars, "pc1", PATTERN))


def test_sizes_score_what_predictions_of_that_size_score(known):
    facts, bars = known
    sizes = dict(zip(facts.size_names, facts.sizes, strict=True))
    rng = np.random.default_rng(0)
    for name, number in (("median", False), ("rms", False), ("median", True)):
        answer = f"size_{name}" + (blind.NUMBER if number else "")
        norm = np.array([sizes[f"{name}@{n}"] if number else sizes[name] for n in facts.stratum.tolist()])
        shift = rng.normal(size=facts.y.shape) * facts.scored
        shift *= (norm / np.linalg.norm(shift, axis=1))[:, None]
        np.testing.assert_allclose(column(bars, answer, SIZE), half_mean(facts, SIZE, shift), rtol=0, atol=1e-9)
    np.testing.assert_allclose(column(bars, "nothing", SIZE)[~np.isnan(bars.size).all(axis=0)], -np.log(10), atol=1e-12)


def test_facts_of_the_train_cells_by_hand(known):
    """Directions and sizes again, from the cells."""
    facts, _ = known
    t = task(n_singles=30, n_doubles=80, n_genes=200, cells_per_condition=40, n_controls=400)
    train = [name for name in t.dataset.conditions if name not in facts.conditions and name != "ctrl"]
    means = np.array([t.dataset.x[t.dataset.cells_of[n]].toarray().astype(float).mean(0) for n in train])
    shifts = means - facts.c_in[0]
    given = dict(zip(facts.direction_names, facts.directions, strict=True))
    mean, rms = shifts.mean(0), np.sqrt((shifts**2).mean(0))
    np.testing.assert_allclose(given["sign_rms"], np.sign(mean) * rms, rtol=1e-6, atol=1e-9)
    doubles = np.array(["ctrl" not in name for name in train])
    np.testing.assert_allclose(given["mean@2"], shifts[doubles].mean(0), rtol=1e-6, atol=1e-9)
    axes = np.linalg.svd((shifts - mean)[:, facts.expressed])[2][:3]
    for k, axis in enumerate(axes):
        ours = given[f"pc{k + 1}"][facts.expressed]
        assert abs(ours @ axis) == pytest.approx(1, abs=1e-6) and ours @ mean[facts.expressed] > 0
    sizes = dict(zip(facts.size_names, facts.sizes, strict=True))
    assert sizes["mean"] == pytest.approx(np.linalg.norm(mean[facts.expressed]), rel=1e-6)
    cells = [t.dataset.x[t.dataset.cells_of[n]].toarray().astype(float) for n in train]
    noise = [x.var(0, ddof=1)[facts.expressed].sum() / len(x) for x in cells]
    inputs = 200 if facts.n_controls[0, 0] <= 256 else 256
    noise = np.array(noise) + (facts.control_sd[facts.expressed] ** 2).sum() / inputs
    square = (shifts[:, facts.expressed] ** 2).sum(1) - noise
    assert sizes["rms"] == pytest.approx(np.sqrt(square.mean()), rel=1e-4)
    assert sizes["median"] == pytest.approx(np.sqrt(np.median(square)), rel=1e-4)


def test_the_best_vector_of_a_span_by_loops():
    rng = np.random.default_rng(0)
    units, genes = 9, 30
    scored = rng.random((units, genes)) < 0.9
    truths = rng.normal(size=(units, genes)) + rng.normal(size=genes)
    rows = rng.normal(size=(4, genes))
    rows[3] = 2 * rows[0] + 5  # nothing new once centred
    u = np.zeros_like(truths)
    for i in range(units):
        mine = truths[i, scored[i]] - truths[i, scored[i]].mean()
        u[i, scored[i]] = mine / np.linalg.norm(mine)
    basis = blind.orthonormal(rows, np.ones(genes, dtype=bool))
    assert len(basis) == 3
    fitted = blind.cuts(units, np.random.default_rng(1))[:10]
    answer = blind.best_in_span(u, scored, basis, fitted)
    span = (rows[:3] - rows[:3].mean(axis=1, keepdims=True)).T
    expected = []
    for i in range(units):
        found = []
        for cut in fitted:
            if not cut[i]:
                mean = np.mean(u[cut], axis=0)
                w = span @ np.linalg.lstsq(span, mean, rcond=None)[0]  # projection of the mean truth
                found.append(stats.pearsonr(w[scored[i]], truths[i, scored[i]]).statistic)
        expected.append(np.mean(found))
    np.testing.assert_allclose(np.vecdot(answer, u), expected, atol=1e-9)


def test_the_span_of_a_task_by_loops(known):
    facts, bars = known
    fitted = blind.cuts(len(facts.cells), np.random.default_rng([blind._seed(facts), len(facts.cells), 0x59A4]))
    assert fitted.sum(axis=1).min() >= len(facts.cells) // 2 and (fitted.sum(axis=0) == blind.CUTS).all()
    rows = np.vstack([facts.directions, facts.c_in[:1], facts.control_sd]) * facts.expressed
    genes = facts.expressed
    span = (rows - rows[:, genes].mean(axis=1, keepdims=True))[:, genes].T
    u = np.zeros(facts.y.shape)
    for h in range(10):
        for i, mine in enumerate(facts.scored):
            d = (facts.half_y[h, i] - facts.c_ref[i])[mine]
            u[i, mine] += (d - d.mean()) / np.linalg.norm(d - d.mean()) / 10
    span /= np.linalg.norm(span, axis=0)
    total = np.zeros(len(u))
    for cut in fitted:
        w = np.zeros(len(genes))
        w[genes] = span @ np.linalg.lstsq(span, u[cut].mean(0)[genes], rcond=1e-9)[0]
        for i in np.flatnonzero(~cut):
            inside = w[facts.scored[i]] - w[facts.scored[i]].mean()
            total[i] += inside @ u[i, facts.scored[i]] / np.linalg.norm(inside) / (~fitted[:, i]).sum()
    np.testing.assert_allclose(column(bars, "span", PATTERN), total, rtol=0, atol=1e-6)


def test_a_span_within_a_subgroup_is_an_answer_there_only(known):
    facts, bars = known
    group = np.array(facts.subgroup)
    large = {name for name in set(facts.subgroup) if (group == name).sum() >= blind.MIN_UNITS}
    found = {name.split("@")[1] for name in bars.answers if name.startswith("span@")}
    assert found == large and large
    for name in large:
        for metric in (PATTERN, DE):
            values = column(bars, f"span@{name}", metric)
            np.testing.assert_array_equal(np.isfinite(values), group == name)
        assert {key[0] for key in bars.task_draws if key[2] == f"span@{name}"} == {name}


def test_without_signal_no_span_is_above_chance():
    """Fitted and scored on the same units it would be: the best of 20 directions of noise agrees with their mean."""
    rng = np.random.default_rng(0)
    units, genes = 24, 200
    scored = np.ones((units, genes), dtype=bool)
    found, naive = [], []
    for _ in range(30):
        u = rng.normal(size=(units, genes))
        u -= u.mean(axis=1, keepdims=True)
        u /= np.linalg.norm(u, axis=1, keepdims=True)
        basis = blind.orthonormal(rng.normal(size=(20, genes)), scored[0])
        answer = blind.best_in_span(u, scored, basis, blind.cuts(units, rng))
        found.append(np.vecdot(answer, u).mean())
        w = (u.mean(axis=0) @ basis.T) @ basis
        naive.append((u @ w / np.linalg.norm(w)).mean())
    assert np.mean(found) < 3 * np.std(found) / np.sqrt(30) < np.mean(naive)


def test_best_size_is_the_median_of_the_other_half():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(4, 9))
    true[:, 2] = np.nan
    fitted = blind.cuts(9, rng)[:6]
    scores, _ = blind.best_size(true, fitted)
    for i in (0, 5):
        expected = [
            np.mean(
                -np.abs(np.nanmedian(np.nanmean(np.delete(true, 2, axis=1), axis=0)[np.delete(cut, 2)]) - true[:, i])
            )
            for cut in fitted
            if not cut[i]
        ]
        assert scores[i] == pytest.approx(np.mean(expected))
    assert np.isnan(scores[2])
