"""The whole protocol: who may be evaluated, references, shuffled labels, broken encoders."""

import numpy as np
import pytest
import screens
from sklearn.decomposition import PCA

from bench.core.errors import BenchError
from bench.data import heldout
from bench.data.heldout import HeldOut
from bench.data.task import Task
from bench.stats.embedding import embed_rows
from bench.tracks.representation import protocol, references
from bench.tracks.representation.across_metrics import ACROSS
from bench.tracks.representation.across_metrics import NUMBERS as ACROSS_NUMBERS
from bench.tracks.representation.metrics import CHANCE, METRICS, NAMES, NUMBERS

#: What is defined without held-out contexts.
WITHIN = {name: info for name, info in {**METRICS, **NUMBERS}.items() if name not in {*ACROSS, *ACROSS_NUMBERS}}


@pytest.fixture(scope="module")
def screen():
    data = screens.tiny_screen(cells=60, effect=1.5)
    return data, screens.hand_split(data)


@pytest.fixture(scope="module")
def scores(screen):
    task = Task(*screen)
    return protocol.evaluate(task, references.pca(task, 1, 20), 1)


@pytest.fixture(scope="module")
def numbers(scores):
    return scores.summary()


def summary(task, *arguments, **options):
    """Every number of one encoder."""
    return protocol.evaluate(task, *arguments, **options).summary()


def test_every_number_is_there_and_in_its_range(scores, numbers):
    assert tuple(numbers) == NAMES
    assert set(scores.values) == set(METRICS) and set(scores.numbers) == set(NUMBERS)
    for name, info in WITHIN.items():
        low, high = info.range
        assert low <= numbers[name] <= high, name
    assert all(numbers[name] is None for name in {*ACROSS, *ACROSS_NUMBERS})


def test_every_unit_has_a_value(screen, scores):
    assert scores.units == tuple((name, "line0") for name in screen[0].conditions if name in screen[1].test)
    for name, info in METRICS.items():
        assert scores.values[name].shape == (len(scores.units),), name
        if name in ACROSS:
            continue
        assert np.isfinite(scores.values[name]).all(), name
        assert (scores.values[name] >= info.range[0]).all() and (scores.values[name] <= info.range[1]).all(), name


def test_values_belong_to_their_units(screen, scores):
    """A perturbation whose cells are made alike is recognised; the others stay as they were."""
    data, split = screen
    task, project = Task(data, split), references.pca(Task(data, split), 1, 20)
    name = split.test[3]
    marked = {row.tobytes() for row in data.x[data.cells_of[name]].toarray()}

    def embed(cells):
        z = project(cells)
        z[[row.tobytes() in marked for row in cells]] = 100.0
        return z

    found = protocol.evaluate(task, embed, 1)
    place = found.units.index((name, "line0"))
    for metric in ("retrieval_mrr_1", "cross_batch_top1_20", "knn_purity", "probe_heldout_accuracy"):
        assert found.values[metric][place] == pytest.approx(1), metric
        others = np.delete(scores.values[metric] - found.values[metric], place)
        assert np.abs(others).mean() < 0.1, metric
    assert found.values["silhouette_condition"].argmax() == place


def test_signal_is_found_above_chance(numbers):
    for name in ("retrieval_mrr_1", "retrieval_mrr_20", "cross_batch_mrr_20", "probe_heldout_accuracy", "knn_purity"):
        assert numbers[name] > 1.5 * numbers[CHANCE[name]], name


def test_shuffled_labels_are_at_chance(screen, numbers):
    data, split = screen
    shuffled = summary(Task(data, split), references.pca(Task(data, split), 1, 20), 1, shuffle=True)
    for name in ("retrieval_top1_1", "retrieval_mrr_1", "cross_batch_mrr_1", "probe_heldout_accuracy", "knn_purity"):
        # The probe is tried on 100 cells, of which a tenth is right by luck: a standard deviation of 0.03.
        luck = 0.12 if name.startswith("probe") else 0.05
        assert shuffled[name] == pytest.approx(numbers[CHANCE[name]], abs=luck), name
        assert numbers[name] > numbers[CHANCE[name]] + 2 * luck, name
    assert shuffled["retrieval_mrr_20"] == pytest.approx(numbers["retrieval_mrr_chance"], abs=0.12)
    assert numbers["retrieval_mrr_20_shuffled"] == pytest.approx(numbers["retrieval_mrr_chance"], abs=0.12)
    for name in ("silhouette_batch", "batch_probe_scaled", "effective_rank"):  # nothing about conditions
        assert shuffled[name] == numbers[name]


def test_shuffling_keeps_each_batch_its_labels():
    rng = np.random.default_rng(0)
    label, batch = rng.integers(0, 9, 300), rng.integers(0, 4, 300)
    shuffled = references.shuffle_within(label, batch, 1)
    assert (shuffled != label).mean() > 0.7
    for b in range(4):
        assert sorted(shuffled[batch == b]) == sorted(label[batch == b])


@pytest.mark.ci
def test_same_seed_same_numbers(screen, numbers):
    data, split = screen
    assert summary(Task(data, split), references.pca(Task(data, split), 1, 20), 1) == numbers
    assert summary(Task(data, split), references.pca(Task(data, split), 2, 20), 2) != numbers


def test_a_constant_encoder_is_at_chance(screen):
    data, split = screen
    found = summary(Task(data, split), lambda cells: np.full((len(cells), 7), 0.1, dtype=np.float32), 1)
    for name, chance in CHANCE.items():
        if name != "batch_probe_accuracy":
            assert found[name] == pytest.approx(found[chance]), name
    assert found["effective_rank"] is None
    assert found["batch_probe_scaled"] <= 0
    assert found["silhouette_condition"] == 0


