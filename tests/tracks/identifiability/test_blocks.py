"""Linear readings are judged on cells that they were not fitted on."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from bench.tracks.identifiability.blocks import label_skill, linear_r2

HALF = np.arange(400) % 2 == 0


def test_what_is_there_is_found_and_what_is_not_is_not():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 5))
    assert linear_r2(z @ rng.normal(size=(5, 5)), z, HALF) == pytest.approx(1, abs=1e-3)
    assert -0.2 < linear_r2(rng.normal(size=(400, 5)), z, HALF) < 0.02
    assert np.isnan(linear_r2(z, z[:, :0], HALF))


def test_it_is_the_mean_over_latents_of_what_a_regression_finds():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 3))
    y = np.column_stack([x[:, 0] + rng.normal(size=400), 10 * rng.normal(size=400)])
    fitted = LinearRegression().fit(x[HALF], y[HALF])
    rest, said = y[~HALF], fitted.predict(x[~HALF])
    wanted = 1 - ((rest - said) ** 2).sum(axis=0) / ((rest - rest.mean(axis=0)) ** 2).sum(axis=0)
    assert linear_r2(x, y, HALF) == pytest.approx(wanted.mean(), abs=1e-3)


def test_a_label_is_read_where_it_is_and_nowhere_else():
    rng = np.random.default_rng(2)
    code = np.repeat(np.arange(10), 40)[rng.permutation(400)]
    assert label_skill(np.eye(10)[code] + 0.01 * rng.normal(size=(400, 10)), code, HALF) > 0.99
    assert abs(label_skill(rng.normal(size=(400, 10)), code, HALF)) < 0.1
    assert label_skill(np.ones((400, 3)), code, HALF) == 0
    copies = np.repeat(np.eye(10)[code], 2, axis=1)  # the same columns twice, and no noise in them
    assert label_skill(copies, code, HALF) > 0.99
