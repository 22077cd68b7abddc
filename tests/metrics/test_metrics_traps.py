"""What goes wrong elsewhere must not go wrong here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import r2_score

from bench.metrics import METRICS, Case, evaluate
from bench.metrics.functional import r2

MakeCase = Callable[..., Case]
Predict = Callable[[Case, np.ndarray], Case]


def mean_of(name: str, case: Case) -> float:
    return float(np.nanmean(evaluate(METRICS[name], case).values))


def l1_discrimination(case: Case) -> float:
    """As in the tables this benchmark avoids: rank of the true condition by L1 distance."""
    distance = np.abs(case.d_hat[:, None] - case.d[None]).sum(axis=2)
    farther = distance > np.diagonal(distance)[:, None]
    return float(farther.sum() / (len(case.d) * (len(case.d) - 1)))


def test_ten_times_a_prediction_loses_size_and_does_not_win_identity(make_case: MakeCase, predict: Predict) -> None:
    rng = np.random.default_rng(0)
    case = make_case(conditions=40, genes=200)
    weak = 0.15 * case.d + rng.normal(0, 0.12, case.d.shape)  # a shrunken, noisy model
    once, ten = predict(case, weak), predict(case, 10 * weak)
    assert l1_discrimination(ten) > l1_discrimination(once) + 0.05  # the trap is real
    assert mean_of("discrimination_raw", ten) == mean_of("discrimination_raw", once)
    assert mean_of("discrimination", ten) <= mean_of("discrimination", once) + 0.02
    honest = predict(case, case.d + rng.normal(0, 0.1, case.d.shape))
    ten_times = predict(case, 10 * honest.d_hat)
    assert mean_of("shift_ratio", ten_times) < -2.2 < -0.2 < mean_of("shift_ratio", honest)
    assert mean_of("calibration_slope", ten_times) == pytest.approx(mean_of("calibration_slope", honest) / 10)


def test_r2_arguments_are_not_swapped(make_case: MakeCase, predict: Predict) -> None:
    """PerturBench scores 0.2 x truth at -15.1; the right order gives .355."""
    case = make_case(conditions=3, genes=400)
    spread = case.d - case.d.mean(axis=1, keepdims=True, where=case.scored)
    spread /= spread.std(axis=1, keepdims=True, where=case.scored)
    d = spread + np.sqrt(0.0078)  # a mean shift as small as in real data
    predicted = predict(replace(case, d=d), 0.2 * d)
    np.testing.assert_allclose(evaluate(METRICS["r2_delta"], predicted).values, 0.355, atol=1e-3)
    swapped = r2(truth=predicted.d_hat, prediction=predicted.d, weights=predicted.scored)
    np.testing.assert_allclose(swapped, -15.1, atol=0.05)
    for t in range(3):
        genes = predicted.scored[t]
        assert r2_score(d[t, genes], 0.2 * d[t, genes]) == pytest.approx(0.355, abs=1e-3)


@pytest.mark.parametrize("reverse", [False, True])
def test_gene_order_makes_no_constant_predictor_lucky(reverse: bool, make_case: MakeCase, predict: Predict) -> None:
    """DE genes first or last: an argsort that breaks ties by position would find all or none of them."""
    case = make_case(conditions=8, genes=200)
    order = np.argsort(np.abs(case.d), axis=1)[:, :: -1 if reverse else 1]
    scored = np.ones_like(case.scored)
    d, z = np.take_along_axis(case.d, order, 1), np.take_along_axis(case.de_z, order, 1)
    every = np.ones(200, dtype=bool)
    case = replace(case, d=d, de_z=z, scored=scored, expressed=every, gallery_scored=every)
    for shift in (0.0, 0.7):
        constant = predict(case, np.full_like(d, shift))
        assert (evaluate(METRICS["de_recall@20"], constant).values == 20 / 200).all()
        assert (evaluate(METRICS["discrimination"], constant).values == 0.5).all()
    # Not constant, but level wherever it counts: the formula itself, without the chance value.
    one_gene = np.zeros_like(d)
    one_gene[:, 100] = 1.0
    found = METRICS["de_recall@20"].compute(predict(case, one_gene))
    np.testing.assert_allclose(found, 19 / 199 * 20 / 20, atol=1e-12)


def test_everybody_predicted_alike_is_half_right_on_average(make_case: MakeCase, predict: Predict) -> None:
    """One shift for all conditions names each gallery member best exactly as often as worst."""
    case = make_case(conditions=15)
    same = np.tile(np.random.default_rng(0).normal(size=case.d.shape[1]), (15, 1))
    assert mean_of("discrimination", predict(case, same)) == pytest.approx(0.5, abs=1e-12)
    train_mean = evaluate(METRICS["discrimination"], predict(case, np.tile(case.train_delta, (15, 1))))
    assert (train_mean.values == 0.5).all() and train_mean.degenerate.all()


def test_ties_in_the_gallery_do_not_hang_on_the_last_digit(make_case: MakeCase, predict: Predict) -> None:
    """Two conditions with the same truth are a tie, in whichever column the product was summed."""
    case = make_case(conditions=6)
    d = np.repeat(case.d[:1], 6, axis=0)
    d[1::2] = d[0] * 3 - 2 * case.train_delta  # the same direction from m, another length
    predicted = predict(replace(case, d=d), case.d)
    np.testing.assert_array_equal(evaluate(METRICS["discrimination"], predicted).values, 0.5)


@pytest.mark.parametrize("name", METRICS)
def test_float32_rounding_does_not_make_no_change_defined(name: str, make_case: MakeCase) -> None:
    metric = METRICS[name]
    case = make_case(awkward=True)
    c_in = case.y_hat - case.d_hat + 3.0
    stored = c_in.astype(np.float32).astype(np.float64)
    no_change = replace(case, y_hat=stored, d_hat=stored - c_in)
    assert np.abs(no_change.d_hat).max() > 1e-8, "rounding must leave something for this to be a test"
    result = evaluate(metric, no_change)
    if metric.chance is not None:
        np.testing.assert_array_equal(result.degenerate, ~result.undefined)
    if name == "shift_ratio":
        np.testing.assert_allclose(result.values[~result.undefined], -np.log(10), atol=1e-12)


def test_rounding_noise_of_unmoved_genes_is_no_ranking(make_case: MakeCase) -> None:
    """A model that moves ten genes and stores the rest as float32: the rest must tie, as in float64."""
    case = make_case(conditions=10, genes=300)
    c_in = case.y_hat - case.d_hat + np.random.default_rng(0).gamma(2, 1, 300)
    d_hat = np.zeros_like(case.d)
    d_hat[:, :10] = case.d[:, :10]
    exact = replace(case, y_hat=c_in + d_hat, d_hat=d_hat)
    stored = exact.y_hat.astype(np.float32).astype(np.float64)
    rounded = replace(case, y_hat=stored, d_hat=stored - c_in)
    for name in ("spearman_de", "de_recall@20", "de_recall@50", "direction_accuracy"):
        np.testing.assert_allclose(
            evaluate(METRICS[name], rounded).values, evaluate(METRICS[name], exact).values, atol=1e-6
        )


def test_abstaining_does_not_pay(make_case: MakeCase, predict: Predict) -> None:
    """Answering only where one is sure wins if NaN are dropped from the mean; here it cannot."""
    case = make_case(conditions=30)
    rng = np.random.default_rng(0)
    sure = np.arange(30) % 2 == 0
    error = np.where(sure[:, None], 0.2, 0.6) * rng.normal(size=case.d.shape)
    honest = case.d + error
    abstaining = np.where(sure[:, None], honest, 0.0)
    for name in ("pearson_delta", "spearman_de", "discrimination", "direction_accuracy", "de_recall@20"):
        full = evaluate(METRICS[name], predict(case, honest))
        part = evaluate(METRICS[name], predict(case, abstaining))
        assert part.values[sure].mean() > full.values.mean(), "dropping NaN would have paid"
        assert part.values.mean() < full.values.mean() and not np.isnan(part.values).any()
        assert part.degenerate.sum() == 15 and not part.undefined.any()


def test_calling_few_genes_does_not_pay(make_case: MakeCase, predict: Predict) -> None:
    """precision@k with k = min(k, n_pred) gives a model with one right gene a perfect score."""
    case = make_case(conditions=10)
    best = np.argmax(np.abs(case.de_z) * case.scored, axis=1)
    one = np.zeros_like(case.d)
    one[np.arange(10), best] = 1.0
    values = evaluate(METRICS["de_recall@20"], predict(case, one)).values
    n = case.scored.sum(axis=1)
    np.testing.assert_allclose(values, (1 + 19 * 19 / (n - 1)) / 20, atol=1e-12)  # the other 19 places are luck


def test_own_targets_do_not_count(make_case: MakeCase, predict: Predict) -> None:
    """A given knock-down predicts itself; no metric but the published forms may read it."""
    case = make_case()
    d_hat = np.random.default_rng(1).normal(size=case.d.shape)
    knocked = np.where(case.scored, d_hat, -50.0)
    assert (case.expressed & ~case.scored & (knocked != d_hat)).any()
    for metric in METRICS.values():
        if not metric.needs & {"gears", "legacy"}:
            one, other = (evaluate(metric, predict(case, shift)).values for shift in (d_hat, knocked))
            np.testing.assert_array_equal(one, other, err_msg=metric.name)


def test_shared_controls_reward_knowing_nothing(make_case: MakeCase) -> None:
    """Without any effect, predicting the input controls scores in the shared form and not in ours."""
    rng = np.random.default_rng(0)
    conditions, genes = 60, 300
    case = make_case(conditions=conditions, genes=genes)
    truth = rng.gamma(2, 1, genes)
    sd = 0.1

    def average() -> np.ndarray:
        return truth + rng.normal(0, sd, genes)

    y = truth + rng.normal(0, sd, (conditions, genes))
    c_in, c_ref = average(), average()
    y_hat = np.tile(truth, (conditions, 1)) + rng.normal(0, sd / 8, (conditions, genes))  # a train mean
    assert case.gears is not None
    shared = replace(case.gears, y=y, control=(c_in + c_ref) / 2)
    case = replace(case, y=y, y_hat=y_hat, d=y - c_ref, d_hat=y_hat - c_in, gears=shared)
    assert mean_of("gears_pearson_delta", case) > 0.3
    assert abs(mean_of("pearson_delta", case)) < 0.1


def test_a_truth_that_is_mostly_noise_has_no_size_and_noise_wins_nothing(make_case: MakeCase, predict: Predict) -> None:
    """Weak conditions: without the correction a model that adds noise of the truth's own size has the 'right' size."""
    rng = np.random.default_rng(0)
    template = make_case()
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
