"""How far the truth hangs on which reference controls were measured: bootstraps of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.conditions import CONTROL
from bench.core.typing import Floats
from bench.data.dataset import Dataset
from bench.stats.differential import Bools, bootstrap_weights, wilcoxon_draws
from bench.stats.halved import Halved, Rows
from bench.tracks.response.metrics.evaluation import NOISE
from bench.tracks.response.metrics.functional import standardise
from bench.tracks.response.metrics.ranking import order, signed_ranks

#: Bootstraps of the reference controls.
DRAWS = 50


def calls(shift: Floats, expression: Floats, scored: Bools) -> Floats:
    """Signed ranks of shifts over scored genes, standardised ``[T, G]``: the prediction's side of ``signed_rank_z``.

    Args:
        shift: ``[T, G]``.
        expression: What it leads to ``[T, G]``; differences below 1e-6 of its largest scored value are none.
        scored: ``[T, G]``.
    """
    step = NOISE * np.abs(np.where(scored, expression, 0.0)).max(axis=1, initial=1.0)
    size = np.rint(np.abs(shift) / step[:, None])
    ranks = signed_ranks(np.where(size > 0, np.sign(shift), 0.0), order(size, scored), scored)
    return np.nan_to_num(standardise(ranks, scored).unit)


def reference_weights(dataset: Dataset, pool: Rows) -> Floats:
    """How much each cell of a pool counts in each bootstrap ``[R, 50]``; the pool's sum is its size.

    All control cells of the data are drawn together, whatever the split seed: the pools of several seeds hold many of
    the same cells, and what is averaged over seeds must move as these cells do.

    Args:
        dataset: The cells.
        pool: Rows of reference controls.
    """
    controls = dataset.cells_of[CONTROL]  # sorted by barcode, whatever the order of the file
    drawn = np.zeros((len(dataset.condition), DRAWS))
    drawn[controls] = bootstrap_weights(len(controls), DRAWS, np.random.default_rng([len(controls), 0xB007]))
    weights = drawn[pool]
    total = weights.sum(axis=0)
    return np.where(total > 0, weights * len(pool) / np.maximum(total, 1), 1.0)


def reference_draws(
    dataset: Dataset,
    tested: Halved,
    context: NDArray[np.int64],
    reference: Sequence[Rows],
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Measure the truth again against bootstraps of the reference controls of each context.

    Args:
        dataset: The cells.
        tested: Cells of the T test units, and their halves.
        context: Context of each unit ``[T]``.
        reference: Rows of the reference controls, by context.
        facts: ``c_rep`` and ``scored`` ``[T, G]``, ``half_y`` ``[2 H, T, G]``.

    Returns:
        ``c_ref_draws [C, 50, G]``: how far the mean of the reference controls moves; ``de_z_draws [50, T, G]``:
        Wilcoxon z of the units, float32; and ``replicate_de_draws [50, T]``: ``signed_rank_z`` of one half as a
        prediction of the other, mean over halves.
    """
    units, genes = facts["c_rep"].shape
    # Half h is predicted by its complement h ^ 1.
    other = facts["half_y"][np.arange(len(facts["half_y"])) ^ 1]
    predicted = np.stack([calls(y - facts["c_rep"], y, facts["scored"]) for y in other])
    moved = np.zeros((len(reference), DRAWS, genes))
    z = np.zeros((DRAWS, units, genes), dtype=np.float32)
    agreement = np.full((DRAWS, units), np.nan)
    for c, pool in enumerate(reference):
        weights = reference_weights(dataset, pool)
        moved[c] = np.asarray(((weights.T - 1.0) / max(len(pool), 1)) @ dataset.x[pool].astype(np.float64))
        mine = np.flatnonzero(context == c)
        if not len(mine):
            continue
        cells = tested.take(np.isin(tested.group, mine))
        here = Halved(cells.rows, np.searchsorted(mine, cells.group), cells.side, len(mine))
        sums = np.zeros((3, len(predicted), len(mine), DRAWS))
        for gene, draws in wilcoxon_draws(dataset.x, here, pool, weights):
            z[:, mine, gene] = draws[0].T
            counts = facts["scored"][mine, gene, None] * draws[1:]
            sums += counts * predicted[:, mine, gene, None], counts, counts * counts
        n = np.maximum(facts["scored"][mine].sum(axis=1), 1)[:, None]
        spread = np.sqrt(np.maximum(sums[2] - sums[1] ** 2 / n, 0.0))
        r = np.divide(sums[0], spread, out=np.full_like(spread, np.nan), where=spread > 0)
        known = np.isfinite(r)
        mean = np.where(known, r, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        agreement[:, mine] = np.where(known.any(axis=0), mean, np.nan).T
    return {"c_ref_draws": moved, "de_z_draws": z, "replicate_de_draws": agreement}
