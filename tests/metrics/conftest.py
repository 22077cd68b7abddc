"""Cases to evaluate: a random screen, with the truth that the contract needs to hold exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bench.metrics import Case, GearsCase

MakeCase = Callable[..., Case]
Predict = Callable[[Case, np.ndarray], Case]


def build_case(seed: int = 0, conditions: int = 12, genes: int = 120, awkward: bool = False) -> Case:
    """A screen with one target per condition; abs z follows abs d, so that a perfect prediction ranks DE perfectly.

    `awkward` adds one condition of each kind for which some metric is undefined.
    """
    rng = np.random.default_rng(seed)
    control = rng.gamma(2.0, 0.7, genes)
    expressed = rng.random(genes) < 0.9
    d = rng.normal(0.0, 0.3, (conditions, genes)) * rng.gamma(1.0, 1.0, (conditions, genes))
    m = rng.normal(0.0, 0.05, genes)
    d += m
    scored = np.tile(expressed, (conditions, 1))
    scored[np.arange(conditions), rng.integers(0, genes, conditions)] = False
    significant = np.abs(d) > 0.3
    if awkward:
        d[0] = 0.0  # no effect at all
        d[1] = 0.25  # the same shift everywhere
        significant[2] = False
        significant[3, :] = False
        significant[3, np.flatnonzero(scored[3])[:4]] = True  # one short of the five needed
        scored[4, np.flatnonzero(scored[4])[15:]] = False  # fewer genes than the top 20
    de_z = 10.0 * d
    y = control + d
    de_genes = np.argsort(-np.abs(d), axis=1)[:, :20]
    return Case(
        y=y,
        y_hat=y.copy(),
        d=d,
        d_hat=d.copy(),
        scored=scored,
        gallery_scored=scored.all(axis=0),
        train_delta=m,
        control_sd=rng.gamma(2.0, 0.3, genes) * expressed,
        expressed=expressed,
        de_z=de_z,
        significant=significant,
        gears=GearsCase(y=y, control=control + rng.normal(0, 0.01, genes), de_genes=de_genes),
    )


def predict_shift(case: Case, d_hat: np.ndarray) -> Case:
    """The same truth with another prediction, handed in as shifts from the case's own controls."""
    c_in = case.y_hat - case.d_hat
    return replace(case, d_hat=d_hat, y_hat=c_in + d_hat)


@pytest.fixture(scope="session")
def make_case() -> MakeCase:
    return build_case


@pytest.fixture(scope="session")
def predict() -> Predict:
    return predict_shift
