"""Facts: what is shared between the evaluations of one truth or one prediction, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bench.tracks.response.metrics import METRICS, Evaluation, evaluate
from bench.tracks.response.metrics.cache import cached, empty_cache

MakeEvaluation = Callable[..., Evaluation]


def test_a_fact_is_computed_once_per_side_and_argument(make_evaluation: MakeEvaluation) -> None:
    asked = []

    @cached("truth")
    def of_truth(evaluation: Evaluation, factor: float) -> np.ndarray:
        asked.append(factor)
        return factor * evaluation.d

    evaluation = make_evaluation()
    other = evaluation.beside(evaluation.y_hat + 1.0, evaluation.d_hat + 1.0, evaluation.cells, empty_cache())
    first = of_truth(evaluation, 2.0)
    assert of_truth(other, 2.0) is first and of_truth(evaluation, 3.0) is not first and asked == [2.0, 3.0]
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 0.0
    assert of_truth(replace(evaluation), 2.0) is not first  # a changed evaluation knows nothing


@pytest.mark.thinned(15)
@pytest.mark.parametrize("name", METRICS)
def test_cases_that_share_facts_score_like_cases_of_their_own(name: str, make_evaluation: MakeEvaluation) -> None:
    """Whatever was evaluated before on the same truth or with the same prediction must not be seen in a value."""
    evaluations = [make_evaluation(seed=seed, awkward=True) for seed in (0, 1)]
    shifts = np.random.default_rng(5).normal(0, 0.3, evaluations[0].d.shape)
    # Two truths of the same scored genes, and two predictions of each.
    one = evaluations[0]
    two = replace(one, d=one.d + shifts, y=one.y + shifts, de_z=10.0 * (one.d + shifts))
    guesses = [(one.y_hat + k * shifts, one.d_hat + k * shifts, empty_cache()) for k in (0.5, 2.0)]
    for base in (one, two):
        for y_hat, d_hat, cache in guesses:
            alone = evaluate(METRICS[name], replace(base, y_hat=y_hat, d_hat=d_hat))
            shared = base.beside(y_hat, d_hat, base.cells, cache)
            for metric in METRICS.values():
                evaluate(metric, shared)
            for kept, fresh in zip(evaluate(METRICS[name], shared), alone, strict=True):
                np.testing.assert_array_equal(kept, fresh)


def test_a_prediction_with_holes_is_refused_beside_a_truth(make_evaluation: MakeEvaluation) -> None:
    evaluation = make_evaluation()
    holes = np.where(evaluation.d == evaluation.d[2, 5], np.nan, evaluation.d_hat)
    with pytest.raises(ValueError, match=r"d_hat has 1 .* first at \[2, 5\]"):
        evaluation.beside(evaluation.y_hat, holes, evaluation.cells, empty_cache())
    with pytest.raises(ValueError, match="y_hat must have shape"):
        evaluation.beside(evaluation.y_hat[:, :-1], evaluation.d_hat, evaluation.cells, empty_cache())
