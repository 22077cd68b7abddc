"""Every defect of the published evaluations: their form shows it, the corrected form does not."""

import numpy as np
import pytest
import scipy.sparse as sp
from screens import GENES, hand_split, screen, tiny_counts

from bench.core.conditions import CONTROL
from bench.core.units import Unit
from bench.data.dataset import build
from bench.data.task import Task
from bench.evaluations.biojepac import (
    batches,
    essentiality,
    expression,
    gene_calls,
    mechanism,
    pathways,
    retrieval,
    uncertainty,
)
from bench.evaluations.biojepac.inputs import Averaged, SuiteInputs
from bench.stats.embedding import normalise
from bench.stats.probes import unit_probe
from bench.tracks.response.truth import truth


def with_noisy_controls(seed=0):
    """A screen whose control cells vary more than perturbed ones; what a perturbation does is its own."""
    rng = np.random.default_rng(seed)
    _, obs = tiny_counts(cells=30, controls=200)
    base = rng.uniform(3.0, 4.0, len(GENES))
    effect = {name: rng.normal(0, 0.12, len(GENES)) for name in obs["condition"].unique()}
    effect[CONTROL] = np.zeros(len(GENES))
    control = (obs["condition"] == CONTROL).to_numpy()
    x = base + np.stack([effect[name] for name in obs["condition"]])
    x += rng.standard_normal(x.shape) * np.where(control, 0.6, 0.08)[:, None]
    return build(
        "noisy",
        sp.csr_matrix(np.clip(x, 0.1, None).astype(np.float32)),
        genes=GENES,
        barcodes=obs.index.to_numpy(dtype=str),
        condition=obs["condition"].to_numpy(dtype=str),
        context=obs["context"].to_numpy(dtype=str),
        batch=obs["batch"].to_numpy(dtype=str),
        source="noisy",
    )


def inputs_of(dataset, **parts):
    """SuiteInputs in which the train mean is the model."""
    task = Task(dataset, hand_split(dataset))
    facts = truth.compute(task)
    known = np.ones(len(task.units), dtype=bool)
    return SuiteInputs(task, facts, facts.c_in + facts.train_delta, known, facts.c_in.mean(axis=0), **parts)


@pytest.fixture(scope="module")
def blind():
    return inputs_of(with_noisy_controls())


@pytest.fixture(scope="module")
def first(blind):
    """Evaluation 1 of the train mean."""
    return by_measure(expression.rows(blind))


def by_measure(rows):
    return {row.measure: row for row in rows}


# Evaluation 1


def test_with_one_control_cell_on_both_sides_the_train_mean_correlates_and_without_it_does_not(first):
    row = first["r of the top 20 changes"]
    assert row.published == row.published_trivial > 0.9
    assert abs(row.corrected) < 0.3
    assert row.corrected == pytest.approx(row.trivial, abs=1e-12)
    assert row.measured > 0.6  # the cells do tell what each perturbation does


def test_published_severity_rewards_one_size_for_all(first):
    row = first["severity"]
    assert row.published > 0.8
    assert row.corrected == pytest.approx(0.0, abs=1e-12)


def test_the_published_cell_error_is_the_spread_of_cells_and_of_r2_the_expression_of_genes():
    inputs = inputs_of(screen(*tiny_counts(effect=0.0)))
    rows = by_measure(expression.rows(inputs))
    spread = float(np.mean(inputs.truth.legacy_spread[0]))
    assert rows["mean squared error"].published > spread > 5 * rows["mean squared error"].corrected
    assert rows["R2, all genes"].published > 0.9 > 0.1 > rows["R2, all genes"].corrected


# Evaluation 2


def test_calling_all_genes_unchanged_wins_the_published_form_and_is_chance_in_the_corrected_one():
    rng = np.random.default_rng(0)
    true = rng.choice([-1, 0, 1], (200, 400), p=[0.03, 0.94, 0.03]).astype(np.int8)
    nothing, counted = np.zeros_like(true), np.ones(true.shape, dtype=bool)
    noisy = np.where(rng.random(true.shape) < 0.8, true, rng.choice([-1, 0, 1], true.shape)).astype(np.int8)
    assert gene_calls.accuracy(true, nothing).mean() > gene_calls.accuracy(true, noisy).mean() > 0.8
    assert gene_calls.balanced_accuracy(true, nothing, counted).mean() == pytest.approx(1 / 3, abs=1e-12)
    assert gene_calls.balanced_accuracy(true, noisy, counted).mean() > 0.8


def test_balanced_accuracy_is_that_of_scikit_learn():
    from sklearn.metrics import balanced_accuracy_score

    rng = np.random.default_rng(1)
    true, called = (rng.choice([-1, 0, 1], (5, 60)).astype(np.int8) for _ in range(2))
    counted = rng.random((5, 60)) < 0.7
    found = gene_calls.balanced_accuracy(true, called, counted)
    for t in range(5):
        assert found[t] == pytest.approx(balanced_accuracy_score(true[t, counted[t]], called[t, counted[t]]), abs=1e-12)
    assert np.isnan(gene_calls.balanced_accuracy(np.zeros((1, 5), np.int8), np.zeros((1, 5), np.int8), counted[:1, :5]))


