"""The screens in many contexts are meaningful ones: what an encoder can earn there is known before any model is fitted.

The bounds were set first; depth, effect strength and the spread of states were then fitted to them, on floors, true
shift and replicate, with the readings of untrained encoders in sight. `context_statistics` measures them on the cells.
"""

import time
from dataclasses import asdict, replace
from functools import cache
from json import dumps

import numpy as np
import pytest
from context_statistics import ContextScreen, correlations, double_centred, residual_r
from scipy.special import expit

from bench.core.conditions import CONTROL
from bench.core.errors import BenchError
from bench.data.cards import find_card
from bench.data.load import load, resolve
from bench.data.simulate.card import parameters_of
from bench.data.simulate.contexts.cells import draw_cells
from bench.data.simulate.contexts.design import draw_contexts, draw_genes
from bench.data.simulate.contexts.parameters import SIMULATED_CONTEXTS, SIMULATED_CONTEXTS_NONLINEAR, ContextParameters
from bench.data.simulate.contexts.states import gates, response
from bench.data.simulate.contexts.truth import ContextSimulation, simulate_contexts, unit_truth

SMALL = ContextParameters(
    n_genes=80,
    n_contexts=10,
    n_perturbations=6,
    deep_cells=60,
    deep_controls=60,
    cells=25,
    controls=40,
    gene_median=0.5,
)
FORMS = [SIMULATED_CONTEXTS, SIMULATED_CONTEXTS_NONLINEAR]
FORM_NAMES = ["linear", "nonlinear"]


@cache
def drawn(parameters: ContextParameters) -> ContextSimulation:
    return simulate_contexts(parameters)


@pytest.fixture(params=[False, True], ids=FORM_NAMES)
def small(request: pytest.FixtureRequest) -> ContextSimulation:
    return drawn(replace(SMALL, nonlinear=request.param))


def test_shapes_names_and_types(small: ContextSimulation) -> None:
    truth = small.truth
    n = small.counts.shape[0]
    assert small.counts.dtype == np.int32 and small.counts.has_canonical_format and small.counts.shape[1] == 80
    assert small.ncounts.dtype == np.int64 and (small.ncounts >= small.counts.sum(axis=1).A1).all()
    assert len(set(small.barcodes)) == n == len(truth.states.context) == len(truth.gates)
    assert np.median(small.ncounts) == pytest.approx(13_000, rel=0.05)
    contexts, numbers = np.unique(small.context, return_counts=True)
    assert contexts.tolist() == [f"line{i:02d}" for i in range(10)]
    deep = truth.made.deep
    assert deep.sum() == 4 and not deep[:4].all()
    assert numbers[deep].min() > 2 * numbers[~deep].max()
    for context in contexts:
        here = small.context == context
        assert len(set(small.condition[here])) == 7 and len(set(small.batch[here])) == 2
    genes = {name.removesuffix("+ctrl") for name in set(small.condition) - {CONTROL}}
    assert len(genes) == 6 and genes <= set(small.genes.tolist())
    assert truth.shifts.shape == truth.log_fold_changes.shape == (60, 80)
    dumps(asdict(SMALL))


def test_same_parameters_same_cells_and_genes_without_cells(small: ContextSimulation) -> None:
    p = small.truth.parameters
    again = draw_cells(p)
    for name in ("ncounts", "barcodes", "condition", "context", "batch"):
        np.testing.assert_array_equal(getattr(small, name), getattr(again, name))
    assert (small.counts != again.counts).nnz == 0
    assert draw_cells(replace(p, seed=1)).ncounts.sum() != again.ncounts.sum()
    # Neither contexts nor depth of the cells change the genes, their programs or their features.
    other = draw_genes(replace(p, n_contexts=3, cells=5, library_sd=0.1, n_perturbations=4))
    np.testing.assert_array_equal(other.outgoing, small.truth.genes.outgoing)
    for name, table in draw_genes(p).feature_tables.items():
        np.testing.assert_array_equal(other.feature_tables[name], table)


