"""`gears_*` against cell-gears' own functions, on the same predictions and the same DE genes."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from bench.tracks.response.metrics import Evaluation, GearsTruth, evaluate, get

MakeEvaluation = Callable[..., Evaluation]

CONDITIONS = ["A+ctrl", "B+ctrl", "ctrl+C", "A+B"]
CELLS = [80, 30, 30, 30, 2]  # controls first; a mean over two equal cells is exact, which the last one needs
GENES = 260


@pytest.fixture(scope="module")
def oracle() -> tuple[Evaluation, list[str], dict[str, Any], dict[str, Any]]:
    """An evaluation beside what `compute_metrics` and `deeper_analysis` say of the same predictions."""
    anndata, pandas = pytest.importorskip("anndata"), pytest.importorskip("pandas")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # third party: cell-gears imports what torch and scanpy deprecate
        inference = pytest.importorskip("gears.inference")
        data_utils = pytest.importorskip("gears.data_utils")
        rng = np.random.default_rng(0)
        labels = np.repeat(["ctrl", *CONDITIONS], CELLS)
        effect = np.exp(rng.normal(0, 0.8, (5, GENES)) * (rng.random((5, GENES)) < 0.2))
        rate = rng.gamma(1.0, 1.0, GENES) * np.repeat(effect, CELLS, axis=0)
        x = np.log1p(rng.poisson(rate)).astype(np.float64)
        names = [f"g{i}" for i in range(GENES)]
        adata = anndata.AnnData(
            csr_matrix(x),
            obs=pandas.DataFrame({"condition": labels, "cell_type": "K562"}, index=[f"c{i}" for i in range(len(x))]),
            var=pandas.DataFrame({"gene_name": names}, index=names),
        )
        data_utils.get_DE_genes(adata, skip_calc_de=False)
        top = adata.uns["rank_genes_groups_cov_all"]
        de_genes = np.array([[names.index(g) for g in top[f"K562_{c}_1+1"][:20]] for c in CONDITIONS])

        perturbed = labels != "ctrl"
        control = np.asarray(adata.X[~perturbed].mean(axis=0)).ravel()  # summed as cell-gears does, to the last digit
        shift = rng.normal(0, 0.1, (4, GENES)) + 0.3 * np.log(effect[1:])
        predicted = {c: np.tile(control + shift[i], (CELLS[i + 1], 1)) for i, c in enumerate(CONDITIONS)}
        predicted["ctrl+C"][:] = 0.75  # constant: NaN -> 0 in the plain correlations
        predicted["A+B"][:] = control  # no change: NaN -> 0 in the delta correlations
        rows = [np.flatnonzero(labels == c) for c in CONDITIONS]
        results = {
            "pert_cat": labels[perturbed],
            "pred": np.vstack([predicted[c] for c in CONDITIONS]),
            "truth": x[perturbed],
            "pred_de": np.vstack([predicted[c][:, de_genes[i]] for i, c in enumerate(CONDITIONS)]),
            "truth_de": np.vstack([x[rows[i]][:, de_genes[i]] for i in range(4)]),
        }
        with contextlib.redirect_stdout(io.StringIO()):
            _, metrics = inference.compute_metrics(results)
            deeper = inference.deeper_analysis(adata, results)

    y = np.stack([x[r].mean(axis=0) for r in rows])
    y_hat = np.stack([predicted[c].mean(axis=0) for c in CONDITIONS])
    scored = np.ones((4, GENES), dtype=bool)
    evaluation = Evaluation(
        y=y, y_hat=y_hat, d=y - control, d_hat=y_hat - control, scored=scored, gallery_scored=scored[0],
        train_delta=np.zeros(GENES), control_sd=np.ones(GENES), expressed=scored[0], de_z=np.zeros_like(y),
        significant=scored, train_y=control, gears=GearsTruth(y=y, control=control, de_genes=de_genes),
    )  # fmt: skip
    return evaluation, CONDITIONS, metrics, deeper


@pytest.mark.slow  # importing cell-gears takes 20 seconds
@pytest.mark.parametrize("key", ["mse", "mse_de", "pearson", "pearson_de", "pearson_delta", "pearson_delta_de"])
@pytest.mark.parametrize("per_condition_controls", [False, True])
def test_equals_cell_gears(
    key: str, per_condition_controls: bool, oracle: tuple[Evaluation, list[str], dict[str, Any], dict[str, Any]]
) -> None:
    evaluation, conditions, metrics, deeper = oracle
    assert evaluation.gears is not None
    if per_condition_controls:
        evaluation = replace(
            evaluation, gears=replace(evaluation.gears, control=np.tile(evaluation.gears.control, (4, 1)))
        )
    source = deeper if "delta" in key else metrics
    expected = [source[c][key] for c in conditions]
    result = evaluate(get(f"gears_{key}"), evaluation)
    np.testing.assert_allclose(result.values, expected, rtol=1e-9, atol=1e-12)
    constant = {"pearson": "ctrl+C", "pearson_de": "ctrl+C", "pearson_delta": "A+B", "pearson_delta_de": "A+B"}
    if key in constant:
        assert result.values[conditions.index(constant[key])] == 0.0
    assert not result.undefined.any() and not result.degenerate.any()


def test_constant_prediction_scores_zero_as_in_cell_gears(make_evaluation: MakeEvaluation) -> None:
    evaluation = make_evaluation()
    assert evaluation.gears is not None
    no_change = replace(evaluation, y_hat=np.tile(evaluation.gears.control, (len(evaluation.y), 1)))
    for name in ("gears_pearson_delta", "gears_pearson_delta_de"):
        assert (evaluate(get(name), no_change).values == 0.0).all()
