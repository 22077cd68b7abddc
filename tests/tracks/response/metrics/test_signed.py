"""Signed DE against scipy and against every order of ties; and what rounding must not decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from bench.tracks.response.metrics import METRICS, Evaluation, evaluate
from bench.tracks.response.metrics.ranking import average_precision_at, order

MakeEvaluation = Callable[..., Evaluation]
Predict = Callable[[Evaluation, np.ndarray], Evaluation]
RANKINGS = ("signed_rank_z", "signed_ap@50", "spearman_de", "de_recall@20", "de_recall@50", "auprc_de")


@pytest.mark.parametrize("digits", [1, 8])
def test_signed_rank_z_is_scipys(digits: int, make_evaluation: MakeEvaluation, predict: Predict) -> None:
    base = make_evaluation(conditions=15)
    rng = np.random.default_rng(digits)
    shifts = (base.d + rng.normal(0, 0.3, base.d.shape)).round(digits)
    predicted = predict(base, shifts)
    expected = []
    for d_hat, z, scored in zip(shifts, base.de_z, base.scored, strict=True):
        # Equal decimals differ in their last bit once controls are added and taken off: ranked as they were written.
        ranks = np.sign(d_hat[scored]) * stats.rankdata(np.abs(d_hat[scored]).round(digits))
        expected.append(stats.pearsonr(ranks, z[scored]).statistic)
    # At 8 digits a few genes are within a step of noise of each other.
    np.testing.assert_allclose(
        evaluate(METRICS["signed_rank_z"], predicted).values, expected, atol=1e-12 if digits == 1 else 1e-4
    )


def test_reversal_changes_the_sign_exactly_and_a_constant_is_chance(
    make_evaluation: MakeEvaluation, predict: Predict
) -> None:
    evaluation = make_evaluation()
    shifts = evaluation.d + np.random.default_rng(0).normal(0, 0.3, evaluation.d.shape)
    y_hat = np.zeros_like(shifts)  # the same noise level either way round
    one, other = (replace(evaluation, y_hat=y_hat, d_hat=sign * shifts) for sign in (1.0, -1.0))
    forward, back = (evaluate(METRICS["signed_rank_z"], case).values for case in (one, other))
    np.testing.assert_array_equal(forward, -back)
    assert (forward > 0.3).all()
    for constant in (0.4, -0.4):
        found = evaluate(METRICS["signed_rank_z"], predict(evaluation, np.full_like(shifts, constant)))
        assert (found.values == 0).all() and found.degenerate.all()


def test_average_precision_is_the_mean_over_all_orders_of_ties() -> None:
    rng = np.random.default_rng(0)
    for k in (1, 3, 5):
        values, hits = rng.integers(0, 3, (20, 6)).astype(float), (rng.random((20, 6)) < 0.5).astype(float)
        mask = np.ones(values.shape, dtype=bool)
        mask[:5, 2] = False
        expected = []
        for value, hit, kept in zip(values, hits, mask, strict=True):
            found = []
            for shuffled in permutations(np.flatnonzero(kept)):
                ranked = sorted(shuffled, key=lambda gene: -value[gene])[:k]  # stable: ties stay shuffled
                got = hit[ranked]
                found.append(sum(g * got[: n + 1].mean() for n, g in enumerate(got)) / k)
            expected.append(np.mean(found))
        found = average_precision_at(order(values, mask), np.where(mask, hits, 0.0), k)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_random_calls_average_chance(make_evaluation: MakeEvaluation, predict: Predict) -> None:
    evaluation = make_evaluation(conditions=4, genes=150)
    metric = METRICS["signed_ap@50"]
    chance = metric.chance_level(evaluation)
    assert chance is not None
    rng = np.random.default_rng(0)
    drawn = np.array(
        [evaluate(metric, predict(evaluation, rng.normal(size=evaluation.d.shape))).values for _ in range(400)]
    )
    assert (np.abs(drawn.mean(axis=0) - chance) < 4 * drawn.std(axis=0) / 20).all()


@pytest.mark.parametrize("name", RANKINGS)
@pytest.mark.parametrize("kind", ["dense", "few genes", "tiny"])
def test_another_processor_changes_no_rank(name: str, kind: str, make_evaluation: MakeEvaluation) -> None:
    """1e-9 of relative noise on y_hat, as another order of a sum leaves, moves no condition by more than 1e-9.

    Genes that a model leaves alone differ by 1e-8 at most, and would otherwise be ranked anew each time.
    """
    evaluation = make_evaluation(conditions=30, genes=300)
    rng = np.random.default_rng(1)
    c_in = evaluation.y_hat - evaluation.d_hat
    shifts = evaluation.d + rng.normal(0, 0.2, evaluation.d.shape)
    if kind == "few genes":
        shifts[:, 20:] = 0.0
    if kind == "tiny":
        shifts[:, 20:] *= 1e-8
    values = []
    for seed in range(3):
        y_hat = (c_in + shifts) * (1 + 1e-9 * np.random.default_rng(seed).uniform(-1, 1, shifts.shape))
        values.append(evaluate(METRICS[name], replace(evaluation, y_hat=y_hat, d_hat=y_hat - c_in)).values)
    np.testing.assert_allclose(values[1:], [values[0]] * 2, rtol=0, atol=1e-9)