def test_formulas_by_hand() -> None:
    steep = ContextParameters(gate_slope=1000.0, gate_threshold=0.25, n_modules=3, programs_driven=3)
    states = np.array([[1.0, 1.0, -1.0], [1.0, -1.0, -1.0], [-1.0, -1.0, 1.0]])
    np.testing.assert_allclose(gates(steep, states), states > 0, atol=1e-9)
    # One module open; either of two; a switch: 1 where the third and the first agree, else -1.
    expected = [[1, 1, -1], [1, 0, -1], [0, 1, -1]]
    np.testing.assert_allclose(gates(replace(steep, nonlinear=True), states), expected, atol=1e-9)
    soft = gates(SIMULATED_CONTEXTS, np.array([[0.25, 0.5]]))
    np.testing.assert_allclose(soft, [[0.5, expit(1.5)]], atol=1e-12)
    driven, programs = np.array([[2.0, -1.0]]), np.array([[1.0, 0.0], [1.0, 3.0]])
    np.testing.assert_allclose(response(SMALL, driven, programs), [[1.0, -3.0]], atol=1e-12)
    bent = response(replace(SMALL, nonlinear=True, response_level=1.5), driven, programs)
    np.testing.assert_allclose(bent, 1.5 * np.tanh(np.array([[1.0, -3.0]]) / 1.5), atol=1e-12)


def test_programs_are_of_other_genes_than_modules_and_each_perturbation_drives_three(small: ContextSimulation) -> None:
    genes = small.truth.genes
    in_module, in_program = (genes.loadings != 0).any(axis=1), (genes.programs != 0).any(axis=0)
    assert not (in_module & in_program).any() and in_module.sum() >= 40
    assert ((genes.programs != 0).sum(axis=1) == round(0.12 * 80)).all()
    assert ((genes.outgoing != 0).sum(axis=1) == 3).all() and (genes.outgoing > 0).any() and (genes.outgoing < 0).any()


def test_feature_tables_say_what_a_perturbation_drives() -> None:
    """A ridge on a table, learned on other genes, predicts which programs a gene drives; on a shuffled one, not."""
    genes = draw_genes(SIMULATED_CONTEXTS)
    for name in ("view_a", "view_b"):
        table = genes.feature_tables[name]
        for x, least, most in ((table, 0.5, 1.0), (np.random.default_rng(0).permutation(table), -0.3, 0.1)):
            a, b = x[:250], x[250:]
            w = np.linalg.solve(a.T @ a + 10 * np.eye(a.shape[1]), a.T @ genes.outgoing[:250])
            r = np.corrcoef((b @ w).ravel(), genes.outgoing[250:].ravel())[0, 1]
            assert least < r < most, (name, r)


@pytest.mark.parametrize("nonlinear", [pytest.param(False, marks=pytest.mark.ci), True], ids=FORM_NAMES)
def test_unit_truth_is_converged_and_what_the_cells_show(nonlinear: bool) -> None:
    """Against 16 times as many points; and against the cells' means, whose noise is all that remains."""
    p = replace(SMALL, nonlinear=nonlinear, deep_share=1.0, deep_cells=400, deep_controls=800, n_contexts=4)
    coarse, fine = unit_truth(p)[0], unit_truth(p, 4096)[0]
    assert np.linalg.norm(coarse - fine) < 0.01 * np.linalg.norm(fine)
    sim = drawn(p)
    truth = sim.truth
    x = np.log1p(sim.counts.toarray() * (1e4 / sim.ncounts)[:, None])
    error = noise = 0.0
    slope = []
    for i, (condition, context) in enumerate(zip(truth.conditions, truth.contexts)):
        here = sim.context == context
        one, control = x[here & (sim.condition == condition)], x[here & (sim.condition == CONTROL)]
        d = one.mean(axis=0) - control.mean(axis=0)
        error += ((d - truth.shifts[i]) ** 2).sum()
        noise += (one.var(axis=0, ddof=1) / len(one) + control.var(axis=0, ddof=1) / len(control)).sum()
        slope.append((d @ truth.shifts[i], truth.shifts[i] @ truth.shifts[i]))
    assert error / noise == pytest.approx(1.0, abs=0.15)
    top, bottom = np.sum(slope, axis=0)
    assert top / bottom == pytest.approx(1.0, abs=0.04)