def test_an_encoder_fitted_on_test_conditions_is_refused(screen):
    data, split = screen
    other = split.model_copy(update={"train": split.test, "test": split.train})
    with pytest.raises(BenchError, match="fitted on .* test conditions"):
        protocol.evaluate(Task(data, split), references.pca(Task(data, other), 1), 1)


def test_held_out_cells_of_another_split_are_refused(screen):
    data, split = screen
    other = split.model_copy(update={"seed": 7})
    with pytest.raises(BenchError, match="another split"):
        protocol.evaluate(
            Task(data, split), references.pca(Task(data, split), 1), 1, heldout.draw(Task(data, other), 1)
        )


def test_standardising_and_probe_seen_use_cells_of_train_conditions(screen):
    data, split = screen
    embed = references.random_projection(60, 1, 8)
    cells = heldout.draw(Task(data, split), 1)
    embedded = protocol.embed_split(cells, embed, 1)
    train = embed_rows(data.x, data.rows(split.train), embed)
    held = embed_rows(data.x, cells.rows, embed)
    np.testing.assert_allclose(embedded.z, (held - train.mean(axis=0)) / train.std(axis=0), atol=1e-5)
    rows = protocol._probe_rows(Task(data, split).cells_of("train"), np.random.default_rng(0))
    assert {data.conditions[i] for i in data.condition[rows]} == set(split.train)
    assert len(set(embedded.seen_condition.tolist())) == len(split.train)


def test_small_conditions_are_left_out_and_counted(screen):
    data, split = screen
    small = split.test[:3]
    fewer = screens.without(data, np.concatenate([data.cells_of[name][: 60 - 29] for name in small]))
    found = heldout.draw(Task(fewer, split), 1)
    assert found.left_out == 3
    assert {fewer.conditions[i] for i in fewer.condition[found.rows]} == set(split.test) - set(small)
    numbers = summary(Task(fewer, split), references.random_projection(60, 1, 8), 1)
    assert (numbers["n_conditions_left_out"], numbers["n_conditions"]) == (3, len(split.test) - 3)


def test_with_one_batch_what_needs_two_is_undefined():
    counts, obs = screens.tiny_counts(cells=40)
    data = screens.screen(counts, obs.assign(batch="all"))
    split = screens.hand_split(data)
    found = summary(Task(data, split), references.random_projection(60, 1, 8), 1)
    undefined = {name for name, value in found.items() if value is None}
    assert undefined == {
        name
        for name in NAMES
        if name.startswith(("cross_batch", "batch_probe")) or name == "silhouette_batch" or name not in WITHIN
    }


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_embeddings_that_are_not_finite_are_refused(screen, bad):
    data, split = screen

    def embed(cells):
        z = cells[:, :5].copy()
        z[0, 0] = bad
        return z

    with pytest.raises(BenchError, match="embedding of 1 of .* cells is not finite"):
        protocol.evaluate(Task(data, split), embed, 1)


@pytest.mark.parametrize(
    "embed", [lambda cells: cells[:-1], lambda cells: cells.sum(axis=1), lambda cells: cells[None]]
)
def test_embeddings_of_the_wrong_shape_are_refused(screen, embed):
    data, split = screen
    with pytest.raises(BenchError, match=r"expected \[cells, width\]"):
        protocol.evaluate(Task(data, split), embed, 1)


def test_pca_reference_equals_sklearns(screen):
    data, split = screen
    projection = references.pca(Task(data, split), 1, 5)
    x = data.x[data.rows(split.train)].toarray()
    theirs = PCA(5, svd_solver="full").fit(x).transform(x)
    np.testing.assert_allclose(np.abs(projection(x)), np.abs(theirs), atol=1e-3)
    assert projection.fitted_on == split.train


@pytest.fixture(scope="module")
def two_contexts():
    counts, obs = screens.tiny_counts(cells=40, contexts=2)
    data = screens.screen(counts, obs)
    return Task(data, screens.hand_split(data))


def test_units_are_compared_within_their_context(two_contexts):
    """What is said of the units of one context does not depend on the cells of another."""
    task, embed = two_contexts, references.random_projection(60, 1, 8)
    both = protocol.evaluate(task, embed, 1)
    cells = heldout.draw(task, 1)
    first = HeldOut(task, cells.rows[task.dataset.context[cells.rows] == 0], cells.controls)
    alone = protocol.evaluate(task, embed, 1, first)
    assert alone.units == both.units[: len(alone.units)] and len(both.units) == 2 * len(alone.units)
    for name in METRICS:
        # Cells share other blocks: float32 rounds differently, which may turn a rank.
        np.testing.assert_allclose(both.values[name][: len(alone.units)], alone.values[name], atol=0.02, err_msg=name)


def test_knowing_the_context_alone_is_chance(two_contexts):
    task = two_contexts
    line1 = {row.tobytes() for row in task.dataset.x[task.dataset.context == 1].toarray()}

    def embed(cells):
        known = np.array([row.tobytes() in line1 for row in cells], dtype=np.float32)
        return np.stack([known, 1 - known], axis=1)

    found = summary(task, embed, 1)
    for name in ("retrieval_mrr_1", "retrieval_mrr_20", "cross_batch_mrr_20", "knn_purity", "probe_heldout_accuracy"):
        assert found[name] == pytest.approx(found[CHANCE[name]]), name