def test_lists_by_hand_and_by_luck():
    true, said = np.array([[5.0, 4.0, 3.0, 0.0]]), np.array([[5.0, 0.0, 4.0, 3.0]])
    every = np.ones((1, 4), dtype=bool)
    assert gene_calls.overlap_at(2, true, said, every) == pytest.approx([0.5])
    assert gene_calls.overlap_at(2, true, np.ones((1, 4)), every) == pytest.approx([0.5])  # k / G
    assert gene_calls.direction_of_top(np.array([[2.0, -1.0, 0.1]]), np.array([[1.0, 0.0, 9.0]]), 2) == 0.5
    assert gene_calls.calls(np.array([[0.3, -0.3, 0.25, -0.25]])).tolist() == [[1, -1, 0, 0]]


def test_the_list_of_the_train_mean_is_far_above_k_of_g_where_perturbations_have_a_response_in_common():
    counts, obs = tiny_counts()
    dense = np.asarray(counts.todense())
    dense[(obs["condition"] != CONTROL).to_numpy(), 40:50] //= 4  # ten genes fall whatever is perturbed
    row = by_measure(gene_calls.rows(inputs_of(screen(sp.csr_matrix(dense), obs))))["P@10"]
    assert row.published_trivial == pytest.approx(10 / 60, abs=1e-12)
    assert row.trivial_is == "train mean"
    assert row.trivial > 2 * row.published_trivial


# Evaluation 3


def test_which_conditions_are_asked_depends_on_the_order_of_the_file():
    names = ["b", "a", "b", "c"]
    assert retrieval.in_loader_order(names, 2) == ("b", "a")
    assert retrieval.in_loader_order(names[::-1], 2) == ("c", "b")


def test_the_published_retrieval_ranks_among_items_that_target_nothing():
    predicted = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.9]])
    queries = np.array([[0.0, 0.8]])
    among = Averaged(("A", "B", CONTROL), predicted, ("A",), queries, "")
    without = Averaged(("A", "B"), predicted[:2], ("A",), queries, "")
    assert retrieval.ranked(among)["rank"] == 2
    assert retrieval.ranked(without)["rank"] == 1


def test_one_answer_for_all_is_chance_in_the_corrected_retrieval(blind):
    row = by_measure(retrieval.rows(blind))["mean reciprocal rank"]
    n = row.n
    assert row.corrected == pytest.approx(sum(1 / r for r in range(1, n + 1)) / n, abs=1e-12)
    assert row.trivial == pytest.approx(row.corrected, abs=1e-12)
    assert row.measured > 2 * row.trivial


# Evaluation 4


def gaussians(factor, seed=0):
    """Values whose spread differs between units, predicted with the right spread times a factor."""
    rng = np.random.default_rng(seed)
    sd = np.repeat(rng.uniform(0.5, 3.0, 40), 10)[:, None] * np.ones((1, 50))
    return sd * rng.standard_normal(sd.shape), sd * factor


def test_the_published_calibration_error_cannot_see_a_hundredfold_wrong_variance():
    every = np.ones((400, 50), dtype=bool)
    rng = np.random.default_rng(3)
    found = []
    for factor in (1.0, 10.0):
        target, sd = gaussians(factor)
        score, error = np.log(sd**2).mean(axis=1), rng.random(400)
        covered = uncertainty.coverage(target / sd, every)
        found.append((score, uncertainty.calibration_error(covered)))
    error = np.random.default_rng(4).random(400)
    before, after = (uncertainty.published_ece(score, error) for score, _ in found)
    assert before == pytest.approx(after, abs=1e-9)
    assert found[0][1] < 0.01
    assert found[1][1] > 0.2


def test_coverage_of_the_right_gaussian_is_the_nominal_one():
    target, sd = gaussians(1.0)
    covered = uncertainty.coverage(target / sd, np.ones(target.shape, dtype=bool)).mean(axis=0)
    np.testing.assert_allclose(covered, uncertainty.LEVELS, atol=0.015)


def test_the_published_r_asks_the_variance_of_a_latent_for_the_error_of_something_else():
    target, sd = gaussians(1.0)
    unit = np.repeat(np.arange(40), 10)
    elsewhere = np.random.default_rng(5).random(400)  # the error of expression, which is not what sd is the spread of
    assert abs(uncertainty.published_r(np.log(sd**2).mean(axis=1), elsewhere)) < 0.15
    assert uncertainty.resolution((sd**2).mean(axis=1), (target**2).mean(axis=1), unit) > 0.95


def test_monotone_and_constants_by_hand():
    score = np.arange(100.0)
    assert uncertainty.published_monotone(score, score) == 1.0
    assert uncertainty.published_monotone(score, -score) == 0.0
    assert np.isnan(uncertainty.published_r(score, np.ones(100)))
    assert np.isnan(uncertainty.resolution(np.ones(6), np.arange(6.0), np.arange(6)))


