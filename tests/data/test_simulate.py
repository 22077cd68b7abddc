"""The embedded data set is a meaningful one: its ratios are those of real screens, measured on the cells.

The bounds were set first; the parameters were then fitted to them on seeds 0-5, before any
model was run. The statistics see the cells and never the generator (`simulation_statistics`).
"""

import re
import time
from dataclasses import asdict, dataclass, replace
from functools import cache
from json import dumps

import numpy as np
import pytest
from simulation_statistics import (
    Floats,
    Screen,
    Split,
    control_loadings,
    epistasis_z,
    gears_split,
    headroom_z,
    pearson_delta,
    replicate_pearson,
    ridge_shifts,
    screen,
    signal_to_noise,
    significant_genes,
    systematic_share,
    top5_share,
    train_mean_shift,
)

from bench.core.errors import BenchError
from bench.data.cards import find_card, names
from bench.data.load import resolve
from bench.data.simulate.card import asked_as, parameters_of
from bench.data.simulate.screens import SIMULATED, SIMULATED_HARD, Simulation, SimulationParameters, simulate

SPLIT_SEEDS = (1, 2, 3)
QUANTILES = [0.1, 0.25, 0.5, 0.75, 0.9]
SEEDS = [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
SMALL = SimulationParameters(n_genes=60, n_singles=8, n_doubles=6, cells_per_condition=20, n_controls=50)


@dataclass(frozen=True)
class Drawn:
    simulation: Simulation
    screen: Screen
    splits: list[Split]

    def rows(self) -> list[int]:
        """Rows of the truth in the order of the screen's conditions."""
        at = {str(c): i for i, c in enumerate(self.simulation.truth.conditions)}
        return [at[c] for c in self.screen.conditions]


@cache
def drawn(parameters: SimulationParameters) -> Drawn:
    simulation = simulate(parameters)
    splits = [gears_split([str(c) for c in np.unique(simulation.condition)], seed) for seed in SPLIT_SEEDS]
    return Drawn(simulation, screen(simulation), splits)


@pytest.fixture(params=SEEDS)
def strong(request: pytest.FixtureRequest) -> Drawn:
    return drawn(replace(SIMULATED, seed=request.param))


@pytest.fixture(params=SEEDS)
def weak(request: pytest.FixtureRequest) -> Drawn:
    return drawn(replace(SIMULATED_HARD, seed=request.param))


def gain(data: Drawn, features: Floats) -> float:
    """Pearson delta of a ridge on `features` less `train_mean`, unseen singles, mean over the splits."""
    s, gains = data.screen, []
    for split in data.splits:
        test = split.test["unseen_single"]
        floor = pearson_delta(s, test, train_mean_shift(s, split))
        gains.append(pearson_delta(s, test, ridge_shifts(s, split, features, test)) - floor)
    return float(np.mean(gains))


@pytest.mark.slow
def test_same_parameters_same_counts_within_ten_seconds() -> None:
    start = time.perf_counter()
    again = simulate(SIMULATED)
    assert time.perf_counter() - start < 10
    first = drawn(SIMULATED).simulation
    np.testing.assert_array_equal(first.counts.toarray(), again.counts.toarray())
    for name in ("ncounts", "genes", "barcodes", "condition", "context", "batch"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    for name, table in first.feature_tables.items():
        np.testing.assert_array_equal(table, again.feature_tables[name])
    small, other = simulate(SMALL), simulate(replace(SMALL, seed=SMALL.seed + 1))
    assert small.ncounts.sum() != other.ncounts.sum()


def test_shapes_names_and_types() -> None:
    data = drawn(SIMULATED).simulation
    truth = data.truth
    assert data.counts.dtype == np.int32 and data.counts.shape[1] == len(data.genes) == 500
    assert data.ncounts.dtype == np.int64 and (data.ncounts >= data.counts.sum(axis=1).A1).all()
    assert len(set(data.barcodes)) == data.counts.shape[0]
    names, sizes = np.unique(data.condition, return_counts=True)
    size = dict(zip(names.tolist(), sizes.tolist(), strict=True))
    assert size.pop("ctrl") == 1000
    assert set(size) == set(truth.conditions.tolist())
    assert 45 <= min(size.values()) < max(size.values()) <= 75
    singles = {c.removesuffix("+ctrl") for c in size if c.endswith("+ctrl")}
    doubles = [tuple(c.split("+")) for c in size if "ctrl" not in c]
    assert len(singles) == 80 and len(doubles) == len({frozenset(d) for d in doubles}) == 100
    assert singles <= set(data.genes.tolist()) and {g for d in doubles for g in d} == singles
    assert 20 < sum(a > b for a, b in doubles) < 80
    assert all(table.shape[0] == 500 for table in data.feature_tables.values())
    assert len(set(data.context)) == 1 and len(set(data.batch)) == 4
    dumps(asdict(SIMULATED))


def test_small_data_sets_without_doubles_and_bad_designs() -> None:
    assert simulate(replace(SMALL, n_doubles=0)).truth.conditions.shape == (8,)
    with pytest.raises(ValueError, match="n_singles = 60"):
        replace(SMALL, n_singles=60)
    with pytest.raises(ValueError, match="n_doubles = 28"):
        replace(SMALL, n_doubles=28)


def test_counts_and_libraries(strong: Drawn) -> None:
    data, s = strong.simulation, strong.screen
    assert 0.10 <= data.counts.nnz / np.prod(data.counts.shape) <= 0.25
    assert s.expressed.sum() >= 450
    assert 0.35 <= data.ncounts.std() / data.ncounts.mean() <= 0.45
    assert np.median(data.ncounts) == pytest.approx(13_000, rel=0.05)


def test_signal_to_noise(strong: Drawn) -> None:
    signal, noise = signal_to_noise(strong.screen)
    ratio = np.quantile(signal / noise, QUANTILES) / [0.2, 1.2, 6.0, 28.0, 60.0]
    assert ((ratio >= 0.5) & (ratio <= 2.0)).all(), ratio


@pytest.mark.ci
def test_significant_genes(strong: Drawn) -> None:
    found = significant_genes(strong.screen, every=3)
    assert (found >= 20).mean() >= 0.5
    assert (found <= 2).mean() >= 0.1
    truth = strong.simulation.truth
    assert truth.without_effect[:80].mean() >= 0.1


def test_effects_are_neither_a_few_genes_nor_one_direction(strong: Drawn) -> None:
    assert np.median(top5_share(strong.screen)) <= 0.5
    assert 0.08 <= systematic_share(strong.screen) <= 0.2


def test_replicate_stands_above_train_mean(strong: Drawn) -> None:
    s = strong.screen
    assert 0.55 <= replicate_pearson(s).mean() <= 0.75
    for split in strong.splits:
        test = [c for part in split.test.values() for c in part]
        assert 0.15 <= pearson_delta(s, test, train_mean_shift(s, split)) <= 0.45
    assert headroom_z(s, strong.splits) > 3


@pytest.mark.ci
def test_features_that_know_something_help_and_random_ones_do_not(strong: Drawn) -> None:
    assert gain(strong, strong.simulation.truth.network_features) >= 0.15
    assert gain(strong, control_loadings(strong.screen)) >= 0.03
    rng = np.random.default_rng(0)
    assert np.mean([gain(strong, rng.standard_normal((500, 10))) for _ in range(3)]) <= 0.02


@pytest.mark.ci
@pytest.mark.parametrize("seed", SEEDS)
def test_planted_interactions_show_only_when_planted(seed: int) -> None:
    on = drawn(replace(SIMULATED, seed=seed))
    truth = on.simulation.truth
    planted = {str(truth.conditions[i]): truth.interactions[i] for i in np.flatnonzero(truth.epistatic)}
    assert len(planted) >= 10
    assert epistasis_z(on.screen, planted) > 3
    off = simulate(replace(SIMULATED, seed=seed, epistasis=0.0))
    assert not off.truth.epistatic.any()
    assert np.abs(off.truth.interactions).max() < 1e-12  # rounding of two matrix products
    assert abs(epistasis_z(screen(off), planted)) < 3


def test_gears_split_fills_every_subgroup(strong: Drawn) -> None:
    for split in strong.splits:
        assert len(split.val) >= 10
        assert min(len(part) for part in split.test.values()) >= 5


def test_truth_is_what_the_cells_show(strong: Drawn) -> None:
    s, truth, rows = strong.screen, strong.simulation.truth, strong.rows()
    shifts = np.where(s.kept, truth.shifts[rows], 0.0)
    noise = (s.variances + s.control_variance) * s.kept
    assert ((s.d - shifts) ** 2).sum() / noise.sum() == pytest.approx(1.0, abs=0.1)
    assert (s.d * shifts).sum() / (shifts**2).sum() == pytest.approx(1.0, abs=0.03)
    # Own targets, which the statistics leave out: a knock-down that is always seen.
    names = s.genes
    for i, c in enumerate(s.conditions):
        for gene in c.removesuffix("+ctrl").split("+"):
            g = names.index(gene)
            z = (s.means[i, g] - s.x[s.reference][:, g].mean()) / np.sqrt(s.control_variance[g] + 1e-4)
            assert z < 0
            assert truth.de[rows[i], g]
    # A condition without effect differs from the controls by noise alone. Pooled over genes not averaged
    # over squared z: sixty cells of a rare gene with no count have an estimated variance of zero.
    inert = [i for i, r in enumerate(rows) if truth.without_effect[r]]
    assert (s.d[inert] ** 2).sum() / noise[inert].sum() == pytest.approx(1.0, abs=0.15)
    assert len(truth.network.data) < 0.05 * 500**2


@pytest.mark.ci
def test_single_cell_truth() -> None:
    """Responses of cells of random states average to a condition's shift, and a cell's state shows in its counts."""
    simulation = simulate(SMALL)
    truth = simulation.truth
    states = np.random.default_rng(0).standard_normal((4_000, SMALL.n_modules))
    for i in (0, len(truth.conditions) - 1):
        each = truth.expected_response(SMALL, np.full(len(states), i), states)
        error = each.std(axis=0, ddof=1) / np.sqrt(len(states))
        assert (np.abs(each.mean(axis=0) - truth.shifts[i]) <= 5 * error + 0.01).all()
    controls = simulation.condition == "ctrl"
    shares = np.log1p(1e4 * simulation.counts[controls].toarray() / simulation.ncounts[controls, None])
    scores = (shares - shares.mean(axis=0)) @ truth.modules
    r = [np.corrcoef(scores[:, k], truth.activities[controls, k])[0, 1] for k in range(SMALL.n_modules)]
    assert truth.activities.shape == (len(simulation.condition), SMALL.n_modules) and np.mean(r) > 0.3


def test_weak_screen(weak: Drawn) -> None:
    s = weak.screen
    signal, noise = signal_to_noise(s)
    difference = np.quantile(signal / noise, QUANTILES) - [-0.1, -0.02, 0.13, 0.40, 0.90]
    assert (np.abs(difference) <= [0.08, 0.08, 0.1, 0.2, 0.45]).all(), difference
    assert abs(headroom_z(s, weak.splits)) < 3


def test_the_cards_are_these_parameters() -> None:
    assert replace(SIMULATED, **find_card("simulated").parameters) == SIMULATED
    assert replace(SIMULATED, **find_card("simulated_hard").parameters) == SIMULATED_HARD


def test_another_network_by_name() -> None:
    card, guessed = resolve("simulated_hard:seed=2,n_singles=40")
    assert not guessed
    assert card.name == "simulated_hard_seed2_n_singles40"
    made = parameters_of(card)
    assert (made.seed, made.n_singles) == (2, 40)
    assert made.effect_scale == parameters_of(resolve("simulated_hard")[0]).effect_scale


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("simulated:seed", "expected parameter=value after the colon, got 'seed'"),
        ("simulated:sed=2", "'simulated:sed=2': no parameter 'sed'. Did you mean 'seed'? Parameters: seed, n_genes"),
        ("simulated:n_singles=abc", "'simulated:n_singles=abc': n_singles is 'abc'; expected an integer."),
        ("simulated:n_singles=2.5", "n_singles is 2.5; expected an integer"),
        ("simulated:seed=-1", "seed is -1; expected an integer of at least 0"),
        ("simulated:dispersion=.nan", "dispersion is nan; expected a finite number"),
        ("simulated_contexts:nonlinear=3", "nonlinear is 3; expected true or false"),
        ("g1:foo=3", "'g1:foo=3': no parameter 'foo'. Parameters: seed, perturbations"),
        ("g1:graph=ring", "graph is 'ring'; expected one of none, chain, random"),
        ("norman_slice:seed=2", "parameters are for simulated data"),
        ("simulate:seed=2", "Did you mean 'simulated'"),
        ("simulated:seed=../x", "seed is '../x'; expected an integer"),
    ],
)
def test_names_with_parameters_that_make_no_data(name: str, message: str) -> None:
    with pytest.raises(BenchError, match=re.escape(message)):
        resolve(name)


@pytest.mark.parametrize(
    "given",
    ["simulated:seed=2", "simulated:n_genes=200,n_singles=30", "simulated_hard:seed=1", "simulated:cells_spread=0.3"],
)
def test_a_varied_screen_is_found_by_the_name_that_boards_give_it(given):
    card = resolve(given)[0]
    assert resolve(card.name)[0] == card
    assert asked_as(card.name, names(), find_card) == given


def test_other_names_stay_as_they_are():
    for name in ("simulated", "simulated_hard", "norman_slice", "simulated_seed", "simulated_sed2", "mine_seed2"):
        assert asked_as(name, names(), find_card) == name
