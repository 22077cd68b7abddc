"""What goes wrong elsewhere must not go wrong here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import r2_score

from bench.tracks.response.metrics import METRICS, Evaluation, evaluate
from bench.tracks.response.metrics.functional import r2

MakeEvaluation = Callable[..., Evaluation]
Predict = Callable[[Evaluation, np.ndarray], Evaluation]


def mean_of(name: str, evaluation: Evaluation) -> float:
    return float(np.nanmean(evaluate(METRICS[name], evaluation).values))


def l1_discrimination(evaluation: Evaluation) -> float:
    """As in the tables this benchmark avoids: rank of the true condition by L1 distance."""
    distance = np.abs(evaluation.d_hat[:, None] - evaluation.d[None]).sum(axis=2)
    farther = distance > np.diagonal(distance)[:, None]
    return float(farther.sum() / (len(evaluation.d) * (len(evaluation.d) - 1)))


def test_ten_times_a_prediction_loses_size_and_does_not_win_identity(
    make_evaluation: MakeEvaluation, predict: Predict
) -> None:
    rng = np.random.default_rng(0)
    evaluation = make_evaluation(conditions=40, genes=200)
    weak = 0.15 * evaluation.d + rng.normal(0, 0.12, evaluation.d.shape)  # a shrunken, noisy model
    once, ten = predict(evaluation, weak), predict(evaluation, 10 * weak)
    assert l1_discrimination(ten) > l1_discrimination(once) + 0.05  # the trap is real
    assert mean_of("discrimination_raw", ten) == mean_of("discrimination_raw", once)
    assert mean_of("discrimination", ten) <= mean_of("discrimination", once) + 0.02
    honest = predict(evaluation, evaluation.d + rng.normal(0, 0.1, evaluation.d.shape))
    ten_times = predict(evaluation, 10 * honest.d_hat)
    assert mean_of("shift_ratio", ten_times) < -2.2 < -0.2 < mean_of("shift_ratio", honest)
    assert mean_of("calibration_slope", ten_times) == pytest.approx(mean_of("calibration_slope", honest) / 10)


def test_r2_arguments_are_not_swapped(make_evaluation: MakeEvaluation, predict: Predict) -> None:
    """PerturBench scores 0.2 x truth at -15.1; the right order gives .355."""
    evaluation = make_evaluation(conditions=3, genes=400)
    spread = evaluation.d - evaluation.d.mean(axis=1, keepdims=True, where=evaluation.scored)
    spread /= spread.std(axis=1, keepdims=True, where=evaluation.scored)
    d = spread + np.sqrt(0.0078)  # a mean shift as small as in real data
    predicted = predict(replace(evaluation, d=d), 0.2 * d)
    np.testing.assert_allclose(evaluate(METRICS["r2_delta"], predicted).values, 0.355, atol=1e-3)
    swapped = r2(truth=predicted.d_hat, prediction=predicted.d, weights=predicted.scored)
    np.testing.assert_allclose(swapped, -15.1, atol=0.05)
    for t in range(3):
        genes = predicted.scored[t]
        assert r2_score(d[t, genes], 0.2 * d[t, genes]) == pytest.approx(0.355, abs=1e-3)


@pytest.mark.parametrize("reverse", [False, True])
def test_gene_order_makes_no_constant_predictor_lucky(
    reverse: bool, make_evaluation: MakeEvaluation, predict: Predict
) -> None:
    """DE genes first or last: an argsort that breaks ties by position would find all or none of them."""
    evaluation = make_evaluation(conditions=8, genes=200)
    order = np.argsort(np.abs(evaluation.d), axis=1)[:, :: -1 if reverse else 1]
    scored = np.ones_like(evaluation.scored)
    d, z = np.take_along_axis(evaluation.d, order, 1), np.take_along_axis(evaluation.de_z, order, 1)
    every = np.ones(200, dtype=bool)
    evaluation = replace(evaluation, d=d, de_z=z, scored=scored, expressed=every, gallery_scored=every)
    for shift in (0.0, 0.7):
        constant = predict(evaluation, np.full_like(d, shift))
        assert (evaluate(METRICS["de_recall@20"], constant).values == 20 / 200).all()
        assert (evaluate(METRICS["discrimination"], constant).values == 0.5).all()
    # Not constant, but level wherever it counts: the formula itself, without the chance value.
    one_gene = np.zeros_like(d)
    one_gene[:, 100] = 1.0
    found = METRICS["de_recall@20"].compute(predict(evaluation, one_gene))
    np.testing.assert_allclose(found, 19 / 199 * 20 / 20, atol=1e-12)


def test_everybody_predicted_alike_is_half_right_on_average(make_evaluation: MakeEvaluation, predict: Predict) -> None:
    """One shift for all conditions names each gallery member best exactly as often as worst."""
    evaluation = make_evaluation(conditions=15)
    same = np.tile(np.random.default_rng(0).normal(size=evaluation.d.shape[1]), (15, 1))
    assert mean_of("discrimination", predict(evaluation, same)) == pytest.approx(0.5, abs=1e-12)
    train_mean = evaluate(METRICS["discrimination"], predict(evaluation, np.tile(evaluation.train_delta, (15, 1))))
    assert (train_mean.values == 0.5).all() and train_mean.degenerate.all()


def test_ties_in_the_gallery_do_not_hang_on_the_last_digit(make_evaluation: MakeEvaluation, predict: Predict) -> None:
    """Two conditions with the same truth are a tie, in whichever column the product was summed."""
    evaluation = make_evaluation(conditions=6)
    d = np.repeat(evaluation.d[:1], 6, axis=0)
    d[1::2] = d[0] * 3 - 2 * evaluation.train_delta  # the same direction from m, another length
    predicted = predict(replace(evaluation, d=d), evaluation.d)
    np.testing.assert_array_equal(evaluate(METRICS["discrimination"], predicted).values, 0.5)


@pytest.mark.parametrize("name", METRICS)
def test_float32_rounding_does_not_make_no_change_defined(name: str, make_evaluation: MakeEvaluation) -> None:
    metric = METRICS[name]
    evaluation = make_evaluation(awkward=True)
    c_in = evaluation.y_hat - evaluation.d_hat + 3.0
    stored = c_in.astype(np.float32).astype(np.float64)
    no_change = replace(evaluation, y_hat=stored, d_hat=stored - c_in)
    assert np.abs(no_change.d_hat).max() > 1e-8, "rounding must leave something for this to be a test"
    result = evaluate(metric, no_change)
    if metric.chance is not None:
        np.testing.assert_array_equal(result.degenerate, ~result.undefined)
    if name == "shift_ratio":
        np.testing.assert_allclose(result.values[~result.undefined], -np.log(10), atol=1e-12)


def test_rounding_noise_of_unmoved_genes_is_no_ranking(make_evaluation: MakeEvaluation) -> None:
    """A model that moves ten genes and stores the rest as float32: the rest must tie, as in float64."""
    evaluation = make_evaluation(conditions=10, genes=300)
    c_in = evaluation.y_hat - evaluation.d_hat + np.random.default_rng(0).gamma(2, 1, 300)
    d_hat = np.zeros_like(evaluation.d)
    d_hat[:, :10] = evaluation.d[:, :10]
    exact = replace(evaluation, y_hat=c_in + d_hat, d_hat=d_hat)
    stored = exact.y_hat.astype(np.float32).astype(np.float64)
    rounded = replace(evaluation, y_hat=stored, d_hat=stored - c_in)
    for name in ("spearman_de", "de_recall@20", "de_recall@50", "direction_accuracy"):
        np.testing.assert_allclose(
            evaluate(METRICS[name], rounded).values, evaluate(METRICS[name], exact).values, atol=1e-6
        )


def test_abstaining_does_not_pay(make_evaluation: MakeEvaluation, predict: Predict) -> None:
    """Answering only where one is sure wins if NaN are dropped from the mean; here it cannot."""
    evaluation = make_evaluation(conditions=30)
    rng = np.random.default_rng(0)
    sure = np.arange(30) % 2 == 0
    error = np.where(sure[:, None], 0.2, 0.6) * rng.normal(size=evaluation.d.shape)
    honest = evaluation.d + error
    abstaining = np.where(sure[:, None], honest, 0.0)
    for name in ("pearson_delta", "spearman_de", "discrimination", "direction_accuracy", "de_recall@20"):
        full = evaluate(METRICS[name], predict(evaluation, honest))
        part = evaluate(METRICS[name], predict(evaluation, abstaining))
        assert part.values[sure].mean() > full.values.mean(), "dropping NaN would have paid"
        assert part.values.mean() < full.values.mean() and not np.isnan(part.values).any()
        assert part.degenerate.sum() == 15 and not part.undefined.any()


def test_calling_few_genes_does_not_pay(make_evaluation: MakeEvaluation, predict: Predict) -> None:
    """precision@k with k = min(k, n_pred) gives a model with one right gene a perfect score."""
    evaluation = make_evaluation(conditions=10)
    best = np.argmax(np.abs(evaluation.de_z) * evaluation.scored, axis=1)
    one = np.zeros_like(evaluation.d)
    one[np.arange(10), best] = 1.0
    values = evaluate(METRICS["de_recall@20"], predict(evaluation, one)).values
    n = evaluation.scored.sum(axis=1)
    np.testing.assert_allclose(values, (1 + 19 * 19 / (n - 1)) / 20, atol=1e-12)  # the other 19 places are luck


def test_own_targets_do_not_count(make_evaluation: MakeEvaluation, predict: Predict) -> None:
    """A given knock-down predicts itself; no metric but the published forms may read it."""
    evaluation = make_evaluation()
    d_hat = np.random.default_rng(1).normal(size=evaluation.d.shape)
    knocked = np.where(evaluation.scored, d_hat, -50.0)
    assert (evaluation.expressed & ~evaluation.scored & (knocked != d_hat)).any()
    for metric in METRICS.values():
        if not metric.needs & {"gears", "legacy"}:
            one, other = (evaluate(metric, predict(evaluation, shift)).values for shift in (d_hat, knocked))
            np.testing.assert_array_equal(one, other, err_msg=metric.name)


def test_shared_controls_reward_knowing_nothing(make_evaluation: MakeEvaluation) -> None:
    """Without any effect, predicting the input controls scores in the shared form and not in ours."""
    rng = np.random.default_rng(0)
    conditions, genes = 60, 300
    evaluation = make_evaluation(conditions=conditions, genes=genes)
    truth = rng.gamma(2, 1, genes)
    sd = 0.1

    def average() -> np.ndarray:
        return truth + rng.normal(0, sd, genes)

    y = truth + rng.normal(0, sd, (conditions, genes))
    c_in, c_ref = average(), average()
    y_hat = np.tile(truth, (conditions, 1)) + rng.normal(0, sd / 8, (conditions, genes))  # a train mean
    assert evaluation.gears is not None
    shared = replace(evaluation.gears, y=y, control=(c_in + c_ref) / 2)
    evaluation = replace(evaluation, y=y, y_hat=y_hat, d=y - c_ref, d_hat=y_hat - c_in, gears=shared)
    assert mean_of("gears_pearson_delta", evaluation) > 0.3
    assert abs(mean_of("pearson_delta", evaluation)) < 0.1


def test_a_truth_that_is_mostly_noise_has_no_size_and_noise_wins_nothing(
    make_evaluation: MakeEvaluation, predict: Predict
) -> None:
    """Weak conditions: without the correction a model that adds noise of the truth's own size has the 'right' size."""
    rng = np.random.default_rng(0)
    template = make_evaluation()
    noise = rng.normal(0, 0.3, template.d.shape)
    weak = replace(template, d=rng.normal(0, 0.05, noise.shape) + noise, epistasis=None)
    guess = rng.normal(0, 0.3, noise.shape)
    blind = evaluate(METRICS["shift_ratio"], predict(weak, guess)).values
    assert np.nanmean(blind) > -0.2  # pure noise would be of the right size
    known = replace(predict(weak, guess), d_var=np.full(noise.shape, 0.3**2))
    assert evaluate(METRICS["shift_ratio"], known).undefined.mean() > 0.8
    signal = rng.normal(0, 0.5, noise.shape)
    strong = replace(known, d=signal + noise)
    assert not evaluate(METRICS["shift_ratio"], strong).undefined[template.scored.sum(axis=1) > 50].any()
    fresh = replace(strong, d_hat=signal + guess)
    logs = evaluate(METRICS["shift_log_ratio"], fresh).values
    assert np.exp(np.nanmean(logs)) == pytest.approx(np.sqrt(1 + 0.3**2 / 0.5**2), rel=0.05)  # larger by its own noise
