"""Corrections against independent formulas, and that they are fitted on negative controls alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from plates import small
from sklearn.covariance import ledoit_wolf

from bench.tracks.matching.correction import correct
from bench.tracks.matching.options import Options


@pytest.fixture(scope="module")
def wells():
    return small()


@pytest.mark.parametrize("name", ["kpca", "sphering", "plate_z"])
def test_treated_wells_move_no_other_well(wells, name):
    treated = int(np.flatnonzero(~wells.control)[0])
    x = wells.x.copy()
    x[treated] *= -40
    before, after = (correct(each, Options(correction=name)).x for each in (wells, replace(wells, x=x)))
    others = np.arange(len(wells)) != treated
    assert np.abs(before[others] - after[others]).max() < 1e-9
    assert np.abs(before[treated] - after[treated]).max() > 1


def test_plate_z_by_hand(wells):
    found = correct(wells, Options(correction="plate_z"))
    for plate in np.unique(wells.plate):
        here = wells.plate == plate
        fit = wells.x[here & wells.control]
        wanted = (wells.x[here] - fit.mean(0)) / fit.std(0)
        assert np.abs(found.x[here] - wanted).max() < 1e-9
    assert found.n_controls == wells.control.sum()


def test_kernel_pca_is_the_projection_on_the_controls_axes(wells):
    found = correct(wells, Options(correction="kpca"))
    n = int(wells.control.sum())
    assert (found.n_controls, found.n_components) == (n, min(500, n - 1, wells.x.shape[1]))
    fit = wells.x[wells.control]
    axes = np.linalg.svd(fit - fit.mean(0), full_matrices=False)[2][: found.n_components]
    wanted = (wells.x - fit.mean(0)) @ axes.T
    strong = wanted.std(0) > 1e-6 * wanted.std(0).max()
    signs = np.sign((found.x * wanted).sum(0))
    assert np.abs(found.x * signs - wanted)[:, strong].max() < 1e-6 * np.abs(wanted).max()


def test_sphering_by_the_inverse_root_of_the_shrunk_covariance(wells):
    found = correct(wells, Options(correction="sphering"))
    fit = wells.x[wells.control]
    z = (wells.x - fit.mean(0)) / fit.std(0)
    covariance = ledoit_wolf((fit - fit.mean(0)) / fit.std(0))[0]
    wanted = z @ np.real(scipy.linalg.inv(scipy.linalg.sqrtm(covariance)))
    assert np.abs(found.x - wanted).max() < 1e-7 * np.abs(wanted).max() + 1e-9


def test_scaling_by_all_wells_of_a_plate(wells):
    found = correct(wells, Options(plate_scale="wells")).x
    for plate in np.unique(wells.plate):
        block = found[wells.plate == plate]
        assert np.abs(block.mean(0)).max() < 1e-9
        assert np.abs(block.std(0) - 1).max() < 1e-9


def test_too_few_controls_are_named(wells):
    first = wells.plate[0]
    rows = np.flatnonzero(~(wells.control & (wells.plate == first)) | (np.arange(len(wells)) % 5 == 0))
    few = wells.take(rows)
    found = correct(few, Options(correction="plate_z"))
    assert (found.limited == (few.plate == first)).all()
    assert not correct(few, Options(correction="kpca")).limited.any()
