"""The rest of the panel against outside implementations, and on generated screens whose truth is known."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from simulated_tasks import task
from sklearn.metrics import average_precision_score

from bench.tracks.response import score
from bench.tracks.response.metrics import METRICS, Evaluation, evaluate
from bench.tracks.response.metrics.distances import coverage, crps, distances, energy_distance, mmd_squared, places
from bench.tracks.response.metrics.ranking import average_precision, order


def mean_of(name: str, evaluation: Evaluation) -> float:
    return float(np.nanmean(evaluate(METRICS[name], evaluation).values))


@pytest.mark.parametrize("digits", [0, 1, 8])
def test_average_precision_equals_sklearn_with_ties(digits: int) -> None:
    rng = np.random.default_rng(digits)
    values, relevant, mask = (
        rng.normal(size=(30, 80)).round(digits),
        rng.random((30, 80)) < 0.2,
        rng.random((30, 80)) < 0.8,
    )
    expected = [average_precision_score(r[m], v[m]) for v, r, m in zip(values, relevant, mask, strict=True)]
    np.testing.assert_allclose(
        average_precision(order(values, mask), relevant & mask), expected, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("n", [10, 30, 100, 300])
@pytest.mark.parametrize("distance", [energy_distance, mmd_squared])
def test_identical_distributions_are_at_zero_at_every_number_of_cells(n: int, distance) -> None:
    rng = np.random.default_rng(n)
    found = np.array(
        [distance(distances(rng.normal(size=(n, 20)), rng.normal(size=(n, 20)))) for _ in range(max(40, 2000 // n))]
    )
    assert abs(found.mean()) < 3.5 * found.std(ddof=1) / np.sqrt(len(found))
    moved = distance(distances(rng.normal(size=(n, 20)), rng.normal(size=(n, 20)) + 1.0))
    assert moved > found.mean() + 3 * found.std()


def test_spread_alone_is_a_distance() -> None:
    rng = np.random.default_rng(0)
    one, wide = rng.normal(size=(200, 10)), 2 * rng.normal(size=(200, 10))
    between = distances(wide, one)
    assert energy_distance(between) > 0.5 and mmd_squared(between) > 0.02


@pytest.mark.parametrize("n", [10, 30, 300])
def test_coverage_is_nominal_and_crps_unbiased_for_counts(n: int) -> None:
    """Mostly zeros: an interval that holds 0 would cover nearly everything."""
    rng = np.random.default_rng(n)

    def draw(cells: int, scale: float = 1.0) -> np.ndarray:
        return np.log1p(rng.poisson(scale * np.repeat([0.05, 0.4, 3.0], 100), (cells, 300))).astype(np.float32)

    true = draw(400)
    for level in (0.8, 0.95):
        assert coverage(*places(draw(n), true), level).mean() == pytest.approx(level, abs=0.015)
    assert coverage(*places(draw(300, 4.0), true), 0.8).mean() < 0.75
    reference = np.mean([crps(draw(200), true).mean() for _ in range(3)])
    assert np.mean([crps(draw(n), true).mean() for _ in range(10)]) == pytest.approx(reference, abs=0.003)


def test_crps_written_out() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)).round(1), rng.normal(size=(5, 3)).round(1)
    across = np.abs(x[:, None] - y[None]).mean(axis=(0, 1))
    within = np.abs(x[:, None] - x[None]).sum(axis=(0, 1)) / (7 * 6)
    np.testing.assert_allclose(crps(x, y), across - within / 2, atol=1e-12)


@pytest.mark.slow
def test_legacy_numbers_hardly_see_what_a_model_knows() -> None:
    """Why cell-level r is never ranked on. In a weak screen the train mean comes within .05 of the true means, while
    its pearson_delta is far below; in a strong one the shared control cell still gives a model of nothing over half."""
    evaluations = {
        hard: [score.align(t.facts, y) for y in (t.facts.c_in, t.facts.c_in + t.facts.train_delta, t.facts.y)]
        for hard, t in ((hard, task(hard=hard)) for hard in (False, True))
    }
    cell, delta = "legacy_cell_pearson_top20", "pearson_delta"
    nothing, average, oracle = evaluations[True]
    assert abs(mean_of(cell, average) - mean_of(cell, oracle)) < 0.05
    assert mean_of(delta, average) < mean_of(delta, oracle) - 0.6
    assert mean_of("legacy_cell_mse", average) < 1.05 * mean_of("legacy_cell_mse", oracle)
    nothing, average, oracle = evaluations[False]
    assert mean_of(cell, nothing) > 0.6 * mean_of(cell, oracle) and mean_of(delta, nothing) == 0
    assert mean_of(cell, average) > 0.7 * mean_of(cell, oracle) and mean_of(delta, average) < 0.4 * mean_of(
        delta, oracle
    )


def epistasis(t, shifts: np.ndarray) -> np.ndarray:
    """Of all doubles, resolved or not: what the resolved ones are must not decide whether there is a bias."""
    evaluation = score.align(t.facts, t.predict(shifts))
    assert evaluation.epistasis is not None
    every = replace(evaluation.epistasis, resolved=evaluation.epistasis.row >= 0)
    return evaluate(METRICS["epistasis_r"], replace(evaluation, epistasis=every)).values


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_without_interactions_nobody_scores_for_noise(seed: int) -> None:
    t = task(seed=seed, doubles_only=True, epistatic_share=0.0)
    rng = np.random.default_rng(seed)
    nothing = {
        "no_change": 0 * t.shifts,
        "train_mean": np.tile(t.facts.train_delta, (len(t.shifts), 1)),
        "additive": t.additive,
        "shrunken additive": 0.6 * t.additive,
    }
    for name, shifts in nothing.items():
        values = epistasis(t, shifts)
        assert (values[np.isfinite(values)] == 0).all(), name
    for name, shifts in {"random": rng.normal(size=t.shifts.shape), "true additive": t.true_additive}.items():
        values = epistasis(t, shifts)
        assert np.isfinite(values).all() and abs(values.mean()) < 0.05, (name, values.mean())
    # The noise of the train singles on top of anything only costs.
    assert epistasis(t, 0.5 * t.additive + 0.5 * t.true_additive).mean() < 0.0


@pytest.mark.ci
def test_planted_interactions_are_found() -> None:
    t = task(doubles_only=True)
    resolved = t.facts.epistasis_resolved
    assert resolved[t.epistatic].mean() > 0.7 > 0.3 > resolved[~t.epistatic].mean()
    values = evaluate(METRICS["epistasis_r"], score.align(t.facts, t.predict(t.shifts))).values
    np.testing.assert_array_equal(np.isfinite(values), resolved)
    assert values[resolved & t.epistatic].mean() > 0.3
    assert mean_of("epistasis_r", score.align(t.facts, t.predict(t.true_additive))) < 0.1


@pytest.mark.slow
def test_cells_of_a_perfect_model() -> None:
    """The replicate is other cells of the same condition: distances 0, coverage nominal; shifted controls: neither."""
    t = task()
    rng = np.random.default_rng(0)
    control = t.dataset.x[rng.choice(t.dataset.cells_of["ctrl"], 100)].toarray()
    fallbacks = np.zeros(len(t.facts.conditions), dtype=int)
    table = score.score_table(t.facts, t.facts.y, fallbacks, [control + s for s in t.shifts]).frame
    mean = table.groupby("metric")[["value", "floor", "half_value", "half_floor", "half_replicate"]].mean()
    assert abs(mean.loc["e_distance", "half_replicate"]) < 0.02 < mean.loc["e_distance", "value"]
    assert abs(mean.loc["mmd", "half_replicate"]) < 0.003 < mean.loc["mmd", "value"]
    assert mean.loc["coverage80", "half_replicate"] == pytest.approx(0.8, abs=0.01)
    assert mean.loc["coverage95", "half_replicate"] == pytest.approx(0.95, abs=0.01)
    for name in ("nll", "crps"):
        assert mean.loc[name, "half_replicate"] < mean.loc[name, "value"]
    needs_cells = [n for n, m in METRICS.items() if "cells" in m.needs]
    assert mean.loc[needs_cells, ["floor", "half_floor"]].isna().all(axis=None)  # the floor emits no cells
    without = score.score_table(t.facts, t.facts.y, fallbacks).frame
    assert without[without["metric"].isin(needs_cells)]["value"].isna().all()
    # What a replicate reaches is a fact of the task, whatever the model emits.
    np.testing.assert_array_equal(without["half_replicate"], table["half_replicate"])


@pytest.mark.slow
def test_a_thousand_conditions_take_seconds(make_evaluation) -> None:
    evaluation = make_evaluation(conditions=300, genes=2000)
    begin = time.process_time()
    for metric in METRICS.values():
        evaluate(metric, evaluation)
    assert time.process_time() - begin < 12
