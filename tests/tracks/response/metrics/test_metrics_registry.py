"""The table of metrics, the evaluation and the one rule for undefined values."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bench.core.errors import BenchError
from bench.tracks.response.metrics import METRICS, Evaluation, Metric, UnknownMetric, evaluate, get, metric

MakeEvaluation = Callable[..., Evaluation]


def test_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UnknownMetric, match=r"pearson_dleta.*Did you mean 'pearson_delta'") as caught:
        get("pearson_dleta")
    assert isinstance(caught.value, KeyError) and isinstance(caught.value, BenchError)
    assert not str(caught.value).startswith(("'", '"'))


def test_a_name_is_registered_once() -> None:
    before = dict(METRICS)
    register = metric("r2", better="high", chance=None, range=(0, 1), formula="-", source="-", trap="-")
    with pytest.raises(ValueError, match=r"'r2': one in bench\.tracks\.response\.metrics\.fit"):
        register(lambda evaluation: evaluation.y[:, 0])
    assert before == METRICS


def custom(chance: float | None, value: float) -> Metric:
    return replace(
        get("r2"), name="custom", chance=chance, compute=lambda evaluation: np.full(len(evaluation.y), value)
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_formula_that_breaks_down_is_never_dropped(value: float, make_evaluation: MakeEvaluation) -> None:
    evaluation = make_evaluation()
    result = evaluate(custom(0.25, value), evaluation)
    assert (result.values == 0.25).all() and result.degenerate.all() and not result.undefined.any()
    with pytest.raises(ValueError, match=r"custom is (nan|inf) for condition 0"):
        evaluate(custom(None, value), evaluation)


def test_evaluate_leaves_the_computed_array_alone(make_evaluation: MakeEvaluation) -> None:
    evaluation = make_evaluation(awkward=True)
    kept = np.ones(len(evaluation.y))
    spare = replace(get("pearson_delta"), compute=lambda _: kept)
    assert np.isnan(evaluate(spare, evaluation).values).any() and (kept == 1).all()


def test_gears_needs_its_truth(make_evaluation: MakeEvaluation) -> None:
    with pytest.raises(ValueError, match=r"gears_mse needs .* evaluation\.gears is None"):
        evaluate(get("gears_mse"), replace(make_evaluation(), gears=None))


@pytest.mark.parametrize("name", [n for n, m in METRICS.items() if m.needs & {"cells", "legacy", "epistasis"}])
def test_a_missing_part_leaves_everything_undefined(name: str, make_evaluation: MakeEvaluation) -> None:
    result = evaluate(get(name), replace(make_evaluation(), cells=None, legacy=None, epistasis=None))
    assert np.isnan(result.values).all() and result.undefined.all() and not result.degenerate.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: {"y_hat": c.y_hat[:, :-1]}, "y_hat must have shape"),
        (lambda c: {"train_delta": c.train_delta[None]}, "train_delta must have shape"),
        (lambda c: {"train_y": c.train_y[None]}, "train_y must have shape"),
        (lambda c: {"y": c.y[0]}, "y must be"),
        (lambda c: {"d_hat": np.where(c.d == c.d[2, 5], np.nan, c.d)}, r"d_hat has 1 .* first at \[2, 5\]"),
        (lambda c: {"scored": c.scored.astype(int)}, "scored must be boolean"),
        (lambda c: {"scored": np.ones_like(c.scored)}, "expressed genes only"),
        (lambda c: {"gallery_scored": c.expressed}, "gallery_scored"),
        (lambda c: {"de_z": np.full_like(c.de_z, np.nan)}, "de_z"),
        (lambda c: {"gears": replace(c.gears, de_genes=c.gears.de_genes + 10_000)}, "gene positions"),
        (lambda c: {"gears": replace(c.gears, control=c.gears.control[:-1])}, "gears.control must have shape"),
    ],
)
def test_case_refuses(change: object, message: str, make_evaluation: MakeEvaluation) -> None:
    evaluation = make_evaluation()
    with pytest.raises(ValueError, match=message):
        replace(evaluation, **change(evaluation))  # type: ignore[operator]


def test_case_takes_float32_and_computes_in_float64(make_evaluation: MakeEvaluation) -> None:
    evaluation = make_evaluation()
    single = replace(evaluation, y=evaluation.y.astype(np.float32), d=evaluation.d.astype(np.float32))
    assert single.y.dtype == single.d.dtype == np.float64


def test_subset_is_a_gallery_of_its_own(make_evaluation: MakeEvaluation) -> None:
    evaluation = make_evaluation(conditions=12)
    rows = np.arange(12) < 6
    part = evaluation.subset(rows)
    assert part.y.shape == (6, 120) and part.gears is not None and part.gears.y.shape == (6, 120)
    # Targets of those who left the gallery are scored again.
    np.testing.assert_array_equal(part.gallery_scored, evaluation.scored[rows].all(axis=0))
    assert part.gallery_scored.sum() > evaluation.gallery_scored.sum()
    np.testing.assert_array_equal(evaluation.subset(np.flatnonzero(rows)).y, part.y)
    assert evaluate(get("discrimination"), evaluation.subset([0, 1, 2, 3])).undefined.all()
    assert not evaluate(get("discrimination"), evaluation.subset([0, 1, 2, 3, 4])).undefined.any()
    with pytest.raises(ValueError, match="rows"):
        evaluation.subset(np.array([0.5]))


@pytest.mark.parametrize("name", METRICS)
def test_an_empty_subset_gives_nothing(name: str, make_evaluation: MakeEvaluation) -> None:
    empty = make_evaluation().subset(np.zeros(16, dtype=bool))
    assert isinstance(empty, Evaluation) and evaluate(get(name), empty).values.shape == (0,)


def test_gene_kept_out_of_the_gallery_stays_out(make_evaluation: MakeEvaluation) -> None:
    evaluation = make_evaluation()
    gene = int(np.flatnonzero(evaluation.gallery_scored)[0])
    without = evaluation.gallery_scored.copy()
    without[gene] = False
    assert not replace(evaluation, gallery_scored=without).subset([0, 1, 2, 3, 4]).gallery_scored[gene]


def test_loads_numpy_only() -> None:
    heavy = "{'torch', 'pandas', 'anndata', 'scipy', 'lightning'}"
    code = f"import sys, bench.tracks.response.metrics; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
