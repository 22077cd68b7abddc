"""Every finite prediction has a finite score, or none because of the truth: no file that is handed in breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.tracks.response.metrics import METRICS, Evaluation, Sample, evaluate

MakeEvaluation = Callable[..., Evaluation]
EXTREMES = (0.0, 1e-300, -1e-12, 1e-6, 0.3, -2.0, 14.0, 1e6, -1e9, 1e38, 1e154, -1e200, 1e300, -1.7e308)


def check(evaluation: Evaluation) -> None:
    with np.errstate(over="raise", invalid="raise"):
        for metric in METRICS.values():
            values, undefined, _ = evaluate(metric, evaluation)
            assert np.isfinite(values[~undefined]).all(), metric.name
            if metric.name != "severity_rho":  # its mean has a range, its terms have not
                low, high = metric.range
                assert ((values[~undefined] >= low - 1e-9) & (values[~undefined] <= high + 1e-9)).all(), metric.name


@pytest.mark.parametrize("awkward", [False, True])
@given(
    seed=st.integers(0, 10_000),
    chosen=st.lists(st.sampled_from(EXTREMES), min_size=1, max_size=4),
    share=st.sampled_from([0.002, 0.1, 1.0]),
)
@settings(max_examples=25, deadline=None)
def test_finite_in_finite_out(
    awkward: bool, seed: int, chosen: list[float], share: float, make_evaluation: MakeEvaluation
) -> None:
    evaluation = make_evaluation(seed=seed % 5, conditions=8, genes=70, awkward=awkward)
    rng = np.random.default_rng(seed)
    c_in = evaluation.y_hat - evaluation.d_hat
    y_hat = np.where(
        rng.random(c_in.shape) < share, rng.choice(chosen, c_in.shape), c_in + rng.normal(0, 0.3, c_in.shape)
    )
    cells = evaluation.cells
    assert cells is not None
    loud = [
        np.where(rng.random(x.shape) < share, rng.choice(chosen, x.shape), x)
        for x in (cells.predicted.scores, cells.predicted.markers)
    ]
    variance = np.where(
        rng.random(c_in.shape) < share, np.abs(rng.choice(chosen, c_in.shape)), cells.predicted.variance
    )
    sample = Sample(cells.predicted.begins, loud[0], loud[1], variance)
    check(replace(evaluation, y_hat=y_hat, d_hat=y_hat - c_in, cells=replace(cells, predicted=sample)))


def test_a_flipped_exponent_bit_is_no_traceback(make_evaluation: MakeEvaluation) -> None:
    """The largest float32, as a damaged file holds it: its square overflowed nothing, but that of 1e300 did."""
    evaluation = make_evaluation()
    for value in (3.4e38, 1e300):
        y_hat = evaluation.y_hat.copy()
        y_hat[3, 7] = value
        found = evaluate(
            METRICS["wmse"], replace(evaluation, y_hat=y_hat, d_hat=y_hat - evaluation.y_hat + evaluation.d_hat)
        )
        assert np.isfinite(found.values).all()


def test_values_within_reach_are_left_as_they_are(make_evaluation: MakeEvaluation) -> None:
    evaluation = make_evaluation()
    far = replace(evaluation, y_hat=evaluation.y_hat * 1e7)
    np.testing.assert_array_equal(far.y_hat, evaluation.y_hat * 1e7)
