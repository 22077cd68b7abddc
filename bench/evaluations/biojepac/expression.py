"""Evaluation 1, expression: how near is the predicted to the measured profile?

Published: every cell beside one random control cell, which is taken off truth and prediction alike. Its noise is then
in both, and whoever predicts the train mean correlates with what no cell has in common but that control. Corrected: a
value per perturbation, the truth less controls that no model saw, the prediction less the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bench.core.typing import Floats
from bench.evaluations.biojepac.inputs import SuiteInputs
from bench.evaluations.biojepac.interval import over_units
from bench.evaluations.biojepac.row import Row, mean_of, number
from bench.results.tables import ALL
from bench.tracks.response.align import align
from bench.tracks.response.evaluate import over_units as look
from bench.tracks.response.evaluate import replicates
from bench.tracks.response.metrics import METRICS, Evaluation, evaluate
from bench.tracks.response.metrics.functional import r2, weighted_mean
from bench.tracks.response.metrics.legacy import legacy_truth, top_values
from bench.tracks.response.metrics.pattern import top_de

NAME = "1 expression"
#: Genes of the published R2.
TOP = 50


def published_severity(cells: Floats, controls: Floats, predicted: Floats) -> float:
    """Pearson r over cells of the size of the predicted with that of the true change from one random control cell.

    Args:
        cells: Test cells ``[N, K]``.
        controls: A control cell of each ``[N, K]``.
        predicted: What is predicted for each ``[N, K]``.

    Returns:
        NaN where either size is the same for all.

    Source: "severity", BioJEPAC report v0.4, here over the genes that are kept of single cells (the top 20).
    """
    true, said = (np.linalg.norm(x - controls, axis=1) for x in (cells, predicted))
    if true.std() <= 1e-12 or said.std() <= 1e-12:
        return float("nan")
    return float(np.corrcoef(true, said)[0, 1])


def top_r2(evaluation: Evaluation) -> Floats:
    """R2 of the shift over the top 50 DE genes ``[T]``, disjoint controls; NaN under 50 scored genes."""
    weights = np.nan_to_num(top_de(evaluation, TOP).dense(evaluation.y.shape[1]))
    found = r2(truth=evaluation.d, prediction=evaluation.d_hat, weights=weights)
    return np.where(evaluation.scored.sum(axis=1) >= TOP, found, np.nan)


def shift_mse(evaluation: Evaluation) -> Floats:
    """Mean squared error of the shift over scored genes ``[T]``, disjoint controls."""
    return weighted_mean((evaluation.d_hat - evaluation.d) ** 2, evaluation.scored)


def _metric(name: str, evaluation: Evaluation) -> Floats:
    return evaluate(METRICS[name], evaluation).values


def rows(inputs: SuiteInputs) -> Sequence[Row]:
    """All measures of the evaluation."""
    facts = inputs.truth
    ours, trivial = align(facts, inputs.y_hat), align(facts, inputs.train_mean)
    measured = _replicate(inputs, ("pearson_delta@20", "r2_delta", "severity_rho"))
    asked = (
        ("r of the top 20 changes", "legacy_cell_pearson_top20", "pearson_delta@20", "per cell, one control cell"),
        ("R2, all genes", "r2", "r2_delta", "of expression, not of the change"),
    )
    found = []
    for measure, before, after, how in asked:
        value = over_units(facts.units, _metric(after, ours)).within(-1.0 if measure[0] == "r" else -np.inf, 1.0)
        found.append(
            Row(
                NAME,
                measure,
                mean_of(_metric(before, ours)),
                mean_of(_metric(before, trivial)),
                *value.numbers,
                mean_of(_metric(after, trivial)),
                "train mean",
                measured.get(after),
                value.n,
                f"published: {how}",
            )
        )
    for measure, before, of, how in (
        ("R2, top 50 genes", "legacy_r2_top50", top_r2, "of expression, not of the change"),
        ("mean squared error", "legacy_cell_mse", shift_mse, "per cell: nearly all of it is the spread of cells"),
    ):
        value = over_units(facts.units, of(ours))
        found.append(
            Row(
                NAME,
                measure,
                mean_of(_metric(before, ours)),
                mean_of(_metric(before, trivial)),
                *value.numbers,
                mean_of(of(trivial)),
                "train mean",
                None,
                value.n,
                f"published: {how}",
            )
        )
    value = over_units(facts.units, _metric("severity_rho", ours)).within(-1.0, 1.0)
    found.append(
        Row(
            NAME,
            "severity",
            number(_published_severity(ours)),
            number(_published_severity(trivial)),
            *value.numbers,
            0.0,
            "one size for all",
            measured.get("severity_rho"),
            value.n,
            "published: r over cells, one control cell on both sides",
        )
    )
    return found


def _published_severity(evaluation: Evaluation) -> float:
    legacy = legacy_truth(evaluation)
    counts = np.diff(legacy.begins)
    predicted = np.repeat(top_values(evaluation, evaluation.y_hat)[:, : legacy.cells.shape[1]], counts, axis=0)
    return published_severity(np.asarray(legacy.cells, np.float64), np.asarray(legacy.controls, np.float64), predicted)


def _replicate(inputs: SuiteInputs, names: Sequence[str]) -> Mapping[str, float | None]:
    """What half of the cells have as a prediction of the other half."""
    found = look(inputs.truth, replicates(inputs.truth), [METRICS[name] for name in names])
    return {name: mean_of(found[name, ALL]["half_replicate"]) for name in names}
