"""Metrics over conditions, single cells and doubles: each on an evaluation small enough to work out by hand."""

from __future__ import annotations

from dataclasses import replace
from math import log, pi, sqrt

import numpy as np
import pytest

from bench.tracks.response.metrics import AdditiveShifts, CellPair, Evaluation, LegacyCells, Sample, evaluate, get
from bench.tracks.response.metrics.distances import BANDWIDTHS


def plain(d, d_hat, **parts) -> Evaluation:
    """Controls, train mean and z are 0; every gene is scored."""
    d, d_hat = np.array(d, dtype=float), np.array(d_hat, dtype=float)
    zeros, every = np.zeros(d.shape[1]), np.ones(d.shape, dtype=bool)
    return Evaluation(
        y=d, y_hat=d_hat, d=d, d_hat=d_hat, scored=every, gallery_scored=every[0], train_delta=zeros,
        control_sd=zeros + 1, expressed=every[0], de_z=d, significant=every, train_y=zeros, **parts,
    )  # fmt: skip


def test_severity() -> None:
    # Sizes 1 2 3 4 5 against 2 1 4 4 9: ranks 2 1 3.5 3.5 5. Centred -2 -1 0 1 2 and -1 -2 .5 .5 2: variance 2 and 1.9.
    true, predicted = np.array([1, 2, 3, 4, 5]), np.array([2, 1, 4, 4, 9])
    evaluation = plain(true[:, None] * [[3, -4]], predicted[:, None] * [[0, -5]])
    terms = np.array([2, 2, 0, 0.5, 4]) / sqrt(2 * 1.9)
    values = evaluate(get("severity_rho"), evaluation).values
    np.testing.assert_allclose(values, terms, atol=1e-12)
    from scipy.stats import spearmanr

    assert values.mean() == pytest.approx(spearmanr(true, predicted).statistic)
    same = replace(evaluation, d_hat=np.tile([1.0, 2.0], (5, 1)))
    assert (evaluate(get("severity_rho"), same).values == 0).all()
    assert evaluate(get("severity_rho"), evaluation.subset([0, 1, 2, 3])).undefined.all()


def sample(*cells, variance) -> Sample:
    x = np.array(cells, dtype=float)
    return Sample(np.array([0, len(x)]), x, x, np.array([variance], dtype=float))


def test_cells() -> None:
    # Predicted 0 and 2, held out 0 and 3 (one gene, one axis).
    part = CellPair(truth=sample([0], [3], variance=[4.5, 1]), predicted=sample([0], [2], variance=[2.0, 0.0]))
    evaluation = plain([[1.5, 1.0]], [[1.0, 1.0]], cells=part)

    def value(name: str) -> float:
        return float(evaluate(get(name), evaluation).values[0])

    # Across: 0 3 2 1, mean 1.5; within: 2 and 3.
    assert value("e_distance") == pytest.approx(2 * 1.5 - 2 - 3)
    kernel = lambda squared: np.mean([np.exp(-squared / (2 * h * 9)) for h in BANDWIDTHS])  # noqa: E731
    assert value("mmd") == pytest.approx(kernel(4) + kernel(9) - 2 * np.mean([kernel(s) for s in (0, 9, 4, 1)]))
    # Variance floors: gene 0 keeps 2, gene 1 gets (.1 x 1)^2. Errors: 4.5 + .25 and 1 + 0.
    nll = (0.5 * log(2 * pi * 2) + 4.75 / 4 + 0.5 * log(2 * pi * 0.01) + 1 / 0.02) / 2
    assert value("nll") == pytest.approx(nll)
    # x = 0: (0 + 2)/2 - 2/2 = 0. x = 3: (3 + 1)/2 - 1 = 1.
    assert value("crps") == pytest.approx(0.5)
    # x = 0 ties with one of two: from 0 to 2/3, of which .1 to 2/3 is inside. x = 3: 2/3 to 1, of which 2/3 to .9.
    assert value("coverage80") == pytest.approx(((2 / 3 - 0.1) / (2 / 3) + (0.9 - 2 / 3) / (1 / 3)) / 2)
    assert value("coverage95") == pytest.approx(((2 / 3 - 0.025) / (2 / 3) + (0.975 - 2 / 3) / (1 / 3)) / 2)


