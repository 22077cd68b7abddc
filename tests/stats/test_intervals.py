"""Intervals, skill and tests by simulation, by hand, and against scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.results.skill import mean_skill, scale, skill, skill_draws
from bench.stats import bootstrap
from bench.stats.intervals import beat_rate, design, deviation, half_width, holm, means, sign_flip
from bench.stats.ranks import paired_deviation

ICC = (0.6, 0.9)
UP = [1]


def place(model, floor, replicate, direction):
    """Skill of one model."""
    return skill(model.theta, scale(floor, replicate, direction))


def simulated_study(rng, icc, conditions=15, seeds=3, pool=None):
    """Values with a condition effect (share ``icc`` of the variance) and noise of the (condition, seed)."""
    pool = pool or conditions
    effect = rng.normal(0, np.sqrt(icc), pool)
    chosen = [rng.permutation(pool)[:conditions] for _ in range(seeds)]
    values = [(effect[c] + rng.normal(0, np.sqrt(1 - icc), conditions))[:, None] for c in chosen]
    return [[f"c{i}" for i in c] for c in chosen], values


def coverage(icc, repeats, pool, level):
    rng = np.random.default_rng(int(icc * 100) + pool)
    hits = 0
    for _ in range(repeats):
        names, values = simulated_study(rng, icc, pool=pool)
        m = means(design(names, draws=400), values)
        width = half_width(m.level if level else m.paired, m.n, m.distinct)
        hits += abs(m.theta[0]) <= width[0]
    return hits / repeats


@pytest.mark.slow
@pytest.mark.parametrize("icc", ICC)
def test_paired_intervals_cover_at_their_nominal_rate(icc):
    """15 test conditions, 3 seeds, the same conditions under every seed: 93-97%."""
    assert 0.93 <= coverage(icc, 3000, 15, level=False) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("icc", ICC)
@pytest.mark.parametrize("pool", [15, 40])
def test_levels_do_not_cover_less_than_they_say(icc, pool):
    """They resample seeds too and, where seeds test different conditions, use the seeds' mean number of conditions:
    both can only widen."""
    assert coverage(icc, 1500, pool, level=True) >= 0.935


def test_resampling_conditions_within_seeds_would_cover_too_little():
    """The form we do not use: conditions that are tested under three seeds taken for three conditions."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        names, values = simulated_study(rng, 0.9)
        apart = [[f"{s}:{n}" for n in block] for s, block in enumerate(names)]
        m = means(design(apart, draws=300), values)
        hits += abs(m.theta[0]) <= half_width(m.paired, m.n, m.distinct)[0]
    assert hits / 400 < 0.9


@pytest.mark.slow
@pytest.mark.parametrize("icc", ICC)
def test_paired_claims_at_no_difference_are_false_at_most_at_their_rate(icc):
    """Two models that differ by noise alone: the interval of their difference excludes 0 in about 5%."""
    rng = np.random.default_rng(7)
    false_interval = false_test = 0
    for _ in range(1500):
        names, values = simulated_study(rng, icc)
        m = means(design(names, draws=400), values)
        false_interval += abs(m.theta[0]) > half_width(m.paired, m.n, m.distinct)[0]
        by_condition = {}
        for block, value in zip(names, values, strict=True):
            for name, v in zip(block, value[:, 0], strict=True):
                by_condition.setdefault(name, []).append(v)
        false_test += sign_flip(np.array([np.mean(v) for v in by_condition.values()]), draws=500) < 0.05
    assert false_interval / 1500 < 0.07
    assert false_test / 1500 < 0.07


def test_the_mean_is_over_seeds_of_the_mean_over_conditions():
    names = [["a", "b", "c"], ["a"]]
    m = means(design(names), [np.array([[1.0], [2.0], [np.nan]]), np.array([[5.0]])])
    assert m.theta[0] == pytest.approx((1.5 + 5.0) / 2)
    assert m.n[0] == 1.5
    assert m.distinct[0] == 2


