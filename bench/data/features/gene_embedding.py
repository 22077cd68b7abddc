"""Gene embeddings as pure functions: from expression (principal components, co-expression) and from a graph."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh

from bench.core.typing import Floats
from bench.stats.shifts import row_mean

#: Dimensions of the embeddings made here; a wider one says more about seen genes than about how they differ.
WIDTH = 32
#: Shorter rows of unit eigenvectors (solved to 1e-14 or so) are not scaled up: they hold too few true digits.
RESOLVED = 1e-9
_BLOCK_ROWS = 4_096
_DENSE_NODES = 256


def fix_signs(columns: Floats) -> Floats:
    """Turn every column so that its entry of largest size is positive: solvers leave the sign open ``[N, K]``."""
    if not columns.size:
        return columns
    largest = np.abs(columns).argmax(axis=0)
    turned: Floats = columns * np.where(columns[largest, np.arange(columns.shape[1])] < 0, -1.0, 1.0)
    return turned


def gene_scores(means: Floats, width: int = WIDTH) -> Floats:
    """Principal-component scores of the genes over mean profiles, as the linear baseline embeds genes.

    Args:
        means: Mean expression of the train conditions and of the control ``[T + 1, G]``.
        width: Components; at most the rank of the centred matrix.

    Returns:
        ``[G, K]``: genes are the observations, each profile is centred over genes.

    Source: Ahlmann-Eltze and Huber 2025, gene embedding of the linear model.
    """
    centred = means.T - means.T.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    k = min(width, int((s > s[0] * 1e-10).sum())) if len(s) and s[0] > 0 else 0
    return fix_signs(u[:, :k] * s[:k])


def correlation(x: sp.csr_matrix, rows: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
    """Pearson correlation between genes over some cells; only blocks of cells are made dense.

    Args:
        x: Expression ``[N, G]``, CSR.
        rows: The cells.

    Returns:
        The correlation ``[V, V]`` of the genes that vary, and these genes' columns in ``x`` ``[V]``.
    """
    mean = row_mean(x, rows)
    products = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(rows), _BLOCK_ROWS):
        # Centred before it is squared: the difference of two large sums would lose the digits of rare genes.
        block = x[rows[start : start + _BLOCK_ROWS]].toarray() - mean
        products += block.T @ block
    sd = np.sqrt(np.diag(products))
    varying = np.flatnonzero(sd > 1e-9 * np.sqrt(max(len(rows), 1)))
    return products[np.ix_(varying, varying)] / np.outer(sd[varying], sd[varying]), varying


def leading(symmetric: Floats, width: int = WIDTH) -> Floats:
    """Reduce a positive semi-definite matrix ``[V, V]`` by its truncated SVD ``U S V'`` to ``U S [V, K]``."""
    n = len(symmetric)
    if not n:
        return np.zeros((0, 0))
    values, vectors = scipy.linalg.eigh(symmetric, subset_by_index=(max(n - width, 0), n - 1))
    keep = np.flatnonzero(values > values[-1] * 1e-10)[::-1]  # eigh sorts upwards
    return fix_signs(vectors[:, keep] * values[keep])


def largest_component(adjacency: sp.csr_matrix) -> tuple[NDArray[np.int64], int]:
    """Nodes of the largest connected component (the first of equals), and the number of components."""
    count, label = connected_components(adjacency, directed=False)
    return np.flatnonzero(label == np.bincount(label).argmax()), int(count)


def spectral_embedding(adjacency: sp.csr_matrix, width: int = WIDTH, regularisation: float = 1.0) -> Floats:
    """Embed the nodes of a connected graph by the leading eigenvectors of its regularised normalised adjacency.

    ``L = (D + tau I)^-1/2 A (D + tau I)^-1/2`` with ``tau`` = ``regularisation`` x the mean degree; its leading
    eigenvectors are those that the normalised Laplacian ``I - L`` has at its smallest eigenvalues. Without ``tau``
    they single out tiny groups that hang on the rest by one edge, of which gene graphs have hundreds: of pairs held
    out of the SIGNOR graph they tell .72 from pairs of equal degree (AUC of the cosine), with it .84. Rows are scaled
    to unit length, which takes out the degree.

    Args:
        adjacency: Symmetric matrix of weights from 0 without a diagonal ``[N, N]``, every degree above 0.
        width: Eigenvectors; at most ``N``.
        regularisation: 0 = the plain normalised Laplacian.

    Returns:
        ``[N, K]``, the leading eigenvector first; zeros for nodes so far from all that the leading eigenvectors tell
        apart that their entries are rounding errors.

    Source: Qin and Rohe 2013, "Regularized spectral clustering under the degree-corrected stochastic blockmodel"
    (NIPS 26), steps 1-3; ``tau`` = mean degree there.
    """
    degree = np.asarray(adjacency.sum(axis=1), dtype=np.float64).ravel()
    n, scale = len(degree), 1.0 / np.sqrt(degree + regularisation * degree.mean())
    normalised = sp.csr_matrix(sp.diags_array(scale) @ adjacency @ sp.diags_array(scale))
    k = min(width, n)
    vectors: NDArray[Any]
    if n <= max(_DENSE_NODES, 2 * width):
        _, vectors = scipy.linalg.eigh(normalised.toarray(), subset_by_index=(n - k, n - 1))
        vectors = vectors[:, ::-1]
    else:
        # A drawn start vector, always the same: a constant one is orthogonal to eigenvectors of a symmetric graph.
        start = np.random.default_rng(0).standard_normal(n)
        # Graphs of few distinct eigenvalues need restarts, which newer scipy draws afresh unless it is told not to.
        restart: dict[str, Any] = {"rng": 0} if "rng" in signature(eigsh).parameters else {}
        values, vectors = eigsh(normalised, k=k, which="LA", v0=start, tol=0, **restart)
        vectors = vectors[:, np.argsort(-values, kind="stable")]
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows: Floats = np.where(length > RESOLVED, vectors / np.maximum(length, RESOLVED), 0.0)
    return fix_signs(rows)
