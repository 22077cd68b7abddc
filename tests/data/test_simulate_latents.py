"""Cells of known latents: the truth is what the parameters say, and what a claim assumes is broken one at a time."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from bench.core.errors import BenchError
from bench.data.cards import find_card
from bench.data.load import resolve
from bench.data.simulate.card import parameters_of
from bench.data.simulate.latents.effects import draw_effects, settle
from bench.data.simulate.latents.mixing import draw_mixing, mix, unmix
from bench.data.simulate.latents.parameters import G1, G2, G3
from bench.data.simulate.latents.truth import block_scales, draw_genes, simulate_latents

TINY = replace(G1, perturbations=12, cells=60, controls=150, d_v=4, d_i=3, genes=20)


def cosines(shifts):
    unit = shifts / np.linalg.norm(shifts, axis=1, keepdims=True)
    return (unit @ unit.T)[np.triu_indices(len(unit), 1)]


def test_the_same_parameters_give_the_same_cells_and_a_seed_gives_others():
    one, two, other = (simulate_latents(p) for p in (TINY, TINY, replace(TINY, seed=1)))
    assert (one.counts != two.counts).nnz == 0 and (one.ncounts == two.ncounts).all()
    assert (one.truth.z_v == two.truth.z_v).all() and (one.condition == two.condition).all()
    assert (one.counts != other.counts).nnz > 0
    assert len(set(one.barcodes)) == len(one.barcodes) == 12 * 60 + 150
    assert set(one.condition) == {f"P{i:02d}+ctrl" for i in range(12)} | {"ctrl"}
    assert (one.ncounts >= np.asarray(one.counts.sum(axis=1)).ravel()).all()


@pytest.mark.parametrize(("name", "wanted"), [("g1", G1), ("g2", G2), ("g3", G3)])
def test_the_cards_hold_the_parameters_of_the_code(name, wanted):
    assert asdict(parameters_of(find_card(name))) == asdict(wanted)
    assert resolve(f"{name}:seed=3")[0].name == f"{name}_seed3"


def test_a_mixing_is_orthogonal_and_can_be_undone():
    rng = np.random.default_rng(0)
    mixing = draw_mixing(7, 20, 3, rng)
    for weights, _ in mixing:
        assert np.allclose(weights @ weights.T, np.eye(len(weights)), atol=1e-10)
    z = rng.normal(0, 3, (50, 7))
    mixed = mix(z, mixing, 0.2)
    assert np.allclose(unmix(mixed, mixing, 0.2), z, atol=1e-8)
    straight = np.linalg.lstsq(np.column_stack([z, np.ones(50)]), mixed, rcond=None)[0]
    assert np.abs(np.column_stack([z, np.ones(50)]) @ straight - mixed).max() > 0.1  # and it is not linear


def test_perturbations_hit_few_latents_and_all_latents_are_hit():
    effects = draw_effects(G1, np.random.default_rng(1))
    hits = effects.mask.sum(axis=1)
    assert set(hits) == {1, 2, 3} and (effects.mask.sum(axis=0) >= 10).all()
    sizes = np.abs(effects.shifts[effects.mask])
    assert (effects.shifts[~effects.mask] == 0).all()
    assert sizes.mean() == pytest.approx(5, abs=0.15) and sizes.std() == pytest.approx(0.5, abs=0.1)
    assert 0.35 < (effects.shifts[effects.mask] > 0).mean() < 0.65


def test_each_assumption_is_broken_by_one_parameter_alone():
    dense = draw_effects(replace(G1, min_hits=10, max_hits=10), np.random.default_rng(1))
    assert dense.mask.all()
    alone, together = (draw_effects(replace(G1, rho=rho), np.random.default_rng(1)).shifts for rho in (0.0, 0.5))
    assert abs(cosines(alone).mean()) < 0.05
    assert (together[:, 1:] == alone[:, 1:]).all()
    products = together @ together.T
    off = (products.sum() - np.trace(products)) / (100 * 99)
    assert off / (np.trace(products) / 100) == pytest.approx(0.5, abs=0.03)
    unequal = draw_effects(replace(G1, strength_sd=1.0), np.random.default_rng(1)).shifts
    assert np.log(np.linalg.norm(unequal, axis=1)).std() > 3 * np.log(np.linalg.norm(alone, axis=1)).std()
    few = draw_effects(replace(G1, perturbations=5), np.random.default_rng(1))
    assert len(few.mask) == 5


@pytest.mark.parametrize("ratio", [1.0, 10.0, 50.0])
def test_the_ratio_is_that_of_the_variances_and_leaves_their_sum_alone(ratio):
    p = replace(TINY, ratio=ratio, min_hits=2, max_hits=2)
    cells = simulate_latents(p)
    shifts = cells.truth.effects.shifts
    a, b = block_scales(p, shifts)
    perturbed = cells.condition != "ctrl"  # the mean square of a shift is over perturbations
    response = ((a * cells.truth.z_v[perturbed]) ** 2).sum(axis=1).mean()
    background = ((b * cells.truth.z_i) ** 2).sum(axis=1).mean()
    assert background / response == pytest.approx(ratio, rel=0.15)
    before = 4 + (shifts**2).sum(axis=1).mean() + 3
    assert a**2 * (before - 3) + b**2 * 3 == pytest.approx(before, rel=1e-9)


def test_latents_settle_as_the_linear_model_says():
    rng = np.random.default_rng(2)
    graph = np.tril(rng.normal(size=(5, 5)), -1)
    exogenous = rng.normal(size=(40, 5))
    assert np.allclose(settle(exogenous, graph, False), exogenous @ np.linalg.inv(np.eye(5) - graph).T, atol=1e-9)
    chain = np.eye(3, k=-1)
    assert settle(np.array([[-2.0, 3.0, 1.0]]), chain, True).tolist() == [[-2.0, 3.0, 4.0]]
    assert settle(np.array([[-2.0, 3.0, 1.0]]), chain, False).tolist() == [[-2.0, 1.0, 2.0]]


def test_the_chain_passes_shifts_on_and_doubles_add_up():
    truth = simulate_latents(replace(G2, cells=400)).truth
    means = np.stack([truth.z_v[truth.code == c].mean(axis=0) for c in range(len(truth.conditions))])
    singles, doubles = means[:5] - means[-1], means[5:15] - means[-1]
    total = truth.effects.shifts @ np.linalg.inv(np.eye(5) - truth.effects.graph).T
    assert np.abs(singles - total).max() < 0.8  # five standard errors of a sum of up to five unit noises
    assert np.abs(doubles - total[truth.effects.pairs].sum(axis=1)).max() < 0.8
    assert sorted(truth.conditions[5:15]) == sorted(f"P{i}+P{j}" for i in range(5) for j in range(i + 1, 5))


def test_depth_batches_and_noise_are_what_was_asked_for():
    cells = simulate_latents(TINY)
    assert np.median(cells.ncounts) == pytest.approx(13_000, rel=0.05)
    assert np.log(cells.ncounts).std() == pytest.approx(0.36, abs=0.04)
    controls = cells.condition == "ctrl"

    def spread(p):
        drawn = simulate_latents(p)
        x = np.log(drawn.counts.toarray()[controls] + 1.0)
        means = np.stack([x[drawn.batch[controls] == b].mean(axis=0) for b in np.unique(drawn.batch)])
        return means.std(axis=0).mean(), x.std(axis=0).mean()

    (between, within), (apart, _), (_, noisy) = map(
        spread, (TINY, replace(TINY, batch_sd=1.0), replace(TINY, dispersion=1.0))
    )
    assert apart > 3 * between and noisy > 1.2 * within


def test_the_genes_of_a_screen_are_known_without_its_cells():
    drawn = draw_genes(TINY)
    assert (drawn.outgoing == simulate_latents(TINY).truth.effects.shifts).all() and not drawn.feature_tables


@pytest.mark.parametrize(
    "parameters",
    ["cells=5", "d_v=0", "max_hits=11", "min_hits=4", "genes=20", "rho=1", "slope=0", "doubles=5000", "graph=ring",
     "noise=-1", "magnitude=-1", "perturbation=3"],
)  # fmt: skip
def test_parameters_that_make_no_screen_are_refused(parameters):
    with pytest.raises(BenchError, match=parameters.partition("=")[0]):
        parameters_of(resolve(f"g1:{parameters}")[0])