def test_single_cell_truth(small: ContextSimulation) -> None:
    """Expected responses of a unit's cells average to its shift, up to the draw of the cells."""
    truth = small.truth
    np.testing.assert_array_equal(truth.gates, gates(truth.parameters, truth.states.activities))
    controls = np.flatnonzero(small.condition == CONTROL)[:20]
    assert not truth.expected_response(controls).any()
    for i in (0, 7, 31):
        rows = np.flatnonzero((small.condition == truth.conditions[i]) & (small.context == truth.contexts[i]))
        each = truth.expected_response(rows)
        error = each.std(axis=0, ddof=1) / np.sqrt(len(rows))
        assert (np.abs(each.mean(axis=0) - truth.shifts[i]) <= 5 * error + 0.01).all()
        own = small.genes.tolist().index(str(truth.conditions[i]).removesuffix("+ctrl"))
        assert (each[:, own] < 0).all() and truth.log_fold_changes[i, own] == pytest.approx(-1.8, abs=1e-9)


def test_shared_wells_are_planted_only_where_asked() -> None:
    """In contexts of one pool the same perturbation carries one noise: seen in genes that no perturbation moves."""
    plain = replace(SMALL, effect_scale=0.0, deep_share=1.0, deep_cells=200, deep_controls=400)

    def together(p: ContextParameters) -> tuple[float, float]:
        sim = drawn(p)
        screen = ContextScreen(sim, n_held=4, n_val=2)
        pools = draw_contexts(p).pool
        r = correlations(screen.shifts[:, :, None], screen.shifts[:, None, :]).mean(axis=0)
        same = (pools[:, None] == pools) & ~np.eye(len(pools), dtype=bool)
        return float(r[same].mean()) if same.any() else 0.0, float(r[pools[:, None] != pools].mean())

    pooled = replace(plain, pool_size=5, pool_noise=0.3)
    inside, outside = together(pooled)
    assert inside > 0.3 and abs(outside) < 0.1
    inside, outside = together(replace(pooled, pool_noise=0.0))
    assert abs(inside) < 0.1 and abs(outside) < 0.1
    assert {name.split("_")[0] for name in drawn(pooled).batch} == {"pool00", "pool01"}
    assert draw_contexts(plain).wells is None


def test_double_centring_by_hand() -> None:
    table = np.array([[[1.0], [2.0]], [[3.0], [8.0]]])  # [perturbations, contexts, genes]
    np.testing.assert_allclose(double_centred(table).ravel(), [1, -1, -1, 1], atol=1e-12)
    rng = np.random.default_rng(0)
    true, blind = rng.standard_normal((5, 4, 30)), np.repeat(rng.standard_normal((5, 1, 30)), 4, axis=1)
    shift = rng.standard_normal((1, 4, 30))
    assert residual_r(blind + shift, true) == 0.0
    assert residual_r(3 * true + blind + shift, true) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("form", [pytest.param(p, marks=pytest.mark.slow) for p in FORMS], ids=FORM_NAMES)
@pytest.mark.parametrize("seed", range(5))
def test_contract(form: ContextParameters, seed: int) -> None:
    start = time.process_time()
    draw_cells(replace(form, seed=seed))
    assert time.process_time() - start < 20
    check_contract(ContextScreen(simulate_contexts(replace(form, seed=seed)), seed))


