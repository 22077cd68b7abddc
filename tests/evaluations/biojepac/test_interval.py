"""Intervals, beside scipy's and closed formulas."""

import numpy as np
import pytest
from scipy.stats import binomtest

from bench.core.units import Unit
from bench.evaluations.biojepac.interval import over_units, resampled, share
from bench.evaluations.biojepac.row import Row, absent, best_of, frame


@pytest.mark.parametrize(("right", "n"), [(0, 7), (3, 10), (50, 50)])
def test_a_share_has_the_interval_of_wilson(right, n):
    bounds = binomtest(right, n).proportion_ci(method="wilson")
    found = share(right, n)
    assert (found.value, found.low, found.high) == pytest.approx((right / n, bounds.low, bounds.high), abs=1e-9)
    assert np.isnan(share(0, 0).value)


def test_a_mean_over_units_that_share_no_gene_has_the_interval_of_students_t():
    from scipy.stats import t

    values = np.random.default_rng(0).standard_normal(12)
    units = [Unit(f"G{i}+ctrl", "a") for i in range(12)]
    found = over_units(units, values)
    half = t.ppf(0.975, 11) * values.std(ddof=1) / np.sqrt(12)
    assert found.value == pytest.approx(values.mean(), abs=1e-12)
    assert found.high - found.value == pytest.approx(half, rel=0.1)


def test_values_belong_to_their_units_in_any_order():
    units = [Unit(f"G{i}+ctrl", "a") for i in range(12)]
    values = np.arange(12.0)
    values[3] = np.nan
    order = np.random.default_rng(1).permutation(12)
    one, two = over_units(units, values), over_units([units[i] for i in order], values[order])
    assert one == pytest.approx(two, abs=1e-9)
    assert one.n == 11


def test_a_resampled_mean_has_about_the_interval_of_the_normal():
    x = np.random.default_rng(0).standard_normal(400)
    found = resampled(lambda rows: float(x[rows].mean()), 400)
    assert found.high - found.low == pytest.approx(2 * 1.96 * x.std() / 20, rel=0.2)
    nothing = resampled(lambda rows: float("nan"), 10)
    assert np.isnan(nothing.low) and nothing.n == 10


def test_rows_and_trivial_answers():
    table = frame([Row("1", "a", published=0.5), absent("2", "b", "no batches")])
    assert table["note"].tolist() == ["", "no batches"]
    assert table["published"].isna().tolist() == [False, True]
    assert best_of({"a": 0.2, "b": None, "c": float("nan"), "d": 0.3}) == (0.3, "d")
    assert best_of({"a": 0.2, "d": 0.3}, high=False) == (0.2, "a")
    assert best_of({}) == (None, "")