def test_few_conditions_have_no_interval():
    names = [[f"c{i}" for i in range(7)]]
    m = means(design(names), [np.arange(7.0)[:, None]])
    assert np.isnan(half_width(m.paired, m.n, m.distinct)[0])


def test_one_seed_equals_the_t_interval():
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    m = means(design([[f"c{i}" for i in range(200)]], draws=20000), [x[:, None]])
    low, high = stats.t.interval(0.95, 199, x.mean(), stats.sem(x))
    assert half_width(m.paired, m.n, m.distinct)[0] == pytest.approx((high - low) / 2, rel=0.03)
    np.testing.assert_array_equal(m.paired, m.level)  # one seed: nothing to resample


def test_draws_depend_on_the_conditions_alone():
    names = [["a", "b", "c"], ["b", "d"]]
    np.testing.assert_array_equal(design(names).weights, design([list(n) for n in names]).weights)
    assert (design(names).weights.sum(axis=1) == 4).all()


def three(model, floor, replicate, n=20):
    rng = np.random.default_rng(1)
    names = [[f"c{i}" for i in range(n)]] * 2
    plan = design(names)
    noise = [rng.normal(0, 0.05, (n, 1)) for _ in names]
    direction = [1 if replicate > floor else -1]
    return [*(means(plan, [value + e for e in noise]) for value in (model, floor, replicate)), direction]


def test_skill_of_floor_replicate_and_better_by_hand():
    assert place(*three(0.2, 0.2, 0.8)).value[0] == pytest.approx(0.0, abs=1e-12)
    assert place(*three(0.8, 0.2, 0.8)).value[0] == pytest.approx(1.0)
    assert place(*three(0.5, 0.2, 0.8)).value[0] == pytest.approx(0.5)
    assert place(*three(1.1, 0.2, 0.8)).value[0] == pytest.approx(1.5)  # better than half the cells: allowed
    # lower is better: the sign cancels
    assert place(*three(0.3, 0.9, 0.1)).value[0] == pytest.approx(0.75)


def test_skill_is_null_with_a_reason_where_the_replicate_is_not_clear_of_the_floor():
    rng = np.random.default_rng(2)
    names = [[f"c{i}" for i in range(20)]]
    plan = design(names)
    model, floor, replicate = (means(plan, [rng.normal(0, 1, (20, 1))]) for _ in range(3))
    got = place(model, floor, replicate, [1 if replicate.theta[0] > floor.theta[0] else -1])
    assert np.isnan(got.value[0])
    assert got.reason == ("replicate not clear of the floor",)
    few = design([[f"c{i}" for i in range(5)]])
    blocks = [means(few, [np.full((5, 1), v)]) for v in (0.5, 0.0, 1.0)]
    assert place(*blocks, UP).reason == ("only 5 conditions",)
    undefined = means(plan, [np.full((20, 1), np.nan)])
    assert place(undefined, undefined, undefined, UP).reason == ("undefined",)


def test_averages_come_before_the_division():
    """A condition without signal must not blow up the skill of the others."""
    names = [[f"c{i}" for i in range(10)]]
    plan = design(names)
    replicate = np.array([0.0] + [1.0] * 9)[:, None]
    got = place(means(plan, [replicate * 0.5]), means(plan, [replicate * 0]), means(plan, [replicate]), UP)
    assert got.value[0] == pytest.approx(0.5)


def test_mean_skill_clips_and_leaves_out_null_families():
    parts = np.array([3.0, -4.0, 0.5, np.nan])
    value, draws = mean_skill(parts), mean_skill(np.tile(parts, (10, 1)))
    assert value == pytest.approx((1.5 - 1.0 + 0.5) / 3)
    np.testing.assert_allclose(draws, value, atol=1e-12)
    assert np.isnan(mean_skill(np.array([0.5, np.nan, np.nan, np.nan])))  # one family is not a mean over families


