"""What data show of the assumptions, on screens where each is known; noise alone must look like nothing."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from bench.core.errors import BenchError
from bench.data.cards import find_card
from bench.data.load import load
from bench.tracks.identifiability.assumptions import (
    Halves,
    changed_share,
    check,
    effective_rank,
    halves,
    latents_hit,
    mean_cosine,
    varimax,
)

#: A straight mixing, whose gain is small: log expression then turns latents, and bends them hardly.
STRAIGHT = {
    "perturbations": 30,
    "cells": 60,
    "controls": 600,
    "d_v": 6,
    "d_i": 2,
    "genes": 40,
    "layers": 1,
    "gain": 0.3,
}
SMALL = {"cells": 40, "controls": 60, "d_v": 2, "max_hits": 2, "d_i": 1, "genes": 6}


def drawn(**parameters):
    return load(find_card("g1").model_copy(update={"parameters": parameters}))


def measured(**parameters):
    return check(drawn(**{**STRAIGHT, **parameters})).set_index("assumption")["value"]


@pytest.fixture(scope="module")
def plain():
    return measured()


def test_independent_sparse_perturbations_look_so(plain):
    assert plain["perturbations"] == 30 and plain["environments"] == 31
    assert plain["directions"] == pytest.approx(6, abs=1.5)
    assert abs(plain["dependence"]) < 0.1
    assert abs(plain["genes changed, controls"]) < 0.08
    assert abs(plain["batch over effect"]) < 0.03
    assert plain["without effect"] == 0


@pytest.mark.ci
def test_what_is_broken_is_seen(plain):
    alike = measured(rho=0.5)
    assert alike["dependence"] == pytest.approx(0.5, abs=0.12)
    batches = measured(batch_sd=0.5)
    assert batches["batch over effect"] > 0.1 + plain["batch over effect"]
    unequal = measured(strength_sd=1.0)
    assert unequal["spread of strengths"] > 2 * plain["spread of strengths"]
    one, dense = measured(max_hits=1)["latents hit"], measured(min_hits=6, max_hits=6)["latents hit"]
    assert one < 1.5 < 1.8 < dense


def test_noise_alone_is_no_effect():
    nothing = measured(magnitude=0.0)
    assert abs(nothing["genes changed"]) < 0.08
    assert nothing["without effect"] > 0.2
    assert nothing["strength"] < 0.3


def test_cosine_and_rank_are_those_of_the_shifts_and_products_are_free_of_their_noise():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(40, 5)) @ np.linalg.qr(rng.normal(size=(30, 5)))[0].T + 0.1
    exact = Halves(true, true)
    unit = true @ true.T
    off = (unit.sum() - np.trace(unit)) / (40 * 39)
    assert mean_cosine(exact.products) == pytest.approx(off / (np.trace(unit) / 40), abs=1e-9)
    values = PCA(5).fit(true).explained_variance_
    centred = true - true.mean(axis=0)
    assert effective_rank(centred @ centred.T) == pytest.approx(values.sum() ** 2 / (values**2).sum(), rel=1e-6)
    noisy = [
        Halves(*(true + rng.normal(size=true.shape) for _ in range(2))).squares.mean() for _ in range(200)
    ]  # the noise of one half is as large as all of the shift
    assert np.mean(noisy) == pytest.approx((true**2).sum(axis=1).mean(), abs=4 * np.std(noisy) / np.sqrt(200))


def test_axes_are_turned_to_where_effects_are_sparse():
    rng = np.random.default_rng(1)
    sparse = np.eye(4)[rng.integers(0, 4, 60)] * rng.choice([-1.0, 1.0], (60, 1))
    turned = sparse @ np.linalg.qr(rng.normal(size=(12, 4)))[0].T
    assert latents_hit(Halves(turned, turned), 4) == pytest.approx(1, abs=0.02)
    dense = rng.normal(size=(2000, 4)) @ np.linalg.qr(rng.normal(size=(12, 4)))[0].T
    assert latents_hit(Halves(dense, dense), 4) == pytest.approx(2, abs=0.15)
    turn = varimax(rng.normal(size=(50, 4)))
    assert np.allclose(turn.T @ turn, np.eye(4), atol=1e-9)


def test_the_share_of_changed_genes_is_that_of_the_alternatives():
    rng = np.random.default_rng(2)
    z = rng.normal(size=20_000)
    assert abs(changed_share(z)) < 0.03
    z[:6_000] += 8 * rng.choice([-1, 1], 6_000)
    assert changed_share(z) == pytest.approx(0.3, abs=0.03)


def test_one_perturbation_has_nothing_in_common_with_others():
    data = drawn(perturbations=1, **SMALL)
    with pytest.raises(BenchError, match="1 single perturbations with 20 cells"):
        halves(data)
    few = drawn(perturbations=3, **SMALL)
    assert "too few" in check(few, latents=5).set_index("assumption").loc["environments", "meaning"]
