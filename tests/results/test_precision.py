"""Values as records keep them."""

from fractions import Fraction

import numpy as np

from bench.results.precision import BITS, kept


def test_what_is_kept_is_off_by_less_than_the_tolerance_of_closed_forms():
    x = np.random.default_rng(0).normal(size=1000) * 10.0 ** np.random.default_rng(1).integers(-12, 12, 1000)
    off = np.abs(kept(x) - x) / np.abs(x)
    assert off.max() < 1.2e-10
    assert off.max() > 1e-12, "something was rounded"
    np.testing.assert_array_equal(kept(kept(x)), kept(x))


def test_it_is_the_nearest_number_of_so_many_bits():
    for value in (np.pi, -1 / 3, 1e-5, 12345.678):
        exact, found = Fraction(value), Fraction(float(kept(np.array([value]))[0]))
        unit = Fraction(2) ** (int(np.frexp(value)[1]) - BITS)
        assert (found / unit).denominator == 1
        assert abs(found - exact) <= unit / 2


def test_what_is_no_ordinary_number_stays():
    x = np.array([0.0, -0.0, 1.0, -2.5, np.nan, np.inf, -np.inf])
    np.testing.assert_array_equal(kept(x), x)
    flags = np.array([True, False])
    assert kept(flags) is flags
