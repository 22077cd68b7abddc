"""Distribution: do predicted cells differ from each other as real ones do? Only for models that emit cells.

The predictive distribution is that of a *single cell* of the condition, as the predicted cells give it. `e_distance`
and `mmd` compare samples in the leading principal components of train cells, the condition's own targets held at the
mean; `crps` and `coverage` compare them gene by gene on the markers: the 50 genes whose train condition
means vary most.
`nll` and `error_uncertainty_rho` use the predicted cells' mean and variance on every scored gene.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.tracks.response.metrics.cache import cached
from bench.tracks.response.metrics.distances import (
    Distances,
    FloatNK,
    coverage,
    crps,
    distances,
    energy_distance,
    mmd_squared,
    places,
)
from bench.tracks.response.metrics.evaluation import Evaluation
from bench.tracks.response.metrics.functional import BoolT, FloatT, FloatTG, correlate, divide, weighted_mean
from bench.tracks.response.metrics.optional import CellPair
from bench.tracks.response.metrics.pattern import floored_control_sd
from bench.tracks.response.metrics.ranking import rank_unit
from bench.tracks.response.metrics.registry import metric

R = TypeVar("R")
NEEDS = frozenset({"cells"})
#: Smallest predicted SD that a likelihood believes, in units of the train-control SD.
SD_FLOOR = 0.1


def both(evaluation: Evaluation) -> CellPair:
    """The cells; `evaluate` asks only where there are some."""
    assert evaluation.cells is not None
    return evaluation.cells


def too_few(evaluation: Evaluation) -> BoolT:
    """Fewer than two held-out cells."""
    return both(evaluation).too_few


def by_condition(evaluation: Evaluation, values: str, of: Callable[[NDArray[Any], NDArray[Any]], R]) -> list[R | None]:
    """Compare predicted with true cells of each condition; None under two held-out cells."""
    cells = both(evaluation)
    return [
        None if few else of(cells.predicted.of(t, values), cells.truth.of(t, values))
        for t, few in enumerate(cells.too_few.tolist())
    ]


def numbers(of: Callable[[R], float], compared: Iterable[R | None]) -> FloatT:
    """One number per condition, [T]; NaN where nothing was compared."""
    return np.array([math.nan if one is None else of(one) for one in compared], dtype=np.float64)


@cached("both")
def equal_distances(evaluation: Evaluation) -> list[Distances | None]:
    """Squared distances of as many predicted as true cells, by condition."""

    def of(x: NDArray[Any], y: NDArray[Any]) -> Distances:
        n = min(len(x), len(y))
        return distances(x[:n], y[:n])

    return by_condition(evaluation, "scores", of)


@cached("both")
def panel_places(evaluation: Evaluation) -> list[tuple[FloatNK, FloatNK] | None]:
    """Where the held-out values of markers stand among the predicted ones, by condition."""
    return by_condition(evaluation, "markers", places)


@metric(
    "e_distance",
    better="low",
    chance=None,
    range=(-math.inf, math.inf),
    needs=NEEDS,
    undefined=too_few,
    formula="2 E||X - Y|| - E||X - X'|| - E||Y - Y'||, predicted X, held-out Y, PCA-50 of train cells, U form",
    source="Szekely and Rizzo 2013; Peidli et al. 2024 (scPerturb), with squared distances",
    trap="the usual form counts a cell's distance 0 to itself: fewer cells look farther apart. Here 0 is right, at "
    "every number of cells, and values below 0 are noise",
)
def e_distance(evaluation: Evaluation) -> FloatT:
    """Energy distance of equally many cells, [T]. Undefined: under two held-out cells."""
    return numbers(energy_distance, equal_distances(evaluation))


@metric(
    "mmd",
    better="low",
    chance=None,
    range=(-math.inf, math.inf),
    needs=NEEDS,
    undefined=too_few,
    formula="E k(X, X') + E k(Y, Y') - 2 E k(X, Y), U form, k = mean RBF kernel at 1/2, 1, 2 x the median heuristic",
    source="Gretton et al. 2012; used by CPA and CellFlow, among others",
    trap="a bandwidth taken from the prediction widens with its spread; here the truth fixes it",
)
def mmd(evaluation: Evaluation) -> FloatT:
    """Squared maximum mean discrepancy of equally many cells, [T]. Undefined: under two held-out cells."""
    return numbers(mmd_squared, equal_distances(evaluation))


@cached("spread")
def log_variance_and_precision(evaluation: Evaluation) -> tuple[FloatT, FloatTG]:
    """Of the predicted cells' variance v, at least (10% of the floored train-control SD)^2, over scored genes.

    Returns:
        Mean of log(2 pi v) / 2, [T], and 1 / 2v, [T, G], 0 elsewhere.
    """
    floor = (SD_FLOOR * floored_control_sd(evaluation)) ** 2
    v = np.maximum(np.asarray(both(evaluation).predicted.variance, dtype=np.float64), floor)
    return weighted_mean(0.5 * np.log(2.0 * math.pi * v), evaluation.scored), np.where(evaluation.scored, 0.5 / v, 0.0)


@metric(
    "nll",
    better="low",
    chance=None,
    range=(-math.inf, math.inf),
    needs=NEEDS,
    undefined=lambda evaluation: too_few(evaluation) | ~evaluation.scored.any(axis=1),
    formula="mean over scored genes and cells of log(2 pi v) / 2 + (x - y_hat)^2 / 2v, v = predicted variance",
    source="Gaussian negative log-likelihood of the condition's cells, from their mean and variance",
    trap="a variance near 0 would win on silent genes: v is at least (10% of the train-control SD)^2. Expression is no "
    "Gaussian: compare models, do not read it as nats",
)
def nll(evaluation: Evaluation) -> FloatT:
    """Gaussian negative log-likelihood per gene, [T]. Undefined: under two held-out cells."""
    log_v, precision = log_variance_and_precision(evaluation)
    error = evaluation.y - evaluation.y_hat
    error *= error
    error += both(evaluation).truth.variance
    return log_v + divide(np.asarray(np.vecdot(error, precision)), evaluation.scored.sum(axis=1, dtype=np.float64))


@metric(
    "crps",
    better="low",
    chance=None,
    range=(-math.inf, math.inf),
    needs=NEEDS,
    undefined=too_few,
    formula="mean over markers and held-out cells x of E abs(X - x) - E abs(X - X') / 2, distinct predicted X, X'",
    source="Gneiting and Raftery 2007; fair form: Ferro 2014",
    trap="the plain sample form punishes models that emit fewer cells",
)
def crps_panel(evaluation: Evaluation) -> FloatT:
    """Continuous ranked probability score, [T]. Undefined: under two held-out cells."""
    return numbers(_mean, by_condition(evaluation, "markers", crps))


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else 0.0


def _register_coverage(percent: int) -> None:
    def compute(evaluation: Evaluation) -> FloatT:
        return numbers(lambda place: _mean(coverage(*place, percent / 100)), panel_places(evaluation))

    metric(
        f"coverage{percent}",
        better="none",
        chance=None,
        range=(0.0, 1.0),
        needs=NEEDS,
        ranked=False,
        undefined=too_few,
        formula=f"share of held-out values whose randomised rank among the predicted cells' lies in the central "
        f"{percent}%, markers; .{percent} is right",
        source="randomised probability integral transform: Smith 1985; Czado, Gneiting and Held 2009",
        trap="counts are mostly 0, and an interval that holds 0 covers them all: ties share their ranks here. More is "
        "not better: above the nominal level the cells are spread too widely",
    )(compute)


for _percent in (80, 95):
    _register_coverage(_percent)


@metric(
    "error_uncertainty_rho",
    better="high",
    chance=0.0,
    range=(-1.0, 1.0),
    needs=NEEDS,
    ranked=False,
    undefined=lambda evaluation: too_few(evaluation) | (evaluation.scored.sum(axis=1) < 2),
    formula="Spearman of abs(d_hat - d) with the predicted cells' SD over scored genes",
    source="error-uncertainty correlation of BioJEPAC's evaluation 4, here per gene and condition",
    trap="loud genes vary more and are missed by more: control cells as a prediction score above 0, so never ranked",
)
def error_uncertainty_rho(evaluation: Evaluation) -> FloatT:
    """Does the model vary where it errs? [T]. Undefined: under two held-out cells. Degenerate: 0."""
    return correlate(
        rank_unit(np.abs(evaluation.d_hat - evaluation.d), evaluation.scored), predicted_sd_ranks(evaluation)
    )


@cached("spread")
def predicted_sd_ranks(evaluation: Evaluation) -> FloatTG:
    """Ranks of the predicted cells' SD, standardised, [T, G]."""
    return rank_unit(np.sqrt(np.asarray(both(evaluation).predicted.variance, dtype=np.float64)), evaluation.scored)
