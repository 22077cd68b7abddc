"""The Wilcoxon test of groups and their halves: against scipy's ranks, scipy's test, scanpy and illico."""

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.stats import ranksum
from bench.stats.differential import wilcoxon
from bench.stats.halved import Halved
from bench.stats.ranksum import rank_sum_z


def halved(group, side):
    """Cells of the groups that are not negative, group after group."""
    rows = np.flatnonzero(group >= 0)
    rows = rows[np.argsort(group[rows], kind="stable")]
    return Halved(rows, group[rows], side[:, rows], int(group.max()) + 1)


def scores(x, group, side, reference=None):
    """Ours ``[1 + 2 H, K, G]``."""
    reference = np.flatnonzero(group < 0) if reference is None else reference
    return np.concatenate([z for _, z in rank_sum_z(sp.csr_matrix(x), halved(group, side), reference)], axis=2)


def from_ranks(mine, reference):
    """The textbook formula on dense ranks ``[G]``."""
    n, m = len(mine), len(reference)
    out = np.zeros(mine.shape[1])
    for gene in range(mine.shape[1]):
        ranks = stats.rankdata(np.concatenate([mine[:, gene], reference[:, gene]]))
        correction = stats.tiecorrect(ranks)
        if n and m and correction > 0:
            u = ranks[:n].sum() - n * (n + 1) / 2
            out[gene] = (u - n * m / 2) / np.sqrt(correction * n * m * (n + m + 1) / 12)
    return out


def oracle(x, group, side, reference=None):
    """All groups and halves by :func:`from_ranks`."""
    pool = x[group < 0] if reference is None else x[reference]
    found = []
    for k in range(int(group.max()) + 1):
        halves = [x[(group == k) & (cut == s)] for cut in side for s in (0, 1)]
        found.append([from_ranks(cells, pool) for cells in (x[group == k], *halves)])
    return np.array(found).transpose(1, 0, 2)


def values(kind, rng, n, genes):
    """Expression with few or heavy ties, and genes that never or always have one value."""
    counts = rng.poisson(rng.uniform(0, 2.5, genes), (n, genes)).astype(np.float32)
    if kind == "log1p":
        counts = np.log1p(counts / rng.choice([0.5, 0.7, 1.3, 2.0], (n, 1))).astype(np.float32)
    if kind == "continuous":
        counts *= rng.uniform(0.1, 1, counts.shape).astype(np.float32)
    counts[:, 0] = 0
    counts[:, -1] = 1.5
    return counts


@pytest.mark.thinned(4)
@pytest.mark.parametrize("kind", ["counts", "log1p", "continuous"])
@pytest.mark.parametrize("genes", [3, 130])
def test_groups_and_halves_equal_the_formula_on_ranks(kind, genes):
    rng = np.random.default_rng(genes)
    x = values(kind, rng, 150, genes)
    group, side = rng.integers(-1, 4, 150), rng.integers(0, 2, (3, 150)).astype(np.uint8)
    group[rng.random(150) < 0.3] = -1
    ours = scores(x, group, side)
    np.testing.assert_allclose(ours, oracle(x, group, side), rtol=1e-12, atol=1e-12)
    assert not ours[..., [0, -1]].any()
    assert np.abs(ours[..., 1:-1]).max() > 0.5


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    cells=st.integers(2, 40),
    groups=st.integers(1, 6),
    levels=st.integers(1, 6),
    zeros=st.floats(0, 1),
)
def test_any_small_screen_equals_the_formula_on_ranks(seed, cells, groups, levels, zeros):
    # Groups of no and of one cell, halves of none, and any share of ties and zeros come up here.
    rng = np.random.default_rng(seed)
    x = rng.choice(rng.uniform(0.01, 9, levels), (cells, 5)).astype(np.float32)
    x[rng.random(x.shape) < zeros] = 0
    group, side = rng.integers(-1, groups, cells), rng.integers(0, 2, (2, cells)).astype(np.uint8)
    group[:2] = -1, groups - 1
    np.testing.assert_allclose(scores(x, group, side), oracle(x, group, side), rtol=1e-12, atol=1e-12)


def test_p_values_are_scipys():
    rng = np.random.default_rng(0)
    x = values("log1p", rng, 90, 30)
    group = np.repeat([-1, 0, 1], 30)
    z = scores(x, group, np.zeros((1, 90), dtype=np.uint8))
    for k in (0, 1):
        sides = x[group == k].astype(np.float64), x[group < 0].astype(np.float64)  # float32 it would test in float32
        theirs = stats.mannwhitneyu(*sides, method="asymptotic", use_continuity=False).pvalue
        np.testing.assert_allclose(2 * stats.norm.sf(np.abs(z[0, k])), np.nan_to_num(theirs, nan=1.0), rtol=1e-10)


def as_anndata(x, names):
    table = anndata.AnnData(sp.csr_matrix(x), obs=pd.DataFrame({"g": names}, index=np.arange(len(x)).astype(str)))
    table.uns["log1p"] = {"base": None}
    return table


