"""The oracle itself: against the variance of a mean, by hand, and against a dyadic sum."""

import numpy as np
import pytest
from stats.delete_one_gene_oracle import Case, delete_one_gene, deviations, statistic


def test_singles_give_the_jackknife_of_a_mean():
    """Every gene in one condition: V = (n-1)/n sum_i (theta_(-i) - theta)^2 = s^2 / n, s with ddof 1."""
    values = np.random.default_rng(0).normal(size=11)
    found = delete_one_gene(Case([{f"g{i}"} for i in range(11)], [list(range(11))], [values.tolist()]))
    assert found.theta == pytest.approx(values.mean(), abs=1e-14)
    assert found.variance == pytest.approx(values.var(ddof=1) / 11, rel=1e-12)
    assert found.effective == pytest.approx(11) and found.degrees == pytest.approx(10)


def test_three_conditions_by_hand():
    """A, B, AB with values 1, 2, 6: theta = 3; without A 2, without B 1; e = -2, -1, 3; G_eff = 16 / 8 = 2."""
    found = delete_one_gene(Case([{"A"}, {"B"}, {"A", "B"}], [[0, 1, 2]], [[1.0, 2.0, 6.0]]))
    assert found.theta == pytest.approx(3)
    # 1/2 [ (2-3)^2 + (1-3)^2 - 9/9 ] = 2, above (4 + 1 + 9) / 9
    assert found.variance == pytest.approx(2.0)
    assert found.effective == pytest.approx(2.0)


def test_near_the_dyadic_sum_where_no_gene_weighs_much():
    """To first order the sum over genes is the sum over pairs that share one, as many times as they share."""
    rng = np.random.default_rng(1)
    genes = [set(rng.choice(200, 2, replace=False).astype(str)) for _ in range(300)]
    effect = {str(g): rng.normal() for g in range(200)}
    values = np.array([sum(effect[g] for g in sorted(pair)) for pair in genes]) + rng.normal(size=300)
    found = delete_one_gene(Case(genes, [list(range(300))], [values.tolist()]))
    e = (values - values.mean()) / 300
    dyadic = sum(e[i] * e[j] for i in range(300) for j in range(300) if genes[i] & genes[j])
    assert found.variance == pytest.approx(dyadic, rel=0.05)


def test_skill_chooses_its_floor_again_without_the_gene():
    """Answer 0 is the best of all; without gene A it is answer 1."""
    blind = [[[0.9, 0.2], [0.1, 0.2], [0.1, 0.2]]]
    case = Case([{"A"}, {"B"}, {"C"}], [[0, 1, 2]], [[0.5, 0.5, 0.5]], blind, [[1.0, 1.0, 1.0]])
    floor = 1.1 / 3
    assert statistic(case) == pytest.approx((0.5 - floor) / (1 - floor))
    assert statistic(case, "A") == pytest.approx((0.5 - 0.2) / (1 - 0.2))


def test_deviations_are_the_derivative_with_respect_to_a_condition_s_weight():
    """e_i / n = -(theta without i - theta) (n - 1) / n to first order: exactly so for a level."""
    rng = np.random.default_rng(2)
    own, n = rng.normal(size=9), 9
    case = Case([{f"g{i}"} for i in range(n)], [list(range(n))], [own.tolist()])
    left = np.array([statistic(case, f"g{i}") for i in range(n)])
    np.testing.assert_allclose(deviations(case), (own.mean() - left) * (n - 1) / n, atol=1e-14)


def test_a_condition_under_three_seeds_is_one_condition():
    """The same values under three split seeds say no more than under one."""
    values, genes = [1.0, 2.0, 4.0, 9.0], [{"A"}, {"B"}, {"A", "C"}, {"D"}]
    once = delete_one_gene(Case(genes, [[0, 1, 2, 3]], [values]))
    thrice = delete_one_gene(Case(genes, [[0, 1, 2, 3]] * 3, [values] * 3))
    np.testing.assert_allclose(once, thrice, rtol=1e-12)


def test_a_gene_that_all_hold_cannot_be_left_out():
    """A star: the hub is given, and 4 n / (n + 1) genes are what it counts for."""
    found = delete_one_gene(Case([{"H", f"g{i}"} for i in range(20)], [list(range(20))], [list(map(float, range(20)))]))
    assert np.isfinite(found.variance) and found.effective == pytest.approx(80 / 21)
