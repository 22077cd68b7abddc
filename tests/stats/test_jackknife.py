"""Variances, intervals and ranks: against plain loops, by simulation, by hand, and against scipy and statsmodels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.core.units import Unit
from bench.stats.design import design
from bench.stats.intervals import beat_rate, holm
from bench.stats.jackknife import Estimate, estimate, training_noise
from bench.stats.ranks import differences, ranks


def units(names, context="c"):
    return [[Unit(name, context) for name in block] for block in names]


def singles(n, seeds=1):
    return units([[f"G{i:02d}+ctrl" for i in range(n)]] * seeds)


def test_independent_units_give_the_t_interval():
    rng = np.random.default_rng(0)
    x = rng.normal(size=40)
    found = estimate(design(singles(40)), x[:, None])
    low, high = stats.t.interval(0.95, 39, x.mean(), stats.sem(x))
    assert found.value[0] == pytest.approx(x.mean())
    assert found.half_width()[0] == pytest.approx((high - low) / 2, rel=1e-9, abs=1e-12)


def test_the_mean_is_over_seeds_of_the_mean_over_units():
    plan = design(units([["A+ctrl", "B+ctrl", "C+ctrl"], ["A+ctrl"]]))
    found = estimate(plan, np.array([[1.0], [2.0], [np.nan], [5.0]]))
    assert found.value[0] == pytest.approx((1.5 + 5.0) / 2)


def brute(plan_units, values):
    """Delete each gene and each context in turn, in plain loops."""
    seeds = [
        [(unit, values[s][i]) for i, unit in enumerate(block) if np.isfinite(values[s][i])]
        for s, block in enumerate(plan_units)
    ]

    def theta(keep):
        means = [np.mean([v for unit, v in block if keep(unit)]) for block in seeds if any(keep(u) for u, _ in block)]
        return np.mean(means) if means else np.nan

    everything = theta(lambda unit: True)
    genes = sorted({gene for block in plan_units for unit in block for gene in held(unit)})
    contexts = sorted({unit.context for block in plan_units for unit in block})
    total = 0.0
    for gene in genes:
        left = theta(lambda unit, gene=gene: gene not in held(unit))
        total += 0.0 if np.isnan(left) else (len(genes) - 1) / len(genes) * (left - everything) ** 2
    if len(contexts) > 1:
        for context in contexts:
            left = theta(lambda unit, context=context: unit.context != context)
            total += 0.0 if np.isnan(left) else (len(contexts) - 1) / len(contexts) * (left - everything) ** 2
    psi = {}
    present = [block for block in seeds if block]
    for block in present:
        middle = np.mean([v for _, v in block])
        for unit, v in block:
            key = (frozenset(held(unit)), unit.context)
            psi[key] = psi.get(key, 0.0) + (v - middle) / len(block) / len(present)
    extra = sum((len(key[0]) - (len(contexts) == 1)) * value**2 for key, value in psi.items())
    return everything, max(total - extra, sum(value**2 for value in psi.values()))


def held(unit):
    return sorted(set(unit.perturbation.split("+")) - {"ctrl"})


@st.composite
def studies(draw):
    """Singles and doubles of few genes in one or three contexts, under 1-3 seeds, with holes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    genes = [f"G{i}" for i in range(draw(st.integers(4, 9)))]
    names = [f"{g}+ctrl" for g in genes] + [f"{a}+{b}" for i, a in enumerate(genes) for b in genes[i + 1 :]]
    contexts = draw(st.sampled_from([("c",), ("a", "b", "c")]))
    pool = [Unit(name, context) for name in names for context in contexts]
    seeds = []
    for _ in range(draw(st.integers(1, 3))):
        chosen = rng.permutation(len(pool))[: draw(st.integers(2, 15))]
        seeds.append([pool[i] for i in sorted(chosen)])
    values = [rng.normal(0.5, draw(st.sampled_from([1e-6, 0.2])), len(block)) for block in seeds]
    for block in values:
        block[rng.random(len(block)) < draw(st.sampled_from([0.0, 0.2]))] = np.nan
    return seeds, values