# Evaluation 5


def test_the_best_epoch_on_the_reported_cells_finds_what_is_not_there():
    rng = np.random.default_rng(0)
    gain, honest = [], []
    for seed in range(5):
        z, y = rng.standard_normal((80, 5)), np.repeat(np.arange(4), 20)
        gain.append(batches.best_epoch(z, y, seed) - batches.best_epoch(z, y, seed, epochs=1))
        honest.append(unit_probe(normalise(z), y, np.zeros(80, dtype=np.int64), seed).accuracy.mean() - 1 / 4)
    assert min(gain) >= 0 and np.mean(gain) > 0.03  # of labels that mean nothing, more epochs find more
    assert abs(np.mean(honest)) < 0.15  # 5 x 16 cells: three standard errors


def test_a_control_cell_holds_nothing_of_the_perturbation():
    from bench.evaluations.biojepac.inputs import Latents

    rng = np.random.default_rng(1)
    unit = np.repeat(np.arange(5), 60)
    cells = 4 * np.eye(5)[unit] + rng.standard_normal((300, 5))
    controls, batch = rng.standard_normal((100, 5)), np.zeros(300, dtype=np.int64)
    units = tuple(Unit(f"G0{i}+ctrl", "line0") for i in range(5))
    latents = Latents(cells, unit, batch, units, controls, np.zeros(100, np.int64), rng.integers(0, 100, 300))
    row = batches._perturbation(latents, 1)
    assert row.published < 0.35
    assert row.corrected > 0.9


# Evaluation 6


def test_a_gene_that_is_its_own_neighbour_is_classified_from_noise():
    rng = np.random.default_rng(0)
    z, label = rng.standard_normal((120, 8)), np.repeat(np.arange(6), 20)
    assert pathways.published_knn(z, label, k=1) == 1.0
    assert pathways.left_out_knn(z, label, k=1).mean() < 0.3
    assert pathways.published_knn(z, label) > pathways.left_out_knn(z, label).mean() + 0.1


def test_no_point_is_its_own_neighbour_even_where_points_coincide():
    found = pathways.neighbours(np.repeat(np.eye(3), 4, axis=0), k=3)
    assert all(i not in row for i, row in enumerate(found.tolist()))


def test_groups_of_pairs_by_hand():
    pairs = [("A", "B"), ("A", "C"), ("D", "E"), ("D", "F"), ("D", "G"), ("C", "D"), ("X", "Y")]
    assert pathways.groups_of_pairs(pairs, "ABCDEFG", least=2) == {
        **dict.fromkeys("CDEFG", "D"),
        **dict.fromkeys("AB", "A"),
    }
    assert pathways.groups_of_pairs(pairs, "ABCDEFG", least=6) == {}


# Evaluation 7


def test_what_all_predictions_have_in_common_makes_the_published_cosines_alike():
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(3), 5)
    vectors = 30 + rng.standard_normal((3, 40))[label] + 0.5 * rng.standard_normal((15, 40))
    within, between = mechanism.within_between(vectors, label)
    assert between > 0.99 and within - between < 0.01
    within, between = mechanism.within_between(mechanism.centred(vectors), label)
    assert within > 0.5 > 0.0 > between
    assert mechanism.permutation_p(mechanism.centred(vectors), label) == pytest.approx(0.001, abs=1e-9)


def test_pairs_that_share_a_perturbation_are_not_independent():
    """Seven of eight go up here and three of eight there: Fisher's exact p is .12, and 120 pairs make less of it."""
    from scipy.stats import fisher_exact

    label = np.repeat(np.arange(2), 8)
    vectors = np.array([1.0] * 7 + [-1.0] + [1.0] * 3 + [-1.0] * 5)[:, None]
    exact = fisher_exact([[7, 1], [3, 5]]).pvalue
    assert mechanism.published_p(vectors, label) < 0.05 < exact
    assert mechanism.permutation_p(vectors, label) == pytest.approx(exact, abs=0.04)


# Evaluation 8


def test_vectors_that_know_the_expression_level_alone_add_nothing_to_it(monkeypatch):
    monkeypatch.setattr(essentiality, "STRENGTHS", (0.1, 1.0))
    rng = np.random.default_rng(0)
    level = rng.standard_normal(120)
    y = (level + 0.7 * rng.standard_normal(120) > 0.5).astype(np.int64)
    vectors = level[:, None] * rng.standard_normal(6) + 0.05 * rng.standard_normal((120, 6))
    alone = essentiality.auroc(essentiality.left_out_scores(vectors, y), y)
    bar = essentiality.auroc(essentiality.left_out_scores(level[:, None], y), y)
    both = essentiality.auroc(essentiality.left_out_scores(np.column_stack([level, vectors]), y), y)
    assert alone > 0.8  # which looks like knowledge of essential genes
    assert both - bar < 0.02