@pytest.mark.ci
def test_scores_are_scanpys_with_tie_correction():
    import scanpy as sc

    rng = np.random.default_rng(1)
    x, group = values("counts", rng, 120, 40), np.repeat([-1, 0, 1, 2], 30)
    table = as_anndata(x, pd.Categorical(np.array(["a", "b", "c", "reference"])[group]))
    with np.errstate(invalid="ignore"):  # a gene of zeros
        sc.tl.rank_genes_groups(table, "g", reference="reference", method="wilcoxon", tie_correct=True)
    z = scores(x, group, np.zeros((1, 120), dtype=np.uint8))[0]
    for k, name in enumerate("abc"):
        frame = sc.get.rank_genes_groups_df(table, name).set_index("names").loc[table.var_names]
        np.testing.assert_allclose(z[k], frame["scores"].fillna(0), rtol=1e-5, atol=1e-6)  # theirs are float32


@pytest.mark.ci
@pytest.mark.parametrize("kind", ["counts", "log1p"])
def test_scores_are_illicos(kind):
    illico = pytest.importorskip("illico")
    rng = np.random.default_rng(2)
    x, group = values(kind, rng, 120, 40), np.repeat([-1, 0, 1, 2], 30)
    table = illico.asymptotic_wilcoxon(
        as_anndata(x, np.array(["a", "b", "c", "reference"])[group]),
        is_log1p=True,
        group_keys="g",
        reference="reference",
        n_threads=1,
        use_continuity=False,
        tie_correct=True,
    )
    z = scores(x, group, np.zeros((1, 120), dtype=np.uint8))[0]
    for k, name in enumerate("abc"):
        np.testing.assert_allclose(z[k], table.loc[name]["z_score"].fillna(0), rtol=1e-12, atol=1e-12)


def test_blocks_of_genes_change_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    x, group = values("log1p", rng, 60, 150), rng.integers(-1, 3, 60)
    side = rng.integers(0, 2, (2, 60)).astype(np.uint8)
    whole = scores(x, group, side)
    for at_once in (1, 500):
        monkeypatch.setattr(ranksum, "_BLOCK_VALUES", at_once)
        np.testing.assert_array_equal(scores(x, group, side), whole)


def test_stored_zeros_duplicates_and_unsorted_columns_change_nothing():
    rng = np.random.default_rng(4)
    x, group = values("counts", rng, 40, 12), rng.integers(-1, 3, 40)
    side = np.zeros((1, 40), dtype=np.uint8)
    row, column = np.nonzero(np.ones_like(x))
    order = rng.permutation(len(row))
    stored = np.concatenate([x[row, column][order] / 2, x[row, column][order] / 2])
    row, column = np.tile(row[order], 2), np.tile(column[order], 2)
    by_row = np.argsort(row, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row))])
    messy = sp.csr_matrix((stored[by_row], column[by_row], indptr), shape=x.shape)
    before = messy.copy()
    z = np.concatenate([z for _, z in rank_sum_z(messy, halved(group, side), np.flatnonzero(group < 0))], axis=2)
    np.testing.assert_array_equal(z, scores(x, group, side))
    np.testing.assert_array_equal(messy.data, before.data)  # not ours to change


def test_a_reference_cell_may_be_there_twice():
    rng = np.random.default_rng(5)
    x, group = values("log1p", rng, 50, 20), rng.integers(-1, 2, 50)
    side = rng.integers(0, 2, (1, 50)).astype(np.uint8)
    pool = np.flatnonzero(group < 0)[[0, 1, 2, 2, 3, 3, 3]]
    np.testing.assert_allclose(scores(x, group, side, pool), oracle(x, group, side, pool), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("x", [np.array([[1.0], [-1.0]], dtype=np.float32), np.ones((2, 1))])
def test_other_values_are_refused(x):
    with pytest.raises(ValueError, match="float32"):
        scores(x, np.array([-1, 0]), np.zeros((1, 2), dtype=np.uint8))


def test_contexts_are_combined_by_the_root_of_their_cells():
    rng = np.random.default_rng(6)
    x, group = values("log1p", rng, 200, 15), rng.integers(-1, 4, 200)
    context, side = rng.integers(0, 3, 200), rng.integers(0, 2, (2, 200)).astype(np.uint8)
    context[group == 3] = 1  # a condition of one context only
    pools = [np.flatnonzero((group < 0) & (context == c)) for c in range(3)]
    ours = wilcoxon(sp.csr_matrix(x), halved(group, side), context, pools)
    masks = [np.ones(200, dtype=bool), *((cut == s) for cut in side for s in (0, 1))]
    for i, mask in enumerate(masks):
        for k in range(4):
            cells = [np.flatnonzero((group == k) & (context == c) & mask) for c in range(3)]
            z = [np.sqrt(len(rows)) * from_ranks(x[rows], x[pool]) for rows, pool in zip(cells, pools, strict=True)]
            expected = np.sum(z, axis=0) / np.sqrt(sum(map(len, cells)))
            np.testing.assert_allclose(ours[i, k], expected, rtol=1e-12, atol=1e-12)