@given(studies())
@settings(deadline=None, max_examples=200)
def test_the_matrix_form_equals_plain_loops(study):
    seeds, values = study
    if not any(np.isfinite(block).any() for block in values):
        return
    found = estimate(design(seeds), np.concatenate(values)[:, None])
    theta, variance = brute(seeds, values)
    assert found.value[0] == pytest.approx(theta, rel=1e-12, abs=1e-14)
    assert found.by_conditions[0] == pytest.approx(variance, rel=1e-6, abs=1e-26)


def test_units_that_share_a_gene_widen_the_interval():
    """Doubles of a few genes whose values hang on the gene: taken as independent, the interval would be too narrow."""
    rng = np.random.default_rng(1)
    genes = [f"G{i:02d}" for i in range(12)]
    names = [f"{a}+{b}" for i, a in enumerate(genes) for b in genes[i + 1 :]]
    effect = dict(zip(genes, rng.normal(size=12), strict=True))
    values = np.array([sum(effect[g] for g in name.split("+")) for name in names])
    found = estimate(design(units([names])), values[:, None])
    alone = values.var(ddof=1) / len(values)
    assert found.by_conditions[0] > 5 * alone


def test_few_effective_genes_have_no_interval():
    assert np.isnan(estimate(design(singles(7)), np.arange(7.0)[:, None]).half_width()[0])
    assert np.isfinite(estimate(design(singles(8)), np.arange(8.0)[:, None]).half_width()[0])
    star = units([[f"HUB+G{i:02d}" for i in range(40)]])
    plan = design(star)
    found = estimate(plan, np.random.default_rng(0).normal(size=(40, 1)))
    assert found.effective[0] == pytest.approx(80**2 / (40**2 + 40))
    assert np.isnan(found.half_width()[0])


def study(rng, shared, seeds=3, genes=30, doubles=40):
    """Singles and doubles; a share of the variance hangs on genes; seeds test parts that overlap."""
    names = [f"G{i:02d}" for i in range(genes)]
    pairs = [tuple(sorted(rng.choice(genes, 2, replace=False))) for _ in range(doubles)]
    pool = [f"{n}+ctrl" for n in names] + sorted({f"{names[a]}+{names[b]}" for a, b in pairs})
    effect = dict(zip(names, rng.normal(0, np.sqrt(shared), genes), strict=True))
    own = dict(zip(pool, rng.normal(0, np.sqrt(1 - shared), len(pool)), strict=True))
    chosen = [[pool[i] for i in sorted(rng.permutation(len(pool))[:30])] for _ in range(seeds)]
    values = [[own[n] + sum(effect[g] for g in n.split("+") if g != "ctrl") for n in block] for block in chosen]
    return chosen, np.concatenate(values)[:, None]


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.0, 0.3])
def test_intervals_cover_at_their_nominal_rate(shared):
    rng, hits = np.random.default_rng(3), 0
    for _ in range(1500):
        chosen, values = study(rng, shared)
        found = estimate(design(units(chosen)), values)
        hits += abs(found.value[0]) <= found.half_width()[0]
    assert 0.925 <= hits / 1500 <= 0.985


def test_training_noise_by_hand():
    """Two split seeds of three training seeds: pooled variance within split seeds, over 2 x 3."""
    by_seed = [np.array([[1.0], [2.0], [3.0]]), np.array([[0.0], [0.0], [3.0]])]
    variance, df = training_noise(by_seed)
    assert variance[0] == pytest.approx((2.0 + 6.0) / 4 / 6)
    assert df[0] == 4
    assert training_noise([np.ones((1, 1)), np.ones((1, 1))]) == (pytest.approx([0.0]), pytest.approx([0.0]))


def of(plan, values, **fields):
    found = estimate(plan, values)
    return Estimate(**{**{name: getattr(found, name) for name in Estimate.__dataclass_fields__}, **fields})