def check_contract(screen: ContextScreen) -> None:
    sim, form = screen.simulation, screen.simulation.truth.parameters
    assert 90_000 <= len(sim.barcodes) <= 115_000
    held = screen.sizes[:, screen.held]
    assert held.min() >= 200 and sim.truth.made.deep[screen.held].all()
    found = screen.contract()
    r = {name: pair[0] for name, pair in found.items()}
    residual = {name: pair[1] for name, pair in found.items()}
    floor = r["same perturbation"]
    assert 0.5 <= floor <= 0.7, found
    assert r["gates"] >= floor + 0.08, found
    assert 0.75 <= r["true shift"] <= 0.9, found
    assert 0.3 <= (r["gates"] - floor) / (r["true shift"] - floor) <= 0.9, found
    assert screen.replicate_z() >= 5
    assert residual["gates"] >= 0.45 and residual["true shift"] >= 0.75 and residual["replicate"] >= 0.5, found
    for name in ("train mean", "same perturbation", "constant"):
        assert residual[name] == 0.0
    assert residual["noise"] < 0.1
    for name in ("identity", "pca", "random"):
        # A linear head cannot read the gates of the nonlinear form; what it can, shows in the residual.
        assert floor + (-0.03 if form.nonlinear else 0.02) <= r[name] < r["gates"], found
        assert (0.1 if form.nonlinear else 0.4) <= residual[name] < residual["gates"], found
    random = screen.encoders()["random"]
    assert screen.with_few(random, 3) <= 0.8 * screen.with_few(random, 50)


@pytest.mark.parametrize("nonlinear", [False, True], ids=FORM_NAMES)
def test_a_small_screen_tells_who_knows_the_state(nonlinear: bool) -> None:
    p = replace(SMALL, nonlinear=nonlinear, n_contexts=24, deep_share=0.5, deep_cells=100, deep_controls=200)
    screen = ContextScreen(drawn(p), n_held=6, n_val=4)
    encoders = screen.encoders()
    same = screen.scores(screen.same_perturbation())
    known = screen.scores(screen.predict(encoders["gates"]))
    truth = screen.scores(screen.true_shifts[:, screen.held])
    assert same[1] == 0.0 == screen.scores(screen.predict(encoders["constant"]))[1]
    assert abs(screen.scores(screen.predict(encoders["noise"]))[1]) < 0.25
    assert known[1] > 0.35 and known[0] > same[0] + 0.04
    assert truth[0] > known[0] and truth[1] > known[1]
    assert known[1] > screen.scores(screen.predict(encoders["pca"]))[1] > 0.05


def test_the_cards_are_these_parameters_and_take_others() -> None:
    for name, parameters in zip(("simulated_contexts", "simulated_contexts_nonlinear"), FORMS):
        assert parameters_of(find_card(name)) == parameters
    card, guessed = resolve("simulated_contexts:seed=2,n_contexts=12")
    assert not guessed and card.name == "simulated_contexts_seed2_n_contexts12"
    assert parameters_of(card) == replace(SIMULATED_CONTEXTS, seed=2, n_contexts=12)
    tiny = resolve("simulated_contexts_nonlinear:n_contexts=3,deep_cells=8,cells=6")[0]
    dataset = load(tiny)
    assert len(dataset.contexts) == 3 and len(dataset.batches) == 6 and len(dataset.conditions) == 25
    assert dataset.simulation is not None and set(dataset.simulation.feature_tables) == {"view_a", "view_b"}
    assert dataset.hash != load(tiny.model_copy(update={"parameters": {**tiny.parameters, "nonlinear": False}})).hash


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("n_singles=3", "Parameters: seed, n_genes, n_contexts"),
        ("n_perturbations=500", "n_perturbations = 500: expected 1 to"),
        ("programs_driven=9", r"programs_driven = 9: expected 1 to 8 \(n_modules\)"),
        ("deep_share=2", "deep_share = 2: expected 0 to 1"),
        ("program_share=0.9", "program_share = 0.9: expected at most 0.4"),
        ("n_modules=1", "n_modules = 1: expected 2 or more"),
        ("n_batches=0", "n_batches = 0: expected 1 or more"),
    ],
)
def test_parameters_that_make_no_screen(parameters: str, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        resolve(f"simulated_contexts:{parameters}")
