"""Differential expression as pure functions: tie-corrected Wilcoxon, Benjamini-Hochberg, and GEARS' t-test ranking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.stats.halved import Halved
from bench.stats.ranksum import rank_sum_z, rank_sums, resampled_shifts
from bench.stats.shifts import available_cores

Bools = NDArray[np.bool_]
FDR = 0.05


def wilcoxon(
    x: sp.csr_matrix, tested: Halved, context: NDArray[np.integer[Any]], reference: Sequence[NDArray[np.int64]]
) -> Floats:
    """Wilcoxon z of conditions and of their halves, within each context against that context's reference cells.

    Contexts are combined by Stouffer's rule with weights sqrt(cells).

    Args:
        x: log1p expression ``[cells, G]``, float32 CSR.
        tested: The conditions' cells.
        context: Context of each cell ``[cells]``.
        reference: Rows of the reference cells, by context.

    Returns:
        ``[1 + 2 H, K, G]``: of the conditions, then of their halves; see :func:`bench.stats.ranksum.rank_sum_z`.

    Source: Stouffer et al. 1949.
    """
    total = np.zeros((1 + 2 * len(tested.side), tested.n_groups, x.shape[1]))
    weight = np.zeros(total.shape[:2])
    cores = min(available_cores(), x.shape[1])
    for c, pool in enumerate(reference):
        mine = tested.take(context[tested.rows] == c)
        groups, local = np.unique(mine.group, return_inverse=True)
        if not len(groups):
            continue
        here = Halved(mine.rows, local.astype(np.int64), mine.side, len(groups))
        cells = here.sizes()
        weight[:, groups] += cells

        def add(
            span: range, here: Halved = here, groups: Any = groups, cells: Floats = cells, pool: Any = pool
        ) -> None:
            for genes, z in rank_sum_z(x, here, pool, span):
                total[:, groups, genes] += np.sqrt(cells)[..., None] * z

        # Genes are tested one by one, so each core takes a stretch of them and no number changes.
        bounds = np.linspace(0, x.shape[1], cores + 1).astype(int).tolist()
        with ThreadPoolExecutor(cores) as workers:
            list(workers.map(add, map(range, bounds[:-1], bounds[1:])))
    total /= np.sqrt(np.maximum(weight, 1))[..., None]
    return total


def wilcoxon_draws(
    x: sp.csr_matrix, tested: Halved, reference: NDArray[np.int64], weights: Floats
) -> Iterator[tuple[int, Floats]]:
    """Wilcoxon z where each reference cell counts as often as a weight says, all in the SD of the test as it is.

    Args:
        x: log1p expression ``[cells, G]``, float32 CSR.
        tested: Groups of cells, all of the reference cells' own context.
        reference: Rows of the reference cells ``[R]``.
        weights: From :func:`bootstrap_weights` ``[R, B]``.

    Yields:
        Gene by gene, which it is and z ``[1 + 2 H, K, B]``.
    """
    cells, pool = (x[rows].tocsc() for rows in (tested.rows, reference))
    for block, _, sd in rank_sums(x, tested, reference):
        for gene, shift in resampled_shifts(cells, tested, pool, weights, range(block.start, block.stop)):
            scale = np.broadcast_to(sd[..., gene - block.start, None], shift.shape)
            yield gene, np.divide(shift, scale, out=np.zeros_like(shift), where=scale > 0)


def bootstrap_weights(cells: int, draws: int, rng: np.random.Generator) -> Floats:
    """How often each of R cells is in each of B bootstraps of them ``[R, B]``."""
    weights = (
        rng.multinomial(cells, np.full(cells, 1.0 / max(cells, 1)), size=draws).T if cells else np.zeros((0, draws))
    )
    return np.asarray(weights, dtype=np.float64)


def benjamini_hochberg(z: Floats, tested: Bools, level: float = FDR) -> Bools:
    """Mark significant genes by Benjamini-Hochberg over the tested ones.

    Args:
        z: Two-sided normal scores ``[T, G]``.
        tested: Genes in the family ``[G]``.
        level: False discovery rate.

    Returns:
        ``[T, G]``, false outside ``tested``.
    """
    from scipy.special import ndtr  # scipy.stats would take most of a second to import

    found = np.zeros(z.shape, dtype=bool)
    columns = np.flatnonzero(tested)
    if not len(columns):
        return found
    p = 2 * ndtr(-np.abs(z[:, columns]))
    ordered = np.sort(p, axis=1)
    below = ordered <= level * np.arange(1, len(columns) + 1) / len(columns)
    limit = np.where(below, ordered, -1.0).max(axis=1)
    found[:, columns] = p <= limit[:, None]
    return found


def t_test_top(
    mean: Floats, var: Floats, n: Floats, control: tuple[Floats, Floats, float], k: int
) -> NDArray[np.int64]:
    """Top genes by absolute Welch t against all controls, as scanpy's ``t-test`` ranks them for GEARS.

    Args:
        mean: Condition means ``[T, G]``.
        var: Condition variances, ddof 1 ``[T, G]``.
        n: Cells ``[T]``.
        control: Mean, variance and number of the control cells.
        k: How many genes.

    Returns:
        Gene columns ``[T, min(k, G)]``, most differential first; an undefined t counts as 0.
    """
    c_mean, c_var, c_n = control
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (mean - c_mean) / np.sqrt(var / n[:, None] + c_var / c_n)
    return np.argsort(-np.abs(np.nan_to_num(t, posinf=0.0, neginf=0.0)), axis=1, kind="stable")[:, :k]
