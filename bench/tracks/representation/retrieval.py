"""Half-split prototype retrieval: does a mean of cells find the other half of its own condition?

Source: this benchmark. The CellJEPA audit prints such numbers without defining them: compare the shape only.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.tracks.representation.embedding import normalise

Codes = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Cells averaged in a query.
QUERY_CELLS = (1, 20)
#: Random halvings that are averaged.
SPLITS = 20
#: Cells a condition needs on either side when halves are made of whole batches.
MIN_SIDE = 5
#: Cosines closer than this are tied.
TIE = 1e-10
MEASURES = ("top1", "top5", "mrr", "rank")


def half_split(condition: Codes, batch: Codes, rng: np.random.Generator) -> Bools:
    """Halve each condition at random, and each of its batches, up to one cell ``[N]``: true = query side."""
    order = np.lexsort((rng.random(len(condition)), batch, condition))
    phase = rng.integers(0, 2, condition.max() + 1)
    side = np.empty(len(condition), dtype=bool)
    # Every other cell along (condition, batch), where a condition begins on either side by chance.
    side[order] = (_position(condition[order]) + phase[condition[order]]) % 2 == 0
    return side


def batch_split(batch: Codes, rng: np.random.Generator) -> Bools:
    """Put half of the batches (rounded down) on the query side ``[N]``; the same batches for all conditions.

    So no gallery entry shares a batch with the query, and batch can neither help nor hinder.
    """
    batches = np.unique(batch)
    return np.isin(batch, rng.permutation(batches)[: len(batches) // 2])


def chance(n: int) -> dict[str, float]:
    """Expected measures of a random order of ``n`` gallery entries: 1/n, 5/n, H_n/n, 1/2."""
    return {
        "top1": 1 / n,
        "top5": min(1.0, 5 / n),
        "mrr": float((1 / np.arange(1, n + 1)).sum() / n),
        "rank": 0.5,
    }


def rank_measures(scores: Floats, target: Codes) -> dict[str, Floats]:
    """Measure where the target stands, in expectation over random orders of tied entries.

    Args:
        scores: Similarities ``[Q, C]``.
        target: Right entry of each query ``[Q]``.

    Returns:
        ``top1``, ``top5``, ``mrr`` and ``rank`` (0 = first, 1 = last), each ``[Q]``.
    """
    own = scores[np.arange(len(target)), target][:, None]
    above = (scores > own + TIE).sum(axis=1)
    tied = (np.abs(scores - own) <= TIE).sum(axis=1)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, scores.shape[1] + 1))])
    return {
        "top1": np.clip(1 - above, 0, tied) / tied,
        "top5": np.clip(5 - above, 0, tied) / tied,
        "mrr": (harmonic[above + tied] - harmonic[above]) / tied,
        "rank": (above + (tied - 1) / 2) / max(1, scores.shape[1] - 1),
    }


def retrieve(z: Floats, condition: Codes, query: Bools, n_query: int, rng: np.random.Generator) -> dict[str, float]:
    """Retrieve each condition once it is cut in two.

    Args:
        z: Unit embeddings ``[N, D]``.
        condition: ``0 .. C-1`` of each cell, each with cells on both sides ``[N]``.
        query: Cells of the query side ``[N]``.
        n_query: Cells in a query (fewer where a side has fewer); with 1, each cell of the side is a query.
        rng: Draws the queries.

    Returns:
        Means over conditions; of ``rank`` the median over queries, in which each condition weighs the same.
    """
    n = int(condition.max()) + 1
    gallery = normalise(_means(z, condition, ~query, n))
    if n_query == 1:
        target, queries = condition[query], z[query]
    else:
        target = np.arange(n)
        queries = normalise(_means(z, condition, _some(condition, query, n_query, rng), n))
    measures = rank_measures(queries @ gallery.T, target)
    weight = 1 / np.bincount(target, minlength=n)[target] / n
    out = {name: float(values @ weight) for name, values in measures.items()}
    out["rank"] = _median(measures["rank"], weight)
    return out


def half_retrieval(z: Floats, condition: Codes, batch: Codes, seed: int) -> dict[str, float]:
    """Retrieve over random halves, stratified by batch, averaged over :data:`SPLITS`.

    Args:
        z: Unit embeddings ``[N, D]``.
        condition: ``0 .. C-1`` of each cell ``[N]``.
        batch: Batch of each cell ``[N]``.
        seed: Seed of halves and queries.

    Returns:
        ``<measure>_<cells in a query>`` and ``<measure>_chance``.
    """
    rng = np.random.default_rng([seed, 0xA1])
    drawn = []
    for _ in range(SPLITS):
        side = half_split(condition, batch, rng)
        drawn.append(_both(z, condition, side, rng))
    return _average(drawn)


def cross_batch_retrieval(z: Floats, condition: Codes, batch: Codes, seed: int) -> dict[str, float] | None:
    """Retrieve with queries and gallery from disjoint batches; arguments and result as of :func:`half_retrieval`.

    Returns:
        ``None`` with one batch, or where no draw leaves two conditions with :data:`MIN_SIDE` cells on both sides.
        ``n_conditions`` is the mean number of conditions that a draw had.
    """
    if len(np.unique(batch)) < 2:
        return None
    rng = np.random.default_rng([seed, 0xA2])
    drawn = []
    n = int(condition.max()) + 1
    for _ in range(SPLITS):
        side = batch_split(batch, rng)
        cells = np.minimum(np.bincount(condition[side], minlength=n), np.bincount(condition[~side], minlength=n))
        keep = cells[condition] >= MIN_SIDE
        if (cells >= MIN_SIDE).sum() >= 2:
            codes = np.unique(condition[keep], return_inverse=True)[1]
            drawn.append({**_both(z[keep], codes, side[keep], rng), "n_conditions": float(codes.max() + 1)})
    return _average(drawn) if drawn else None


def _both(z: Floats, condition: Codes, side: Bools, rng: np.random.Generator) -> dict[str, float]:
    found = {
        f"{name}_{n_query}": value
        for n_query in QUERY_CELLS
        for name, value in retrieve(z, condition, side, n_query, rng).items()
    }
    return {**found, **{f"{name}_chance": value for name, value in chance(int(condition.max()) + 1).items()}}


def _average(drawn: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in drawn])) for name in drawn[0]}


def _position(ordered: Codes) -> Codes:
    """Position of each element within its run of equal codes ``[N]``, for sorted codes."""
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return np.arange(len(ordered)) - np.repeat(starts, np.diff([*starts, len(ordered)]))


def _some(condition: Codes, among: Bools, most: int, rng: np.random.Generator) -> Bools:
    """At most ``most`` random cells of each condition ``[N]``."""
    rows = np.flatnonzero(among)
    rows = rows[np.lexsort((rng.random(len(rows)), condition[rows]))]
    chosen = np.zeros(len(condition), dtype=bool)
    chosen[rows[_position(condition[rows]) < most]] = True
    return chosen


def _means(z: Floats, condition: Codes, among: Bools, n: int) -> Floats:
    """Mean embedding of each condition over some of the cells ``[C, D]``."""
    rows = np.flatnonzero(among)
    pick = sp.csr_matrix((np.ones(len(rows)), (condition[rows], rows)), shape=(n, len(z)))
    sums: Floats = np.asarray(pick @ z)
    return sums / np.bincount(condition[rows], minlength=n)[:, None]


def _median(values: Floats, weight: Floats) -> float:
    """Median of weighted values; between two that share the weight, their mean."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weight[order]) / weight.sum()
    low, high = np.searchsorted(cumulative, [0.5 - 1e-9, 0.5 + 1e-9])
    return float((values[order[low]] + values[order[min(high, len(order) - 1)]]) / 2)
