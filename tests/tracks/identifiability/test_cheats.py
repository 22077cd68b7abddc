"""Answers that know too little: what each would earn by a looser rule, and earns here."""

import numpy as np
import pytest

from bench.core.errors import BenchError
from bench.results.latents import Latents
from bench.tracks.identifiability.match import mean_correlation, within
from bench.tracks.identifiability.references import REFERENCES
from bench.tracks.identifiability.score import score


def mcc_within(problem, z):
    place = problem.code * 2 + problem.half
    return mean_correlation(within(problem.z_v, place), within(z, place), problem.half)


def test_the_truth_in_any_order_and_scale_has_one(problem):
    rng = np.random.default_rng(0)
    scale = np.array([-3.0, 0.1, 20.0, -1.0])
    turned = problem.z_i @ rng.normal(size=(3, 3))  # the background is known up to a linear map
    found = score(problem, Latents(scale * problem.z_v[:, [2, 0, 3, 1]], turned))
    for name in ("mcc_within", "mcc_pooled", "mcc_within_spearman", "mcc_pooled_spearman", "mask_f1"):
        assert found[name] == pytest.approx(1, abs=1e-6), name
    assert found["r2_i"] > 0.999 and found["r2_v"] > 0.999
    for name in ("leak_v", "leak_i", "label_i"):
        assert abs(found[name]) < 0.15, name


def test_a_look_up_of_the_perturbation_is_pooled_what_the_formula_says_and_within_nothing(problem):
    found = score(problem, REFERENCES["look_up"].make(problem, 1))
    # E[z | u] against z: the root of the share of variance that is between conditions.
    z, code = problem.z_v, problem.code
    means = np.stack([z[code == c].mean(axis=0) for c in range(problem.control + 1)])[code]
    wanted = np.sqrt(means.var(axis=0) / z.var(axis=0)).mean()
    assert found["mcc_pooled"] == pytest.approx(wanted, abs=0.03) and wanted > 0.8
    assert abs(found["mcc_within"]) < 0.02 and abs(found["mcc_within_spearman"]) < 0.1
    assert found["label_v"] > 0.99


def test_a_look_up_with_noise_in_it_has_nothing_within(problem):
    rng = np.random.default_rng(1)
    exact = REFERENCES["look_up"].make(problem, 1).z
    levels = [mcc_within(problem, exact + 0.3 * rng.normal(size=exact.shape)) for _ in range(12)]
    again = exact + 0.3 * np.random.default_rng(1).normal(size=exact.shape)
    assert levels[0] == score(problem, Latents(again))["mcc_within"]
    assert abs(np.mean(levels)) < 4 * np.std(levels) / np.sqrt(12) + 0.01


def test_a_column_handed_in_twice_counts_once(problem):
    one = score(problem, Latents(problem.z_v[:, [0]]))["mcc_within"]
    copies = score(problem, Latents(problem.z_v[:, [0, 0, 0, 0, 0, 0, 0]]))["mcc_within"]
    # A copy may stand for another latent too, by no more than true latents are alike by chance.
    assert one == pytest.approx(0.25, abs=1e-6) and copies < 0.25 + 0.1


def test_signs_that_change_with_the_perturbation_are_no_latent(problem):
    sign = np.where(np.random.default_rng(2).permutation(problem.control + 1) % 2, 1.0, -1.0)[problem.code]
    assert score(problem, Latents(problem.z_v * sign[:, None]))["mcc_within"] < 0.35
    assert score(problem, Latents(problem.z_v))["mcc_within"] == pytest.approx(1, abs=1e-6)


def test_signs_and_matching_are_not_fitted_on_what_is_judged(problem):
    wrong = problem.z_v.copy()
    wrong[~problem.half] *= -1.0  # right by its absolute value in either half
    assert score(problem, Latents(wrong))["mcc_within"] == pytest.approx(-1, abs=1e-6)


def test_many_latents_are_refused(problem):
    wide = np.random.default_rng(3).normal(size=(len(problem.held), 500))
    with pytest.raises(BenchError, match="500 latents, and 7 true ones"):
        score(problem, Latents(wide))
    with pytest.raises(BenchError, match="8 latents, and 7"):
        score(problem, Latents(wide[:, :4], wide[:, :4]))


def test_latents_that_are_no_numbers_or_of_other_cells_are_refused(problem):
    bad = problem.z_v.copy()
    bad[3, 1] = np.nan
    with pytest.raises(BenchError, match=r"NaN or infinite in 1 of"):
        score(problem, Latents(bad))
    with pytest.raises(BenchError, match="held-out cells"):
        score(problem, Latents(problem.z_v[:-1]))
    constant = score(problem, Latents(np.ones_like(problem.z_v)))
    assert constant["mcc_within"] == 0 and constant["mcc_pooled"] == 0 and constant["label_v"] == 0


def test_noise_earns_nothing(problem):
    found = [REFERENCES["noise"].make(problem, seed).z for seed in range(20)]
    pooled = [mean_correlation(problem.z_v, z, problem.half) for z in found]
    for levels in (pooled, [mcc_within(problem, z) for z in found]):
        assert abs(np.mean(levels)) < 4 * np.std(levels) / np.sqrt(20) + 0.01


def test_a_background_that_holds_everything_is_seen_to_leak(problem):
    both = np.hstack([problem.z_v, problem.z_i])
    found = score(problem, Latents(problem.z_v[:, :1], both[:, :6]))
    assert found["leak_v"] > 0.9 and found["label_i"] > 0.3


def test_a_rotation_keeps_the_block_and_loses_the_axes(problem):
    found = score(problem, REFERENCES["random_rotation"].make(problem, 1))
    assert found["r2_v"] > 0.999 and found["r2_i"] > 0.999 and found["mcc_within"] < 0.95