def test_variances_add_up_and_degrees_follow_satterthwaite():
    rng = np.random.default_rng(0)
    plan, draws = design(singles(20)), rng.normal(0, 0.1, (50, 1))
    found = of(plan, rng.normal(size=(20, 1)), training=np.array([0.02]), training_df=np.array([6.0]), draws=draws)
    parts = found.by_conditions[0], 0.02, draws.var(ddof=1)
    assert found.variance[0] == pytest.approx(sum(parts))
    assert found.df[0] == pytest.approx(sum(parts) ** 2 / (parts[0] ** 2 / 19 + 0.02**2 / 6))
    gap = found - found
    assert gap.value[0] == 0
    assert gap.by_conditions[0] == 0
    assert gap.training[0] == pytest.approx(0.04)  # two fits of one kind differ by twice the noise
    assert gap.by_reference[0] == 0  # the same reference controls


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_differences_of_all_pairs_are_those_of_each_pair(seed):
    """Also of rows that hardly differ, where squares hold no digits."""
    rng = np.random.default_rng(seed)
    plan = design(units([[f"G{i}+ctrl" for i in range(9)] + ["G1+G2", "G1+G3"]]))
    values = np.concatenate([rng.normal(size=(11, 4)), np.tile(rng.normal(size=(11, 1)), (1, 3))], axis=1)
    values[:, 5] += 1e-9 * rng.normal(size=11)
    noise = np.array([0.0, 0.1, 0.0, 0.2, 0.0, 0.0, 0.1])
    found = of(plan, values, training=noise, training_df=np.where(noise > 0, 6.0, 0.0), draws=rng.normal(size=(5, 7)))
    pairs = differences(found)
    for i in range(7):
        for j in range(i):
            one = found.take([i]) - found.take([j])
            assert pairs.gap[i, j] == pytest.approx(one.value[0], abs=1e-14)
            assert pairs.variance[i, j] == pytest.approx(one.variance[0], rel=1e-7, abs=1e-20)
            assert pairs.df[i, j] == pytest.approx(one.df[0], rel=1e-5, abs=1e-9, nan_ok=True)


def test_ranks_by_hand():
    """a is better than b and c, which cannot be told apart."""
    rng = np.random.default_rng(0)
    common, own = rng.normal(size=(30, 1)), rng.normal(0, 0.1, (30, 3))
    found = estimate(design(singles(30)), np.array([0.9, 0.5, 0.49]) + common + own)
    assert ranks(found).tolist() == [[1, 1], [2, 3], [2, 3]]
    few = estimate(design(singles(5)), np.array([0.9, 0.5, 0.49]) + (common + own)[:5])
    assert ranks(few).tolist() == [[1, 3]] * 3


def test_more_rows_ask_for_clearer_differences():
    """Holm over all pairs: of many rows that do not differ, none is told apart in 19 of 20 boards."""
    rng, wrong = np.random.default_rng(5), 0
    plan = design(singles(40))
    for _ in range(60):
        found = estimate(plan, rng.normal(size=(40, 1)) + rng.normal(0, 0.2, (40, 10)))
        wrong += bool((ranks(found) != [1, 10]).any())
    assert wrong <= 8


def test_two_random_encoders_are_no_finding():
    """Rows that differ in a training seed alone, with three of them each: told apart in at most 10 of 100 pairs."""
    rng, clear = np.random.default_rng(11), 0
    plan = design(singles(40, seeds=3))
    for _ in range(100):
        common = np.tile(rng.normal(0, 0.2, 40), 3)
        rows = []
        for _ in range(2):
            # Each split seed has three fits; a fit is off by the same amount in all conditions, and a little in each.
            fits = rng.normal(0, 0.03, (3, 3)), rng.normal(0, 0.02, (3, 3, 40))
            values = (common.reshape(3, 40) + (fits[0][..., None] + fits[1]).mean(axis=1)).ravel()
            by_seed = [(fits[0][s] + fits[1][s].mean(axis=1))[:, None] for s in range(3)]
            variance, df = training_noise(by_seed)
            rows.append(of(plan, values[:, None], training=variance, training_df=df))
        gap = rows[0] - rows[1]
        clear += abs(gap.value[0]) > gap.half_width()[0]
    assert clear <= 10


def test_holm_by_hand_and_against_statsmodels():
    from statsmodels.stats.multitest import multipletests

    p = [0.001, 0.2, 0.013, 0.04, 0.9]
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert np.isnan(holm([0.1, float("nan")])[1])


def test_beat_rate_counts_ties_half():
    assert beat_rate(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 5.0])) == pytest.approx(0.5)
    assert beat_rate(np.array([1.0]), np.array([2.0]), higher=False) == 1.0
    assert beat_rate(np.array([0.3]), np.array([0.3 + 1e-12])) == 0.5
