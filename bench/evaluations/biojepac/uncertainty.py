"""Evaluation 4, uncertainty: does the model know where it errs?

Published: the mean log variance of a latent beside the error of *expression*, and an "ECE" between the two after each
was scaled to 0..1, which a model that is wrong about its variance a hundredfold passes as well as one that is right.
Corrected: what is predicted as a Gaussian is held against what it is a Gaussian of. Of the values that a 50, 80, 90 or
95% interval should hold, how many does it hold; and is more uncertain what is more wrong?
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import spearmanr

from bench.core.typing import Floats
from bench.evaluations.biojepac.inputs import Bools, Codes, Spread, SuiteInputs
from bench.evaluations.biojepac.interval import resampled
from bench.evaluations.biojepac.row import Row, absent, number
from bench.stats.geometry import group_means
from bench.tracks.response.align import align, sampling_variance
from bench.tracks.response.truth.fields import Truth

NAME = "4 uncertainty"
#: Shares that central intervals should hold.
LEVELS = (0.5, 0.8, 0.9, 0.95)
#: Bins of the published forms. Source: BioJEPAC's evaluation 4.
BINS = 10


def published_r(score: Floats, error: Floats) -> float:
    """Pearson r of uncertainty with error ``[N]``; NaN where one is constant."""
    if score.std() <= 1e-12 or error.std() <= 1e-12:
        return float("nan")
    return float(np.corrcoef(score, error)[0, 1])


def _bins(score: Floats) -> list[NDArray[np.int64]]:
    return [part for part in np.array_split(np.argsort(score, kind="stable"), BINS) if len(part)]


def published_ece(score: Floats, error: Floats) -> float:
    """Mean over ten bins of the distance of uncertainty and error, each scaled to 0..1 by its own extremes ``[N]``."""
    scaled = [(x - x.min()) / max(float(np.ptp(x)), 1e-12) for x in (score, error)]
    gaps = [abs(scaled[0][part].mean() - scaled[1][part].mean()) * len(part) for part in _bins(score)]
    return float(np.sum(gaps) / len(score))


def published_monotone(score: Floats, error: Floats) -> float:
    """Share of the steps from bin to bin of uncertainty at which the mean error rises ``[N]``."""
    means = np.array([error[part].mean() for part in _bins(score)])
    return float((np.diff(means) > 0).mean()) if len(means) > 1 else float("nan")


def coverage(z: Floats, counted: Bools) -> Floats:
    """Share of standardised errors within the central interval of each level ``[N, L]``.

    Args:
        z: (measured - predicted) / predicted SD ``[N, K]``.
        counted: Which count ``[N, K]``.

    Returns:
        A row per item; NaN where nothing counts.
    """
    size = counted.sum(axis=1)
    inside = [((np.abs(z) <= ndtri(0.5 + level / 2)) & counted).sum(axis=1) for level in LEVELS]
    return np.stack([np.divide(x, size, out=np.full(len(z), np.nan), where=size > 0) for x in inside], axis=1)


def calibration_error(covered: Floats) -> float:
    """Mean over levels of the distance of the share that is held from the share that should be ``[N, L]``.

    Source: Kuleshov, Fenner and Ermon 2018, equation 9 with absolute distances, at four levels.
    """
    return float(np.abs(np.nanmean(covered, axis=0) - np.array(LEVELS)).mean())


def resolution(sd: Floats, miss: Floats, unit: Codes) -> float:
    """Spearman over units of the predicted variance with the squared error of what it is the variance of.

    Args:
        sd: Mean predicted variance of each item ``[N]``.
        miss: Mean squared error of each item ``[N]``.
        unit: Unit of each item ``[N]``.

    Returns:
        NaN with fewer than three units, or where one of the two is constant.
    """
    n = int(unit.max()) + 1
    said, wrong = (group_means(x, unit, n) for x in (sd, miss))
    known = np.isfinite(said) & np.isfinite(wrong)
    if known.sum() < 3 or np.ptp(said[known]) <= 1e-12 or np.ptp(wrong[known]) <= 1e-12:
        return float("nan")
    return float(spearmanr(said[known], wrong[known]).statistic)


def of_networks(truth: Truth, each: Floats, y_hat: Floats, constant: Floats) -> Spread:
    """Shifts of units beside the mean and the spread of networks; what is not known of the truth is added to it.

    Args:
        truth: Of the task, of T units and G genes.
        each: Means that each of K > 1 networks predicts ``[K, T, G]``.
        y_hat: What they predict together ``[T, G]``.
        constant: Standard deviation of the error on val units ``[G]``; NaN where there are none.
    """
    variance = each.var(axis=0, ddof=1)
    case = align(truth, y_hat)
    return Spread(
        f"the spread of {len(each)} networks, and the sampling noise of the truth",
        np.log(np.maximum(variance, 1e-12)).mean(axis=1),
        np.asarray(((y_hat - truth.y) ** 2).mean(axis=1)),
        case.d_hat,
        np.sqrt(variance + sampling_variance(truth)),
        case.d,
        case.scored,
        constant,
        np.arange(len(truth.units)),
        truth.units,
    )


def rows(inputs: SuiteInputs) -> Sequence[Row]:
    """All measures of the evaluation."""
    spread = inputs.spread
    if spread is None:
        return [absent(NAME, "coverage error", inputs.why("uncertainty"))]
    members = [np.flatnonzero(spread.unit == u) for u in range(int(spread.unit.max()) + 1)]
    members = [rows for rows in members if len(rows)]
    covered = coverage((spread.target - spread.mean) / np.maximum(spread.sd, 1e-12), spread.counted)
    plain = coverage((spread.target - spread.mean) / np.maximum(spread.constant, 1e-12), spread.counted)

    def of(which: NDArray[np.int64]) -> float:
        return calibration_error(covered[np.concatenate([members[u] for u in which.tolist()])])

    error = resampled(of, len(members))
    return [
        Row(
            NAME,
            "coverage error",
            number(published_ece(spread.score, spread.error)),
            None,
            *error.numbers,
            number(calibration_error(plain)),
            "one SD for all, from val",
            None,
            error.n,
            f"{spread.kind}; published: min-max 'ECE' (monotone {published_monotone(spread.score, spread.error):.2f}); "
            f"90% intervals hold {np.nanmean(covered[:, 2]):.0%}",
        ),
        _resolution(spread, members),
    ]


def _resolution(spread: Spread, members: list[NDArray[np.int64]]) -> Row:
    weights = spread.counted / np.maximum(spread.counted.sum(axis=1, keepdims=True), 1)
    said = (spread.sd**2 * weights).sum(axis=1)
    wrong = ((spread.target - spread.mean) ** 2 * weights).sum(axis=1)

    def of(which: NDArray[np.int64]) -> float:
        rows = np.concatenate([members[u] for u in which.tolist()])
        drawn = np.repeat(np.arange(len(which)), [len(members[u]) for u in which.tolist()])
        return resolution(said[rows], wrong[rows], drawn)

    value = resampled(of, len(members), seed=1)
    return Row(
        NAME,
        "uncertainty and error",
        number(published_r(spread.score, spread.error)),
        0.0,
        *value.numbers,
        0.0,
        "one SD for all",
        None,
        value.n,
        "published: r with the error of expression; corrected: rank correlation over perturbations with the error of "
        "what the variance is of",
    )
