"""Distribution: do predicted cells differ from each other as real ones do? Only for models that emit cells.

The predictive distribution is that of a *single cell* of the condition, as the predicted cells give it. `e_distance`
and `mmd` compare samples in the leading principal components of train cells, the condition's own targets held at the
mean; `crps` and `coverage` compare them gene by gene on the panel: the 50 genes whose train condition means vary most.
`nll` and `error_uncertainty_rho` use the predicted cells' mean and variance on every scored gene.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics.case import Case
from bench.metrics.functional import BoolT, FloatT, FloatTG, spearman, weighted_mean
from bench.metrics.parts import CellsCase
from bench.metrics.pattern import floored_control_sd
from bench.metrics.registry import metric
from bench.metrics.samples import coverage, crps, energy_distance, mmd_squared

NEEDS = frozenset({"cells"})
#: Smallest predicted SD that a likelihood believes, in units of the train-control SD.
SD_FLOOR = 0.1


def both(case: Case) -> CellsCase:
    """The cells; `evaluate` asks only where there are some."""
    assert case.cells is not None
    return case.cells


def too_few(case: Case) -> BoolT:
    """Fewer than two held-out cells."""
    return both(case).too_few


def by_condition(case: Case, values: str, of: Callable[[NDArray[Any], NDArray[Any]], float], equal: bool) -> FloatT:
    """Compare predicted with true cells of each condition, [T]; with `equal`, as many of the one as of the other."""
    cells, out = both(case), np.full(len(case.y), np.nan)
    for t in np.flatnonzero(~cells.too_few).tolist():
        x, y = (getattr(side, values)[side.begins[t] : side.begins[t + 1]] for side in (cells.predicted, cells.truth))
        n = min(len(x), len(y)) if equal else max(len(x), len(y))
        out[t] = of(x[:n], y[:n])
    return out


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
def e_distance(case: Case) -> FloatT:
    """Energy distance of equally many cells, [T]. Undefined: under two held-out cells."""
    return by_condition(case, "scores", energy_distance, equal=True)


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
def mmd(case: Case) -> FloatT:
    """Squared maximum mean discrepancy of equally many cells, [T]. Undefined: under two held-out cells."""
    return by_condition(case, "scores", mmd_squared, equal=True)


def predicted_variance(case: Case) -> FloatTG:
    """Predicted cells' variance, [T, G], at least (10% of the floored train-control SD)^2."""
    floor = (SD_FLOOR * floored_control_sd(case)) ** 2
    return np.maximum(np.asarray(both(case).predicted.variance, dtype=np.float64), floor)


@metric(
    "nll",
    better="low",
    chance=None,
    range=(-math.inf, math.inf),
    needs=NEEDS,
    undefined=lambda case: too_few(case) | ~case.scored.any(axis=1),
    formula="mean over scored genes and cells of log(2 pi v) / 2 + (x - y_hat)^2 / 2v, v = predicted variance",
    source="Gaussian negative log-likelihood of the condition's cells, from their mean and variance",
    trap="a variance near 0 would win on silent genes: v is at least (10% of the train-control SD)^2. Expression is no "
    "Gaussian: compare models, do not read it as nats",
)
def nll(case: Case) -> FloatT:
    """Gaussian negative log-likelihood per gene, [T]. Undefined: under two held-out cells."""
    v = predicted_variance(case)
    error = np.asarray(both(case).truth.variance, dtype=np.float64) + (case.y - case.y_hat) ** 2
    return weighted_mean(0.5 * np.log(2.0 * math.pi * v) + error / (2.0 * v), case.scored)


@metric(
    "crps",
    better="low",
    chance=None,
    range=(-math.inf, math.inf),
    needs=NEEDS,
    undefined=too_few,
    formula="mean over panel genes and held-out cells x of E abs(X - x) - E abs(X - X') / 2, distinct predicted X, X'",
    source="Gneiting and Raftery 2007; fair form: Ferro 2014",
    trap="the plain sample form punishes models that emit fewer cells",
)
def crps_panel(case: Case) -> FloatT:
    """Continuous ranked probability score, [T]. Undefined: under two held-out cells."""
    return by_condition(case, "panel", lambda x, y: _mean(crps(x, y)), equal=False)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else 0.0


def _register_coverage(percent: int) -> None:
    def compute(case: Case) -> FloatT:
        return by_condition(case, "panel", lambda x, y: _mean(coverage(x, y, percent / 100)), equal=False)

    metric(
        f"coverage{percent}",
        better="none",
        chance=None,
        range=(0.0, 1.0),
        needs=NEEDS,
        ranked=False,
        undefined=too_few,
        formula=f"share of held-out values whose randomised rank among the predicted cells' lies in the central "
        f"{percent}%, panel genes; .{percent} is right",
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
    undefined=lambda case: too_few(case) | (case.scored.sum(axis=1) < 2),
    formula="Spearman of abs(d_hat - d) with the predicted cells' SD over scored genes",
    source="error-uncertainty correlation of BioJEPAC's evaluation 4, here per gene and condition",
    trap="loud genes vary more and are missed by more: control cells as a prediction score above 0, so never ranked",
)
def error_uncertainty_rho(case: Case) -> FloatT:
    """Does the model vary where it errs? [T]. Undefined: under two held-out cells. Degenerate: 0."""
    sd = np.sqrt(np.asarray(both(case).predicted.variance, dtype=np.float64))
    return spearman(np.abs(case.d_hat - case.d), sd, case.scored)
