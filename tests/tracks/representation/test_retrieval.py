"""Retrieval against embeddings whose answer is known, a loop, and the mathematics of chance."""

import numpy as np
import pytest
from clusters import clusters
from scipy.stats import binom

from bench.tracks.representation import retrieval


def test_perfect_embeddings_are_found():
    z, condition, batch = clusters(separation=50)
    for found in (
        retrieval.half_retrieval(z, condition, batch, 1),
        retrieval.cross_batch_retrieval(z, condition, batch, 1),
    ):
        for n in (1, 20):
            np.testing.assert_allclose(found[f"top1_{n}"], 1)
            np.testing.assert_allclose(found[f"mrr_{n}"], 1)
            assert (found[f"rank_{n}"] == 0).all()


def test_random_embeddings_are_at_chance():
    n_conditions, cells = 25, 40
    z, condition, batch = clusters(n_conditions, cells, separation=0)
    found = retrieval.half_retrieval(z, condition, batch, 1)
    # 20 halvings share their cells: one halving's binomial width is the cautious one.
    for k, name in ((1, "top1_1"), (5, "top5_1")):
        low, high = binom.interval(0.999, n_conditions * cells // 2, k / n_conditions)
        assert low <= found[name].mean() * n_conditions * cells // 2 <= high
    assert found["mrr_1"].mean() == pytest.approx(found["mrr_chance"][0], abs=0.03)
    assert found["rank_20"].mean() == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("n", [2, 5, 76])
def test_chance_is_that_of_a_random_order(n):
    rng = np.random.default_rng(0)
    measures = retrieval.rank_measures(rng.random((40_000, n)), rng.integers(0, n, 40_000))
    chance = retrieval.chance(n)
    for name in retrieval.MEASURES:
        assert measures[name].mean() == pytest.approx(chance[name], abs=0.01)
    assert chance["top1"] == 1 / n


def test_ties_count_as_the_mean_over_their_orders():
    scores = np.array([[3.0, 2.0, 2.0, 2.0, 1.0, 0.0, 0.0]])
    measures = retrieval.rank_measures(scores, np.array([2]))
    assert measures["top1"][0] == 0
    assert measures["top5"][0] == 1
    assert measures["mrr"][0] == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3)
    assert measures["rank"][0] == pytest.approx((3 - 1) / 6)
    last = retrieval.rank_measures(scores[:, [0, 1, 2, 3, 5, 6]], np.array([5]))  # ranks 5 and 6 of 6
    assert last["top5"][0] == 0.5


def test_a_constant_embedding_is_exactly_at_chance():
    z, condition, batch = clusters(9)
    found = retrieval.half_retrieval(np.zeros_like(z), condition, batch, 1)
    for name in ("top1", "top5", "mrr", "rank"):
        np.testing.assert_allclose(found[f"{name}_1"], found[f"{name}_chance"], atol=1e-12)
        np.testing.assert_allclose(found[f"{name}_20"], found[f"{name}_chance"], atol=1e-12)


def test_one_halving_agrees_with_a_loop():
    z, condition, batch = clusters(8, 31, separation=0.4)
    rng = np.random.default_rng(5)
    query = retrieval.half_split(condition, batch, rng)
    found = retrieval.retrieve(z, condition, query, 1, rng)
    gallery = [z[(condition == c) & ~query].mean(axis=0) for c in range(8)]
    gallery = [g / np.linalg.norm(g) for g in gallery]
    reciprocal, ranks = [], []
    for c in range(8):
        own = []
        for cell in z[(condition == c) & query]:
            cosines = np.array([cell @ g for g in gallery])
            own.append(1 + int((cosines > cosines[c]).sum()))
        reciprocal.append(np.mean(1 / np.array(own)))
        ranks.append(own)
    np.testing.assert_allclose(found["mrr"], reciprocal, atol=1e-12)
    np.testing.assert_allclose(found["top1"], [np.mean(np.array(own) == 1) for own in ranks], atol=1e-12)
    np.testing.assert_allclose(found["rank"], [(np.median(own) - 1) / 7 for own in ranks], atol=1e-12)
    assert min(map(len, ranks)) >= 15


def places(queries, target, gallery):
    """Rank of the own entry among all, by cosine."""
    cosine = queries @ gallery.T
    return 1 + (cosine > cosine[np.arange(len(target)), target][:, None]).sum(axis=1)


