"""Embeddings of genes against sklearn and numpy."""

import numpy as np
import pytest
import scipy.sparse as sp
from bank_tests import equal_up_to_sign, ring_of_cliques
from sklearn.decomposition import PCA
from sklearn.manifold import spectral_embedding as sklearn_embedding

from bench.data.features.gene_embedding import correlation, gene_scores, largest_component, leading, spectral_embedding


def test_pca_is_sklearns_up_to_sign():
    means = np.random.default_rng(0).gamma(1.0, 1.0, (9, 40))
    equal_up_to_sign(gene_scores(means, 5), PCA(5, svd_solver="full").fit_transform(means.T), atol=1e-9)
    assert gene_scores(means, 50).shape == (40, 9)
    assert gene_scores(np.ones((3, 4))).shape == (4, 0)


def test_correlation_is_numpys_over_the_chosen_cells_and_leaves_out_silent_genes(monkeypatch):
    monkeypatch.setattr("bench.data.features.gene_embedding._BLOCK_ROWS", 7)
    rng = np.random.default_rng(1)
    dense = (rng.gamma(1.0, 1.0, (50, 12)) * (rng.random((50, 12)) < 0.4)).astype(np.float32)
    rows = np.arange(3, 33)
    dense[rows, 4] = 0.0
    dense[rows, 7] = 1.25  # as silent as zeros: it goes with nothing
    matrix, varying = correlation(sp.csr_matrix(dense), rows)
    assert varying.tolist() == [0, 1, 2, 3, 5, 6, 8, 9, 10, 11]
    np.testing.assert_allclose(matrix, np.corrcoef(dense[rows][:, varying].astype(float).T), atol=1e-12)


def test_reduction_is_the_truncated_svd():
    matrix = np.corrcoef(np.random.default_rng(2).normal(size=(20, 30)))
    u, s, _ = np.linalg.svd(matrix)
    equal_up_to_sign(leading(matrix, 6), u[:, :6] * s[:6], atol=1e-10)
    assert leading(np.ones((4, 4)), 6).shape == (4, 1)


def unit_rows(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_without_regularisation_the_spectrum_is_sklearns():
    graph, _ = ring_of_cliques()
    theirs = sklearn_embedding(graph, n_components=4, drop_first=False, random_state=0)
    equal_up_to_sign(spectral_embedding(graph, 4, 0.0), unit_rows(theirs), atol=1e-6)


@pytest.mark.parametrize("cliques", [6, 24])  # solved dense, and by Lanczos iteration
def test_the_spectrum_is_that_of_the_dense_regularised_laplacian(cliques):
    graph, clique = ring_of_cliques(cliques)
    dense = graph.toarray()
    scale = np.diag((dense.sum(axis=0) + dense.sum() / len(dense)) ** -0.5)
    values, vectors = np.linalg.eigh(np.eye(len(dense)) - scale @ dense @ scale)
    assert np.diff(values[:6]).min() > 1e-4
    ours = spectral_embedding(graph, 5)
    length = np.linalg.norm(vectors[:, :5], axis=1)
    near = length > 1e-9
    equal_up_to_sign(ours[near], unit_rows(vectors[near, :5]), atol=1e-5)
    assert near.all() == (cliques == 6) and not ours[length < 1e-10].any()  # far cliques: rounding errors, not features
    assert (spectral_embedding(graph, 5) == ours).all()
    np.testing.assert_allclose(np.linalg.norm(ours[near], axis=1), 1, atol=1e-12)
    if cliques == 6:
        full = spectral_embedding(graph, 6)
        centres = np.array([full[clique == i].mean(axis=0) for i in range(cliques)])
        nearest = ((full[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        assert (nearest == clique).all()


def test_a_graph_of_one_eigenvalue_gives_the_same_bits_twice():
    graph = sp.csr_matrix(np.ones((300, 300)) - np.eye(300))
    assert (spectral_embedding(graph) == spectral_embedding(graph)).all()


def test_the_largest_component():
    graph = sp.block_diag([np.ones((2, 2)), np.ones((3, 3)), np.ones((3, 3)), [[0.0]]]).tocsr()
    nodes, count = largest_component(graph)
    assert (nodes.tolist(), count) == ([2, 3, 4], 4)