def test_error_and_uncertainty() -> None:
    # Errors 0 1 3 2, predicted variances 1 2 3 9: ranks 1 2 4 3 and 1 2 3 4, Spearman 1 - 6 x 2 / (4 x 15) = .8.
    part = CellPair(truth=sample([0], [1], variance=[1, 1, 1, 1]), predicted=sample([0], [1], variance=[1, 2, 3, 9]))
    evaluation = plain([[1, 2, 3, 4]], [[1, 3, 6, 6]], cells=part)
    assert evaluate(get("error_uncertainty_rho"), evaluation).values == pytest.approx(0.8)


def test_legacy() -> None:
    # Condition 0 has two cells, condition 1 one; the top genes of condition 1 are (2 1).
    legacy = LegacyCells(
        begins=np.array([0, 2, 3]), cells=np.array([[1, 3, 2], [2, 2, 5], [1, 0, 1]], dtype=float),
        controls=np.array([[0, 1, 1], [1, 1, 1], [1, 0, 1]], dtype=float), genes=np.array([[0, 1, 2], [2, 1, 0]]),
        spread=np.array([0.5, 0.25]),
    )  # fmt: skip
    evaluation = plain([[1, 2, 4], [3, 2, 1]], [[1, 3, 2], [0, 2, 4]], legacy=legacy)
    # Cell 0: x-c (1 2 1), y_hat-c (1 2 1): 1. Cell 1: (1 1 4) and (0 2 1): centred (-1 -1 2), (-1 1 0): 0.
    # Cell 2: x-c is 0: counts 0.
    np.testing.assert_allclose(evaluate(get("legacy_cell_pearson_top20"), evaluation).values, [0.5, 0.0], atol=1e-12)
    # Errors 0 1 4 and 9 0 9, plus the spread.
    np.testing.assert_allclose(evaluate(get("legacy_cell_mse"), evaluation).values, [5 / 3 + 0.5, 6 + 0.25], atol=1e-12)
    # y (1 2 4), SS_tot 14/3, SS_res 5; y (3 2 1): 2 and 18.
    np.testing.assert_allclose(evaluate(get("legacy_r2_top50"), evaluation).values, [1 - 15 / 14, -8], atol=1e-12)
    part = evaluation.subset([1])
    np.testing.assert_allclose(evaluate(get("legacy_cell_mse"), part).values, [6.25], atol=1e-12)
    assert part.legacy is not None and part.legacy.cells.tolist() == [[1, 0, 1]]


def test_epistasis() -> None:
    # Additive a = (1 -1 0 0), measured without noise; d = a + 2 (1 1 -1 -1)/2..., d_hat = 3 a + (0 0 1 -1).
    a, e, f = np.array([1.0, -1, 0, 0]), np.array([1.0, 1, -1, -1]), np.array([0.0, 0, 1, -1])
    evaluation = plain([a + e, a + f, e], [3 * a + e + f, 0.5 * a, e])
    every = np.ones(3, dtype=bool)
    part = AdditiveShifts(
        np.array([0, 1, -1]), np.stack([[a, a]] * 3 + [[0 * a, 0 * a]]), every, np.stack([a + f, a]), every
    )
    evaluation = replace(evaluation, epistasis=part, train_delta=np.array([0.0, 0, 0, 0]))
    # 0: what is left is e and e + f: 4 / sqrt(4 x 6), but only 2 of the 3 a are removed, so that f + e + a is left:
    #    4 / sqrt(4 x 8). 1: half the additive shift claims nothing. 2: not a double of train singles.
    result = evaluate(get("epistasis_r"), evaluation)
    np.testing.assert_allclose(result.values, [4 / sqrt(4 * 8), 0.0, np.nan], atol=1e-12)
    assert result.degenerate.tolist() == [False, True, False] and result.undefined.tolist() == [False, False, True]
    unresolved = replace(evaluation, epistasis=replace(part, resolved=np.array([False, True, True])))
    assert evaluate(get("epistasis_r"), unresolved).undefined.tolist() == [True, False, True]
    # Singles that no model saw measure a + f in 0: d loses it <a, d> / <a, a + f> = 1 times, and e - f is left; of
    #    d_hat e + f + a as before: (4 - 2) / sqrt(6 x 8). 1: claims nothing.
    kept = evaluate(get("epistasis_kept_r"), evaluation)
    np.testing.assert_allclose(kept.values, [2 / sqrt(6 * 8), 0.0, np.nan], atol=1e-12)
    assert kept.degenerate.tolist() == [False, True, False] and kept.undefined.tolist() == [False, False, True]
    unresolved = replace(evaluation, epistasis=replace(part, kept_resolved=np.array([False, True, True])))
    assert evaluate(get("epistasis_kept_r"), unresolved).undefined.tolist() == [True, False, True]