def test_means_over_units_are_the_numbers_of_version_1():
    """Version 1 averaged over units within each halving, by weights of queries, and then over halvings."""
    z, unit, batch = clusters(8, 31, separation=0.4, batch_effect=0.3)
    n, rng = 8, np.random.default_rng([3, 0xA1])
    expected = {"mrr_1": [], "top5_1": [], "top1_20": [], "mrr_20": []}
    for _ in range(retrieval.SPLITS):
        side = retrieval.half_split(unit, batch, rng)
        gallery = np.stack([z[(unit == c) & ~side].mean(axis=0) for c in range(n)])
        gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
        place = places(z[side], unit[side], gallery)
        weight = 1 / np.bincount(unit[side])[unit[side]] / n
        expected["mrr_1"].append((1 / place) @ weight)
        expected["top5_1"].append((place <= 5) @ weight)
        chosen = retrieval.subsample_units(unit, side, 20, rng)
        place = places(np.stack([z[(unit == c) & chosen].mean(axis=0) for c in range(n)]), np.arange(n), gallery)
        expected["mrr_20"].append((1 / place).mean())
        expected["top1_20"].append((place == 1).mean())
    found = retrieval.half_retrieval(z, unit, batch, 3)
    for name, values in expected.items():
        assert found[name].mean() == pytest.approx(np.mean(values), abs=1e-12), name


def test_a_unit_counts_in_the_halvings_that_have_it():
    z, unit, batch = clusters(6, 40, batches=4, separation=0.5)
    rare = (unit == 2) & (batch > 1)  # unit 2 is in batches 0 and 1 alone: halvings that keep them together lack it
    z, unit, batch = z[~rare], unit[~rare], batch[~rare]
    found = retrieval.cross_batch_retrieval(z, unit, batch, 1)
    rng, with_it, total = np.random.default_rng([1, 0xA2]), [], []
    for _ in range(retrieval.SPLITS):
        side = retrieval.batch_split(batch, rng)
        there = min((unit[side] == 2).sum(), (unit[~side] == 2).sum()) >= retrieval.MIN_SIDE
        keep = np.ones(len(unit), dtype=bool) if there else unit != 2
        codes = np.unique(unit[keep], return_inverse=True)[1]
        one = retrieval.retrieve(z[keep], codes, side[keep], 1, rng)
        retrieval.retrieve(z[keep], codes, side[keep], 20, rng)
        with_it += [one["mrr"][2]] if there else []
        total.append(codes.max() + 1)
    assert 0 < len(with_it) < retrieval.SPLITS
    assert found["mrr_1"][2] == pytest.approx(np.mean(with_it), abs=1e-12)
    np.testing.assert_allclose(found["present"], [1, 1, len(with_it) / retrieval.SPLITS, 1, 1, 1])
    assert found["present"].sum() == pytest.approx(np.mean(total))
    assert found["top1_chance"][2] == pytest.approx(1 / 6)
    assert 1 / 6 < found["top1_chance"][0] < 1 / 5


def test_halves_are_halves_of_every_condition_and_batch():
    _, condition, batch = clusters(10, 37, batches=3)
    side = retrieval.half_split(condition, batch, np.random.default_rng(1))
    for c in range(10):
        assert abs(2 * side[condition == c].sum() - 37) <= 1
        for b in range(3):
            here = side[(condition == c) & (batch == b)]
            assert abs(2 * here.sum() - len(here)) <= 1


def test_larger_queries_are_means_of_that_many_cells():
    _, condition, _ = clusters(6, 60)
    among = np.random.default_rng(0).random(len(condition)) < 0.7
    chosen = retrieval.subsample_units(condition, among, 20, np.random.default_rng(1))
    assert (chosen <= among).all()
    assert np.bincount(condition[chosen]).tolist() == [20] * 6


def test_batch_effects_help_only_while_batches_are_shared():
    # Each condition lies in two batches of its own, which differ more than conditions do.
    rng = np.random.default_rng(0)
    condition = np.repeat(np.arange(10), 40)
    batch = 2 * (condition % 5) + np.tile([0, 1], 200)
    z = rng.normal(size=(10, 30))[batch] * 5 + rng.normal(size=(400, 30))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    shared = retrieval.half_retrieval(z, condition, batch, 1)
    assert shared["top5_20"].mean() > 0.9
    both = clusters(10, 40, batches=2, separation=0, batch_effect=5.0)
    across = retrieval.cross_batch_retrieval(*both, 1)
    assert across["mrr_20"].mean() == pytest.approx(across["mrr_chance"][0], abs=0.12)
    assert (across["present"] == 1).all()


def test_query_and_gallery_share_no_batch():
    batch = np.random.default_rng(0).integers(0, 5, 200)
    side = retrieval.batch_split(batch, np.random.default_rng(1))
    assert not set(batch[side]) & set(batch[~side])
    assert len(set(batch[side])) == 2


def test_across_batches_needs_two_batches_and_cells_on_both_sides():
    z, condition, batch = clusters()
    assert retrieval.cross_batch_retrieval(z, condition, np.zeros_like(batch), 1) is None
    assert retrieval.cross_batch_retrieval(z, condition, condition, 1) is None


def test_draws_depend_on_the_seed_alone():
    z, condition, batch = clusters(separation=0.3)
    once = retrieval.half_retrieval(z, condition, batch, 1)
    again, other = (retrieval.half_retrieval(z, condition, batch, seed) for seed in (1, 2))
    assert all((once[name] == again[name]).all() for name in once)
    assert (once["mrr_1"] != other["mrr_1"]).any()
