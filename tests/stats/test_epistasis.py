"""What noise of the singles does to the measure of interactions, against its value by hand."""

import numpy as np
import pytest

from bench.stats.epistasis import agreement


@pytest.mark.parametrize("noise", [0.3, 0.1, 0.03])
@pytest.mark.parametrize(("carried", "expected"), [(0.0, 0.0), (0.2, -0.1), (1.0, -1 / np.sqrt(2.5))])
def test_a_model_that_carries_the_noise_of_singles_is_pulled_below_zero(carried, expected, noise):
    """On additive data the truth keeps ``double - half 0``, and a model that learned the sum ``(half 0 - half 1) / 2``.

    With noise variances v/2 of the double and 2v of either half the correlation is -v / sqrt(2.5 v * v), whatever v is:
    more cells do not help. Noise that the model does not carry leaves 0.
    """
    rng = np.random.default_rng(0)
    doubles, genes = 200, 400
    additive, common = rng.normal(0, 1, (doubles, genes)), rng.normal(0, 1, (1, genes)).repeat(doubles, axis=0)
    halves = rng.normal(0, noise * np.sqrt(2), (2, doubles, genes))
    double = additive + rng.normal(0, noise / np.sqrt(2), (doubles, genes))
    predicted = additive + carried * halves.mean(axis=0) + rng.normal(0, 1e-6, (doubles, genes))
    singles = additive + halves
    every = np.ones((doubles, genes), dtype=bool)
    values = agreement((double, singles, common), (predicted, singles, common), every)
    assert values.mean() == pytest.approx(expected, abs=0.08)