def test_sign_flip_is_exact_for_few_and_agrees_with_scipy():
    d = np.array([0.3, 0.1, 0.4, -0.05, 0.2])
    theirs = stats.permutation_test((d,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(d) == pytest.approx(theirs.pvalue)
    rng = np.random.default_rng(0)
    x = rng.normal(0.2, 1, 60)
    assert sign_flip(x) == pytest.approx(stats.ttest_1samp(x, 0).pvalue, abs=0.02)
    assert np.isnan(sign_flip(np.array([np.nan])))


def test_holm_by_hand_and_against_statsmodels():
    from statsmodels.stats.multitest import multipletests

    p = [0.001, 0.2, 0.013, 0.04, 0.9]
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert np.isnan(holm([0.1, float("nan")])[1])


def test_beat_rate_counts_ties_half():
    assert beat_rate(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 5.0])) == pytest.approx(0.5)
    assert beat_rate(np.array([1.0]), np.array([2.0]), higher=False) == 1.0
    assert beat_rate(np.array([0.3]), np.array([0.3 + 1e-12])) == 0.5


def test_a_replicate_that_loses_to_the_floor_gives_no_skill_for_being_as_bad():
    model, floor, replicate, _ = three(0.1, 0.5, 0.1)
    got = place(model, floor, replicate, UP)
    assert np.isnan(got.value[0])
    assert got.reason == ("replicate not better than the floor",)


def test_a_metric_without_a_best_end_has_no_skill():
    model, floor, replicate, _ = three(0.5, 0.2, 0.8)
    assert place(model, floor, replicate, [0]).reason == ("no direction",)


@st.composite
def studies(draw):
    """Conditions of 1-4 seeds, which overlap, and columns of values with holes of their own."""
    seeds, columns = draw(st.integers(1, 4)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    holes = draw(st.sampled_from([0.0, 0.1, 0.6, 1.0]))
    patterns = draw(st.integers(1, 3))
    names = [[f"c{i}" for i in rng.permutation(14)[: draw(st.integers(1, 14))]] for _ in range(seeds)]
    kinds = rng.integers(0, patterns, columns)
    values = []
    for block in names:
        one = rng.normal(0.5, draw(st.sampled_from([0.0, 1e-9, 0.1])), (len(block), columns))
        one[(rng.random((len(block), patterns)) < holes)[:, kinds]] = np.nan
        values.append(one)
    return design(names, draws=60), values


@given(studies())
@settings(deadline=None, max_examples=200)
def test_the_closed_form_equals_the_draws(study):
    plan, values = study
    explicit, columns = means(plan, values), np.concatenate(values)
    sd, distinct = bootstrap.level_deviation(plan, columns)
    np.testing.assert_allclose(sd, deviation(explicit.level), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(distinct, explicit.distinct)
    paired, level = bootstrap.draws(plan, columns)
    np.testing.assert_allclose(paired.T, explicit.paired, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(level.T, explicit.level, rtol=1e-12, atol=1e-14)


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(deadline=None, max_examples=50)
def test_deviations_of_all_pairs_are_those_of_their_differences(seed, undefined):
    """Also of rows that hardly differ, where a covariance holds no digits, and of draws with holes."""
    rng = np.random.default_rng(seed)
    draws = np.concatenate([rng.normal(size=(4, 50)), np.tile(rng.normal(3, 1, 50), (3, 1))])
    draws[5] += 1e-9 * rng.normal(size=50)
    if undefined:
        draws[rng.random(draws.shape) < 0.05] = np.nan
    got = np.concatenate([paired_deviation(draws, slice(i, i + 3)) for i in (0, 3, 6)])
    wanted = np.array([[deviation((a - b)[:, None])[0] for b in draws] for a in draws])
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-14)


def test_draws_of_skill_by_hand():
    """To first order: the value, the model's own scatter over the room, less the room's scatter times the value."""
    got = skill_draws(
        np.array([[0.5]]), np.array([[[0.6, 0.5]]]), np.array([[0.1, 0.1]]), np.array([[1.1, 1.3]]), np.array([1.0])
    )
    np.testing.assert_allclose(got, [[[0.5 + 0.5 - 0.5 * 1.0, 0.5 + 0.4 - 0.5 * 1.2]]], atol=1e-12)
