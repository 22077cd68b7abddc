"""Differential expression as pure functions: tie-corrected Wilcoxon, Benjamini-Hochberg, and GEARS' t-test ranking."""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.shifts import Floats

Bools = NDArray[np.bool_]
FDR = 0.05


def wilcoxon_z(x: sp.csr_matrix, group: NDArray[np.int64], n_groups: int) -> Floats:
    """Tie-corrected Wilcoxon rank-sum z of each group's cells against the reference cells.

    Args:
        x: log1p expression ``[N, G]``, CSR with sorted indices.
        group: Group of each cell ``[N]``; -1 = reference.
        n_groups: Number of groups ``K``.

    Returns:
        z ``[K, G]``, positive where the group is higher; 0 where all values tie. No continuity correction, as scanpy
        with ``tie_correct=True``.

    Source: Mann and Whitney 1947 with the tie correction of the normal approximation; computed by illico.
    """
    import anndata
    import pandas as pd
    from illico import asymptotic_wilcoxon
    from loguru import logger

    logger.disable("illico")
    names = np.array(["reference", *(f"{i:07d}" for i in range(n_groups))])
    obs = pd.DataFrame({"group": names[group + 1]}, index=np.arange(len(group)).astype(str))
    x.sort_indices()  # illico gives wrong numbers on unsorted rows
    # As csr_array it trusts that, instead of compiling its own check, which takes longer than the test itself.
    rows = sp.csr_array((x.data, x.indices, x.indptr), shape=x.shape)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar is not ours to show
        table = asymptotic_wilcoxon(
            anndata.AnnData(rows, obs=obs),
            is_log1p=True,
            group_keys="group",
            reference="reference",
            n_threads=1 if x.nnz < 5_000_000 else os.cpu_count() or 1,  # waking threads costs more on little data
            use_continuity=False,
            tie_correct=True,
        )
    z = table["z_score"].to_numpy(dtype=np.float64)
    order = table.index.get_level_values(0)[:: x.shape[1]].astype(str)
    by_group = dict(zip(order, np.nan_to_num(z.reshape(len(order), x.shape[1])), strict=True))
    return np.stack([by_group[name] for name in names[1:].tolist()])


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
    order = np.argsort(p, axis=1, kind="stable")
    below = np.take_along_axis(p, order, axis=1) <= level * np.arange(1, len(columns) + 1) / len(columns)
    last = np.where(below.any(axis=1), below.shape[1] - np.argmax(below[:, ::-1], axis=1), 0)
    rank = np.argsort(order, axis=1, kind="stable")
    found[:, columns] = rank < last[:, None]
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


def wilcoxon_by_context(
    x: sp.csr_matrix, group: NDArray[np.int64], context: NDArray[Any], n_groups: int, n_contexts: int
) -> Floats:
    """Wilcoxon within each context, combined over contexts by Stouffer's rule with weights sqrt(cells)."""
    total = np.zeros((n_groups, x.shape[1]))
    weight = np.zeros(n_groups)
    for c in range(n_contexts):
        rows = np.flatnonzero((group >= -1) & (context == c))
        here = np.unique(group[rows][group[rows] >= 0])
        if not len(here):
            continue
        local = np.full(n_groups + 1, -1)
        local[here] = np.arange(len(here))
        cells = np.bincount(group[rows][group[rows] >= 0], minlength=n_groups)[here]
        z = wilcoxon_z(x[rows], np.where(group[rows] < 0, -1, local[group[rows]]), len(here))
        total[here] += np.sqrt(cells)[:, None] * z
        weight[here] += cells
    return total / np.sqrt(np.maximum(weight, 1))[:, None]
