"""What every registered metric must do; a new metric is covered by being registered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.tracks.response.metrics import METRICS, Evaluation, Metric, StateShifts, evaluate

MakeEvaluation = Callable[..., Evaluation]
Predict = Callable[[Evaluation, np.ndarray], Evaluation]

every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
ranked = pytest.mark.parametrize("metric", [m for m in METRICS.values() if m.better != "none"], ids=lambda m: m.name)


# Statistics over conditions: their terms have no range and no best value, their mean has.
OVER_CONDITIONS = {"severity_rho"}


def statistic(metric: Metric, values: np.ndarray) -> np.ndarray:
    return np.array([values.mean()]) if metric.name in OVER_CONDITIONS and len(values) else values


def noise(evaluation: Evaluation, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.3, evaluation.d.shape)


# Anything a model may hand in, as shifts.
PREDICTIONS: dict[str, Callable[[Evaluation], np.ndarray]] = {
    "perfect": lambda c: c.d.copy(),
    "zero": lambda c: np.zeros_like(c.d),
    "constant": lambda c: np.full_like(c.d, 0.3),
    "train_mean": lambda c: np.tile(c.train_delta, (len(c.d), 1)),
    "noise": noise,
    "opposite": lambda c: -c.d,
    "ten times": lambda c: 10 * c.d,
    "one gene": lambda c: np.eye(1, c.d.shape[1]) * np.ones((len(c.d), 1)),
    "same size everywhere": lambda c: 0.2 * np.where(noise(c) > 0, 1.0, -1.0),
    "rounding": lambda c: 1e-8 * noise(c),
    "some abstain": lambda c: np.where(np.arange(len(c.d))[:, None] % 2 == 0, 0.0, c.d),
    "in control units": lambda c: np.tile(np.maximum(c.control_sd, 0.2), (len(c.d), 1)),
    "huge": lambda c: 1e6 * noise(c),
}


def distance_to_best(metric: Metric, values: np.ndarray) -> np.ndarray:
    """0 = best, whichever way the metric runs."""
    return {"high": -values, "low": values}.get(metric.better, np.abs(values - (metric.best or 0.0)))


@every_metric
def test_is_documented(metric: Metric) -> None:
    for text in (metric.formula, metric.source, metric.trap, metric.compute.__module__):
        assert len(text) > 4
    assert metric.range[0] < metric.range[1]
    assert metric.needs <= {
        "gallery",
        "peers",
        "crossed",
        "gears",
        "cells",
        "legacy",
        "epistasis",
        "states",
        "state_change",
    }
    if metric.ranked:
        assert metric.better in ("high", "low")  # skill subtracts: the best must lie at one end
    if metric.family is not None:
        assert metric.ranked and metric.better == "high"


def test_one_metric_per_family() -> None:
    families = {m.family: m.name for m in METRICS.values() if m.family}
    assert families == {
        "pattern": "pearson_delta", "identity": "discrimination", "size": "shift_ratio", "DE": "signed_rank_z",
        "epistasis": "epistasis_kept_r",
    }  # fmt: skip
    assert len([m for m in METRICS.values() if m.family]) == 5
    assert [m.name for m in METRICS.values() if m.family and m.optional] == ["epistasis_kept_r"]
    assert next(iter(METRICS)) == "pearson_delta"


@pytest.mark.thinned(30)
@every_metric
@pytest.mark.parametrize("awkward", [False, True])
def test_any_prediction(metric: Metric, awkward: bool, make_evaluation: MakeEvaluation, predict: Predict) -> None:
    evaluation = make_evaluation(awkward=awkward)
    pattern = evaluate(metric, evaluation).undefined
    for name, shifts in PREDICTIONS.items():
        predicted = predict(evaluation, shifts(evaluation))
        values, undefined, degenerate = evaluate(metric, predicted)
        assert values.shape == undefined.shape == degenerate.shape == (len(evaluation.y),)
        assert values.dtype == np.float64 and undefined.dtype == degenerate.dtype == np.bool_
        np.testing.assert_array_equal(undefined, pattern, err_msg=f"{name}: undefined depends on the prediction")
        np.testing.assert_array_equal(np.isnan(values), undefined, err_msg=f"{name}: a prediction became NaN")
        assert not (undefined & degenerate).any()
        inside = statistic(metric, values[~undefined])
        assert (inside >= metric.range[0] - 1e-12).all() and (inside <= metric.range[1] + 1e-12).all(), name
    if not awkward:
        assert not pattern.any(), "a plain screen must be defined throughout"


@ranked
def test_perfect_prediction_is_best(metric: Metric, make_evaluation: MakeEvaluation) -> None:
    values = statistic(metric, evaluate(metric, make_evaluation()).values)
    # Two samples of cells differ by noise, and ranks are no z: no value is the best one.
    if not np.isfinite(metric.best or 0.0) or metric.name in ("error_uncertainty_rho", "signed_rank_z"):
        return
    # Genes whose shifts differ by less than 1e-6 share their rank, in the prediction alone.
    np.testing.assert_allclose(values, metric.best, atol=1e-5 if metric.name == "spearman_de" else 1e-12)


@pytest.mark.thinned(60)
@every_metric
@pytest.mark.parametrize("constant", [0.0, 0.3, -0.3, 1e-9])
def test_constant_prediction_gets_chance_exactly(
    metric: Metric, constant: float, make_evaluation: MakeEvaluation, predict: Predict
) -> None:
    evaluation = make_evaluation(awkward=True)
    values, undefined, degenerate = evaluate(metric, predict(evaluation, np.full_like(evaluation.d, constant)))
    chance = metric.chance_level(evaluation)
    if chance is None:
        assert not degenerate.any()
    else:
        np.testing.assert_array_equal(values[~undefined], chance[~undefined])
        np.testing.assert_array_equal(degenerate, ~undefined)


@ranked
def test_a_noisier_prediction_is_no_better(metric: Metric, make_evaluation: MakeEvaluation, predict: Predict) -> None:
    evaluation = make_evaluation(conditions=40, genes=200)
    means = []
    if metric.name == "error_uncertainty_rho":
        return  # it asks whether a model knows where it errs, not how much
    for size in (0.0, 1.0, 6.0):
        values = evaluate(metric, predict(evaluation, evaluation.d + size * noise(evaluation))).values
        means.append(distance_to_best(metric, values).mean())
    assert means[0] <= means[1] < means[2]


@pytest.mark.thinned(15)
@every_metric
@given(seed=st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_order_and_foreign_genes_do_not_matter(
    metric: Metric, seed: int, make_evaluation: MakeEvaluation, predict: Predict
) -> None:
    base = make_evaluation(seed=seed, conditions=9, genes=70, awkward=True)
    # Tied values are where the order of genes could tell.
    evaluation = predict(base, (0.5 * base.d + noise(base, seed)).round(1))
    rng = np.random.default_rng(seed)
    expected = evaluate(metric, evaluation)

    rows = rng.permutation(len(evaluation.y))
    np.testing.assert_allclose(evaluate(metric, evaluation.subset(rows)).values, expected.values[rows], atol=1e-12)

    genes = rng.permutation(evaluation.y.shape[1])
    np.testing.assert_allclose(evaluate(metric, take_genes(evaluation, genes)).values, expected.values, atol=1e-12)

    if not metric.needs & {"gears", "legacy"}:  # the published forms read all genes, which is one of their traps
        np.testing.assert_allclose(evaluate(metric, with_foreign_gene(evaluation)).values, expected.values, atol=1e-12)


def take_genes(evaluation: Evaluation, genes: np.ndarray) -> Evaluation:
    """The same evaluation with its genes in another order."""
    assert (
        evaluation.gears is not None
        and evaluation.cells is not None
        and evaluation.legacy is not None
        and evaluation.epistasis is not None
    )
    place = np.argsort(genes)
    per_condition = ("y", "y_hat", "d", "d_hat", "scored", "de_z", "significant")
    per_gene = ("gallery_scored", "train_delta", "control_sd", "expressed", "train_y")
    return replace(
        evaluation,
        **{name: getattr(evaluation, name)[:, genes] for name in per_condition},
        **{name: getattr(evaluation, name)[genes] for name in per_gene},
        gears=replace(
            evaluation.gears,
            y=evaluation.gears.y[:, genes],
            control=evaluation.gears.control[genes],
            de_genes=place[evaluation.gears.de_genes],
        ),
        cells=change_variance(evaluation, lambda v: v[:, genes]),
        legacy=replace(evaluation.legacy, genes=place[evaluation.legacy.genes]),
        epistasis=replace(
            evaluation.epistasis,
            additive=evaluation.epistasis.additive[:, :, genes],
            kept=evaluation.epistasis.kept[:, genes],
        ),
        states=change_states(evaluation, lambda shifts: shifts[:, :, genes]),
    )


def change_variance(evaluation: Evaluation, change: Callable[[np.ndarray], np.ndarray]) -> object:
    assert evaluation.cells is not None
    sides = {"truth": evaluation.cells.truth, "predicted": evaluation.cells.predicted}
    return replace(evaluation.cells, **{k: replace(side, variance=change(side.variance)) for k, side in sides.items()})


def change_states(evaluation: Evaluation, change: Callable[[np.ndarray], np.ndarray]) -> StateShifts:
    assert evaluation.states is not None
    return StateShifts(change(evaluation.states.true), change(evaluation.states.predicted))


def with_foreign_gene(evaluation: Evaluation) -> Evaluation:
    """One more gene, not expressed, with values that would rule everything if they were read."""
    assert evaluation.epistasis is not None
    loud, unread = np.full((len(evaluation.y), 1), 1e5), np.zeros((len(evaluation.y), 1), dtype=bool)
    return replace(
        evaluation,
        **{name: np.hstack([getattr(evaluation, name), loud]) for name in ("y", "y_hat", "d", "d_hat")},
        de_z=np.hstack([evaluation.de_z, loud * np.nan]),
        scored=np.hstack([evaluation.scored, unread]),
        significant=np.hstack([evaluation.significant, ~unread]),
        **{name: np.append(getattr(evaluation, name), False) for name in ("gallery_scored", "expressed")},
        **{name: np.append(getattr(evaluation, name), 1e5) for name in ("train_delta", "control_sd", "train_y")},
        gears=None,
        legacy=None,
        cells=change_variance(evaluation, lambda v: np.hstack([v, loud])),
        epistasis=replace(
            evaluation.epistasis,
            additive=np.concatenate([evaluation.epistasis.additive, np.tile(loud, (4, 1, 1))], axis=2),
            kept=np.hstack([evaluation.epistasis.kept, loud]),
        ),
        states=change_states(evaluation, lambda v: np.concatenate([v, np.tile(loud[:, None], (1, 3, 1))], axis=2)),
    )


@given(scale=st.floats(0.05, 20))
@settings(max_examples=20, deadline=None)
def test_only_size_sees_scale(scale: float, make_evaluation: MakeEvaluation, predict: Predict) -> None:
    evaluation = make_evaluation()
    once, scaled = (
        predict(evaluation, noise(evaluation) + evaluation.d),
        predict(evaluation, scale * (noise(evaluation) + evaluation.d)),
    )
    exact = {"pearson_delta", "pearson_delta@20", "pearson_delta_z", "discrimination_raw", "direction_accuracy",
             "severity_rho"}  # fmt: skip
    # A smaller prediction has more genes within a step of noise of each other.
    ranked = {"spearman_de", "signed_rank_z", "signed_ap@50", "de_recall@20", "de_recall@50", "auprc_de"}
    for name in exact | ranked:
        before, after = evaluate(METRICS[name], once).values, evaluate(METRICS[name], scaled).values
        np.testing.assert_allclose(after, before, atol=2e-3 if name in ranked else 1e-9, err_msg=name)
    before, after = (evaluate(METRICS["shift_log_ratio"], c).values for c in (once, scaled))
    limit = np.log(10)
    inside = (np.abs(before) < limit) & (np.abs(after) < limit)
    np.testing.assert_allclose((after - before)[inside], np.log(scale), atol=1e-9)
